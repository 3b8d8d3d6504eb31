"""Bytes as tokens: a public vocabulary, the same for all data, so that it reveals nothing about any record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.errors import TokenizerError
from model.tokenizers.base import Tokenizer
from model.tokenizers.fields import FieldFormat, damaged, digest_of, format_from, load_params, save_params

KIND = "bytes"
SIZE = 256
# In no UTF-8 text (RFC 3629, section 1), and the newline, which is in no record: known without looking at data.
NEVER = (0x0A, 0xC0, 0xC1, *range(0xF5, 0x100))


class ByteTokenizer(Tokenizer):
    """Ids are reserved ids, then the 256 bytes in order: the id of a byte is `fields.reserved` + byte.

    Every field is encoded on its own as UTF-8, so reserved ids never come from text.

    Example:
        >>> tokenizer = ByteTokenizer(FieldFormat(field_delimiter=","))
        >>> tokenizer.encode_to_ids("a,é"), tokenizer.total_vocab_size
        ([99, 1, 197, 171], 258)
        >>> tokenizer.decode_from_ids([99, 1, 197, 171])
        'a,é'
    """

    def __init__(self, fields: FieldFormat) -> None:
        self.fields = fields
        self.field_delimiter = fields.field_delimiter
        self.quoted = fields.quoted
        single = [bytes([value]) for value in range(SIZE)]
        self._bytes = (*[text.encode() for text in fields.reserved_text()], *single)
        self._structure = (*[text.encode() for text in fields.structure_text()], *single)

    @property
    def total_vocab_size(self) -> int:
        return len(self._bytes)

    @property
    def never_sampled(self) -> Sequence[int]:
        """The newline and the thirteen bytes that no UTF-8 text contains."""
        return tuple(self.fields.reserved + value for value in NEVER)

    @property
    def digest(self) -> str:
        return digest_of(KIND, self.fields, SIZE)

    def encode_to_ids(self, text: str) -> list[int]:
        offset = self.fields.reserved
        try:
            encoded = [field.encode() for field in self.fields.fields_of(text)]
        except UnicodeEncodeError as error:
            point = ord(error.object[error.start])
            raise TokenizerError(f"the character U+{point:04X} is not Unicode text", code="unknown") from None
        return self.fields.join([[offset + value for value in field] for field in encoded])

    def decode_from_ids(self, ids: Sequence[int]) -> str:
        if len(ids) and (min(ids) < 0 or max(ids) >= len(self._bytes)):
            raise TokenizerError(
                f"an id is outside 0 … {len(self._bytes) - 1}, the range of the tokenizer", code="range"
            )
        try:
            return b"".join(map(self._bytes.__getitem__, ids)).decode()
        except UnicodeDecodeError:
            raise TokenizerError("the ids end or break inside a UTF-8 sequence", code="utf8") from None

    def structure_of(self, ids: Sequence[int]) -> str:
        """Text of many records' ids, with newlines for `<n>` and `<d>`: what encoding is verified against."""
        return b"".join(map(self._structure.__getitem__, ids)).decode()

    def save(self, directory: str | Path) -> None:
        save_params(directory, KIND, self.fields, self.total_vocab_size, self.digest)

    @classmethod
    def load(cls, directory: str | Path) -> ByteTokenizer:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged or foreign.
        """
        params = load_params(directory)
        tokenizer = cls(format_from(params, Path(directory)))
        if tokenizer.digest != params["digest"]:
            raise damaged(Path(directory))
        return tokenizer
