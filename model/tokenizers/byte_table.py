"""What tokenizers share whose every id writes fixed bytes: decoding is a table of bytes."""

from __future__ import annotations

from collections.abc import Sequence

from linesmith.core.errors import TokenizerError
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.tokenizers.token_format import TokenFormat


class ByteTableTokenizer(Tokenizer):
    """A tokenizer that decodes by joining the bytes of its ids.

    Args:
        token_format: how a record is split into fields.
        pieces: the bytes that each id writes, from the first id that is not reserved.
    """

    def __init__(self, token_format: TokenFormat, pieces: Sequence[bytes]) -> None:
        super().__init__(token_format)
        self._bytes = (*[text.encode() for text in token_format.reserved_text()], *pieces)
        self._structure = (*[text.encode() for text in token_format.structure_text()], *pieces)

    @property
    def total_vocab_size(self) -> int:
        """Number of ids, reserved ones included."""
        return len(self._bytes)

    @property
    def pieces(self) -> Sequence[bytes]:
        """The bytes that each id writes (escapes not undone), from the first id that is not reserved."""
        return self._bytes[self.token_format.reserved_count :]

    def decode_structure(self, ids: Sequence[int]) -> str:
        """Decode the ids of many records, with newlines for `<n>` and `<d>`: the form in which encoding is verified."""
        return self._joined_structure(ids).decode()

    def _joined_bytes(self, ids: Sequence[int]) -> bytes:
        return b"".join(map(self._bytes.__getitem__, ids))

    def _joined_structure(self, ids: Sequence[int]) -> bytes:
        return b"".join(map(self._structure.__getitem__, ids))


def decode_utf8(content: bytes) -> str:
    """Decode bytes that ids wrote.

    Raises:
        TokenizerError: they are not UTF-8; code `utf8`.
    """
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise TokenizerError(
            "LS225", None, "the ids end or break inside a UTF-8 sequence", "Decode whole characters."
        ) from None


def not_unicode_error(error: UnicodeEncodeError) -> TokenizerError:
    """Return the error for text with a lone surrogate; it names the code point, never the text."""
    point = ord(error.object[error.start])
    return TokenizerError("LS223", None, f"the character U+{point:04X} is not Unicode text", "Leave it out.")
