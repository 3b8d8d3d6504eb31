"""The SentencePiece tokenizer of a model that gretel-synthetics trained, with its model file as it was.

It differs from ours in what a record looks like. The whole record is encoded at once, `field<d>field`, after normalization
(NFKC, extra spaces removed), and SentencePiece puts a space in front of it, which decoding takes away again. So the first token
of a record begins with a space that is not part of the text, and decoding need not give back exactly the text that was encoded.

Training saw records one after another, each ended by `<n>`; generation began with the ids of the text "<n>", which are the added
space and `<n>`. Where these are two ids, the marker before the first field stands for the second of them:
`linesmith.pipelines.import_gretel.network` arranges the weights so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import sentencepiece

from linesmith.core.artifacts.files import write_bytes
from linesmith.core.errors import TokenizerError
from linesmith.model.tokenizers.byte_table import ByteTableTokenizer, decode_utf8, not_unicode_error
from linesmith.model.tokenizers.escape import SPACE_MARK
from linesmith.model.tokenizers.sentencepiece_tokenizer import read_sentencepiece_file
from linesmith.model.tokenizers.token_format import TokenFormat, damaged_tokenizer_error
from linesmith.records.fields import DELIMITER_ID, NEWLINE_ID

NEWLINE_PIECE = "<n>"


class GretelSentencePieceTokenizer(ByteTableTokenizer):
    """Ids are reserved ids, then the pieces of the SentencePiece model in their order, without those of `<n>` and `<d>`.

    Args:
        model: a serialized model that has pieces for `<n>` and for `token_format.field_delimiter_token`.
        token_format: how a record is split into fields; one marker where the text "<n>" is encoded as two ids.

    Attributes:
        old_ids: id in the SentencePiece model of each id; −1 for the marker.
        old_start: ids in the SentencePiece model of the text "<n>".

    Raises:
        ValueError: the model lacks a piece, or the marker does not fit it.
    """

    kind = "gretel_sentencepiece"
    vocabulary_file = "sentencepiece.model"
    drops_leading_space = True

    def __init__(self, model: bytes, token_format: TokenFormat) -> None:
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        reserved = [self._piece(NEWLINE_PIECE), self._piece(token_format.field_delimiter_token)]
        self.old_start: list[int] = self._processor.encode(NEWLINE_PIECE)
        if reserved[0] == reserved[1] or self.old_start[-1:] != reserved[:1]:
            raise ValueError("the pieces of <n> and of the delimiter are not tokens of their own")
        if len(self.old_start) - 1 != token_format.markers:
            raise ValueError("the number of markers does not fit")
        others = [number for number in range(self._processor.get_piece_size()) if number not in reserved]
        self.old_ids = (*reserved, *[-1] * token_format.markers, *others)
        super().__init__(token_format, [self._text_of(number).encode() for number in others])
        self._new_ids = {old: new for new, old in enumerate(self.old_ids) if old >= 0}
        no_text = [self._new_ids[old] for old in others if self._has_no_text(old)]
        self._never_sampled = (*no_text, *token_format.unused_ids)
        self._without_text = set(no_text)

    def _piece(self, text: str) -> int:
        number: int = self._processor.piece_to_id(text)
        if number == self._processor.unk_id():
            raise ValueError(f"there is no piece for {text}")
        return number

    def _has_no_text(self, old: int) -> bool:
        text: str = self._processor.id_to_piece(old)
        return bool(self._processor.is_unknown(old) or self._processor.is_control(old) or "\n" in text)

    def _text_of(self, old: int) -> str:
        """Return the text of a piece; none for the unknown token and control pieces."""
        text: str = self._processor.id_to_piece(old)
        return "" if self._has_no_text(old) else text.replace(SPACE_MARK, " ")

    @property
    def never_sampled(self) -> Sequence[int]:
        """The unknown token, control pieces, and `<d>` if there is no delimiter."""
        return self._never_sampled

    def encode_to_ids(self, text: str) -> list[int]:
        """Encode a record, or the beginning of one, as gretel-synthetics does; see `Tokenizer.encode_to_ids`.

        Raises:
            TokenizerError: a character is not in the vocabulary, or the text contains `<n>` or `<d>` as such.
        """
        fields = self.token_format.split_record(text)
        try:
            old: list[int] = self._processor.encode(self.token_format.field_delimiter_token.join(fields))
        except UnicodeEncodeError as error:
            raise not_unicode_error(error) from None
        ids = [self._new_ids[number] for number in old]
        if not self._without_text.isdisjoint(ids):
            raise TokenizerError(
                "LS223", None, "a character is not in the vocabulary of the training data", "Use others."
            )
        if NEWLINE_ID in ids or ids.count(DELIMITER_ID) != len(fields) - 1:
            raise TokenizerError(
                "LS223", None, "the text contains what stands for a reserved token in this model", "Leave it out."
            )
        return [*range(2, 2 + self.token_format.markers), *ids]

    def encode_field(self, text: str, number: int) -> list[int]:
        """Encode one field, without its marker; only the first of a record has a space put before it."""
        delimiter = self.field_delimiter
        if number == 0 or delimiter is None:
            return super().encode_field(text, number)
        ids = self.encode_to_ids(delimiter + text)
        return ids[ids.index(DELIMITER_ID) + 1 :]

    def _decode(self, ids: Sequence[int]) -> str:
        # The ids of a record; the space that stands before its text is left out.
        if not self._without_text.isdisjoint(ids):
            raise TokenizerError("LS223", None, "a token stands for no text", "Leave it out.")
        content = [self._bytes[number] for number in ids]
        for place, number in enumerate(ids):
            if number == DELIMITER_ID:
                break  # the first field is empty
            content[place] = content[place].removeprefix(b" ")
            if content[place]:
                break
        return decode_utf8(b"".join(content))

    def _vocabulary_entries(self) -> list[Any]:
        processor = self._processor
        return [
            [processor.id_to_piece(piece), processor.get_score(piece)] for piece in range(processor.get_piece_size())
        ]

    def _save_vocabulary(self, path: Path) -> None:
        write_bytes(path, self.model)

    @classmethod
    def _load_vocabulary(cls, path: Path, token_format: TokenFormat) -> Self:
        model = read_sentencepiece_file(path)
        try:
            return cls(model, token_format)
        except (RuntimeError, ValueError, OSError):
            raise damaged_tokenizer_error(path) from None
