"""SentencePiece sub-words as tokens, through the sentencepiece wheel; decoding is a table of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from linesmith.core.artifacts.files import write_bytes
from linesmith.core.errors import DataError, TokenizerError
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.tokenizers.escape import ESCAPE, SPACE_MARK, escape, unescape
from linesmith.model.tokenizers.field_format import (
    FieldFormat,
    damaged,
    digest_of,
    field_format_from_params,
    load_params,
    save_params,
)

KIND = "sentencepiece"
MODEL = "sentencepiece.model"
_ESCAPE_BYTES = ESCAPE.encode()


class SentencePieceTokenizer(Tokenizer):
    """Ids are reserved ids, then the pieces of a SentencePiece model in their order.

    Every field is encoded on its own, so reserved ids never come from text, and no piece spans a delimiter.

    With BPE the ids are those of the tf.Transform graph. A unigram model may have several segmentations of the same, best
    score ("888" as 8 88 or 88 8); the wheel and TensorFlow Text then choose differently. Both decode to the same text.

    Args:
        model: a serialised model, trained with byte fallback and the identity normaliser.
    """

    def __init__(self, model: bytes, fields: FieldFormat) -> None:
        self.fields = fields
        self.field_delimiter = fields.field_delimiter
        self.quoted = fields.quoted
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        pieces = [_bytes_of(self._processor, piece) for piece in range(self._processor.get_piece_size())]
        self._unknown = fields.reserved + self._processor.unk_id()
        reserved = [text.encode() for text in fields.reserved_text()]
        self._bytes = (*reserved, *pieces)
        self._structure = (*[text.encode() for text in fields.structure_text()], *pieces)
        newline = [fields.reserved + number for number, piece in enumerate(pieces) if b"\n" in piece]
        self._never_sampled = (self._unknown, *newline, *fields.unused)

    @property
    def total_vocab_size(self) -> int:
        return len(self._bytes)

    @property
    def pieces(self) -> Sequence[bytes]:
        """What each id writes, escapes not undone, from the first that is not reserved."""
        return self._bytes[self.fields.reserved :]

    @property
    def never_sampled(self) -> Sequence[int]:
        """The unknown token, the byte piece of the newline, which is in no record, and `<d>` where there is no delimiter."""
        return self._never_sampled

    @property
    def digest(self) -> str:
        processor = self._processor
        pieces = [[processor.id_to_piece(i), processor.get_score(i)] for i in range(processor.get_piece_size())]
        return digest_of(KIND, self.fields, pieces)

    def encode_to_ids(self, text: str) -> list[int]:
        fields = [escape(field) for field in self.fields.split_record(text)]
        try:
            # One by one: a list goes through a thread pool, which costs more than the encoding.
            encoded = [self._processor.encode(field) for field in fields]
        except UnicodeEncodeError as error:
            point = ord(error.object[error.start])
            raise TokenizerError(f"the character U+{point:04X} is not Unicode text", code="unknown") from None
        offset = self.fields.reserved
        return self.fields.join([[offset + piece for piece in pieces] for pieces in encoded])

    def decode_from_ids(self, ids: Sequence[int]) -> str:
        if ids and (min(ids) < 0 or max(ids) >= len(self._bytes)):
            raise TokenizerError(
                f"an id is outside 0 … {len(self._bytes) - 1}, the range of the tokenizer", code="range"
            )
        content = b"".join(map(self._bytes.__getitem__, ids))
        if self._unknown in ids:
            raise TokenizerError("the unknown token stands for no text", code="unknown")
        text = _utf8(content)
        if _ESCAPE_BYTES not in content:
            return text
        # Rare: undo escapes field by field, since a delimiter may begin with what looks like the rest of an escape.
        return "".join(
            self._bytes[part[0]].decode() if part[0] < self.fields.reserved else unescape(self._plain(part))
            for part in _parts(ids, self.fields.reserved)
        )

    def _plain(self, ids: Sequence[int]) -> str:
        return _utf8(b"".join(map(self._bytes.__getitem__, ids)))

    def decode_structure(self, ids: Sequence[int]) -> str:
        """Text of many records' ids, with newlines for `<n>` and `<d>`: what encoding is verified against."""
        return "\n".join(map(unescape, b"".join(map(self._structure.__getitem__, ids)).decode().split("\n")))

    def save(self, directory: str | Path) -> None:
        write_bytes(Path(directory) / MODEL, self.model)
        save_params(directory, KIND, self.fields, self.total_vocab_size, self.digest)

    @classmethod
    def load(cls, directory: str | Path) -> SentencePieceTokenizer:
        """Read what `save` wrote.

        Raises:
            DataError: a file is missing, damaged or foreign.
        """
        params = load_params(directory)
        path = Path(directory) / MODEL
        try:
            model = path.read_bytes()
        except OSError:
            raise DataError(f"LS201: '{path}' is missing or unreadable; run tokenize again.", code="LS201") from None
        fields = field_format_from_params(params, path)
        try:
            tokenizer = cls(model, fields) if model else None
        except (RuntimeError, ValueError, OSError):
            tokenizer = None
        if tokenizer is None or tokenizer.digest != params["digest"]:
            raise damaged(path)
        return tokenizer


def _bytes_of(processor: sentencepiece.SentencePieceProcessor, piece: int) -> bytes:
    if processor.is_byte(piece):
        return bytes([int(processor.id_to_piece(piece)[1:-1], 16)])
    if processor.is_unknown(piece) or processor.is_control(piece):
        return b""
    text: str = processor.id_to_piece(piece)
    return text.replace(SPACE_MARK, " ").encode()


def _utf8(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise TokenizerError("the ids end or break inside a UTF-8 sequence", code="utf8") from None


def _parts(ids: Sequence[int], reserved: int) -> list[list[int]]:
    """Runs of text ids, and reserved ids one by one, in order."""
    parts: list[list[int]] = []
    for number in ids:
        if number < reserved or not parts or parts[-1][0] < reserved:
            parts.append([number])
        else:
            parts[-1].append(number)
    return parts
