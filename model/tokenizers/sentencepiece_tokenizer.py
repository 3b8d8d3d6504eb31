"""SentencePiece subwords as tokens, by the sentencepiece package; decoding is a table of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import sentencepiece

from linesmith.core.artifacts.files import open_regular, write_bytes
from linesmith.core.errors import DataError, TokenizerError
from linesmith.model.tokenizers.byte_table import ByteTableTokenizer, decode_utf8, not_unicode_error
from linesmith.model.tokenizers.escape import ESCAPE, SPACE_MARK, escape, unescape
from linesmith.model.tokenizers.token_format import TokenFormat, damaged_tokenizer_error

# Of a serialized model: about a million pieces. A model of 20,000 pieces has 300 kB.
MAX_MODEL_BYTES = 16 << 20
_ESCAPE_BYTES = ESCAPE.encode()


class SentencePieceTokenizer(ByteTableTokenizer):
    """Ids are reserved ids, then the pieces of a SentencePiece model in their order.

    Every field is encoded on its own, so reserved ids never come from text, and no piece spans a delimiter.

    With BPE the ids are those of the tf.Transform graph. A unigram model may have several segmentations with the same, best
    score ("888" as 8 88 or 88 8); the sentencepiece package and TensorFlow Text then choose differently. Both decode to the
    same text.

    Args:
        model: a serialized model, trained with byte fallback and the identity normalizer.
        token_format: how a record is split into fields.
    """

    kind = "sentencepiece"
    vocabulary_file = "sentencepiece.model"

    def __init__(self, model: bytes, token_format: TokenFormat) -> None:
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        pieces = [_bytes_of(self._processor, piece) for piece in range(self._processor.get_piece_size())]
        super().__init__(token_format, pieces)
        offset = token_format.reserved_count
        self._unknown_id = offset + self._processor.unk_id()
        newline_ids = [offset + number for number, piece in enumerate(pieces) if b"\n" in piece]
        self._never_sampled = (self._unknown_id, *newline_ids, *token_format.unused_ids)

    @property
    def never_sampled(self) -> Sequence[int]:
        """The unknown token, the piece of the newline byte, which no record contains, and `<d>` if there is no delimiter."""
        return self._never_sampled

    def encode_to_ids(self, text: str) -> list[int]:
        """Encode a record, or the beginning of one; see `Tokenizer.encode_to_ids`."""
        fields = [escape(field) for field in self.token_format.split_record(text)]
        try:
            # One by one: a list goes through a thread pool, which costs more than the encoding.
            encoded = [self._processor.encode(field) for field in fields]
        except UnicodeEncodeError as error:
            raise not_unicode_error(error) from None
        offset = self.token_format.reserved_count
        return self.token_format.join_ids([[offset + piece for piece in pieces] for pieces in encoded])

    def _decode(self, ids: Sequence[int]) -> str:
        content = self._joined_bytes(ids)
        if self._unknown_id in ids:
            raise TokenizerError("LS223", None, "the unknown token stands for no text", "Leave it out.")
        text = decode_utf8(content)
        if _ESCAPE_BYTES not in content:
            return text
        # Rare: undo escapes field by field, since a delimiter may begin with what looks like the rest of an escape.
        reserved_count = self.token_format.reserved_count
        return "".join(
            self._bytes[run[0]].decode() if run[0] < reserved_count else unescape(decode_utf8(self._joined_bytes(run)))
            for run in _split_runs(ids, reserved_count)
        )

    def decode_structure(self, ids: Sequence[int]) -> str:
        """Decode the ids of many records, with newlines for `<n>` and `<d>`: the form in which encoding is verified."""
        # Field by field, as in `_decode`.
        return "\n".join(map(unescape, super().decode_structure(ids).split("\n")))

    def _vocabulary_entries(self) -> list[Any]:
        processor = self._processor
        return [[processor.id_to_piece(piece), processor.get_score(piece)] for piece in range(len(self.pieces))]

    def _save_vocabulary(self, path: Path) -> None:
        write_bytes(path, self.model)

    @classmethod
    def _load_vocabulary(cls, path: Path, token_format: TokenFormat) -> Self:
        model = read_sentencepiece_file(path)
        try:
            return cls(model, token_format)
        except (RuntimeError, ValueError, OSError):
            raise damaged_tokenizer_error(path) from None


def read_sentencepiece_file(path: Path) -> bytes:
    """Read a serialized model, which is not parsed.

    Raises:
        DataError: LS201, it is missing, empty, or larger than any model.
    """
    try:
        with open_regular(path) as stored:
            model = stored.read(MAX_MODEL_BYTES + 1)
    except OSError:
        raise DataError("LS201", None, f"'{path}' is missing or unreadable", "Run tokenize again.") from None
    if not 0 < len(model) <= MAX_MODEL_BYTES:  # the package accepts an empty model and fails later
        raise damaged_tokenizer_error(path)
    return model


def _bytes_of(processor: sentencepiece.SentencePieceProcessor, piece: int) -> bytes:
    """Return the bytes that a piece writes; the unknown token and control pieces write none."""
    if processor.is_byte(piece):
        return bytes([int(processor.id_to_piece(piece)[1:-1], 16)])  # "<0x41>"
    if processor.is_unknown(piece) or processor.is_control(piece):
        return b""
    text: str = processor.id_to_piece(piece)
    return text.replace(SPACE_MARK, " ").encode()


def _split_runs(ids: Sequence[int], reserved_count: int) -> list[list[int]]:
    """Return runs of text ids, and reserved ids one by one, in order."""
    runs: list[list[int]] = []
    for number in ids:
        if number < reserved_count or not runs or runs[-1][0] < reserved_count:
            runs.append([number])
        else:
            runs[-1].append(number)
    return runs
