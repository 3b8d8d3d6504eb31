"""Decodes the ids of many records at once, with the same result as `Tokenizer.decode_from_ids` record by record."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from linesmith.core.errors import TokenizerError
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.tokenizers.char_tokenizer import CharTokenizer
from linesmith.records.fields import DELIMITER_ID, NEWLINE_ID

Ids = npt.NDArray[np.int32]
Decoded = tuple[str, str | None]  # text, or '' and the reason why there is none
# Stands for the delimiter while a block is decoded: no text holds a lone surrogate.
_BREAK = 0xD800


class BatchDecoder:
    """Decodes batches of records; for a character tokenizer with one look-up in a table of code points.

    Args:
        tokenizer: the model's.

    Example:
        >>> from linesmith.model.tokenizers.token_format import TokenFormat
        >>> decoder = BatchDecoder(CharTokenizer([97, 98], TokenFormat(field_delimiter=", ")))
        >>> decoder.decode(np.array([2, 1, 3, 0, 3, 0], np.int32), np.array([4, 2]))
        [('a, b', None), ('b', None)]
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._code_points: npt.NDArray[np.uint32] | None = None
        self._is_marker: npt.NDArray[np.bool_] | None = None
        if isinstance(tokenizer, CharTokenizer):
            reserved = tokenizer.token_format.reserved_count
            texts = [tokenizer.decode_from_ids([i]) for i in range(reserved, tokenizer.total_vocab_size)]
            markers = [0] * (reserved - 2)
            self._code_points = np.array([0x0A, _BREAK, *markers, *map(ord, texts)], np.uint32)
            if markers:
                self._is_marker = np.zeros(len(self._code_points), np.bool_)
                self._is_marker[2:reserved] = True

    def decode(self, ids: Ids, lengths: npt.NDArray[Any]) -> list[Decoded]:
        """Decode records.

        Args:
            ids: their ids, end to end; each record ends with `<n>`, which occurs nowhere else.
            lengths: number of ids of each, its `<n>` included, [N].

        Returns:
            Text and error of each, in order.
        """
        if not len(lengths):
            return []
        if self._code_points is not None:
            if self._is_marker is not None:
                ids = ids[~self._is_marker[ids]]  # column markers have no text
            joined = self._code_points[ids].tobytes().decode("utf-32-le", "surrogatepass")
            if self._tokenizer.token_format.form:
                return [self._record_text(record.split(chr(_BREAK))) for record in joined[:-1].split("\n")]
            joined = joined.replace(chr(_BREAK), self._tokenizer.field_delimiter or "")
            return [(text, None) for text in joined[:-1].split("\n")]
        ends = np.cumsum(lengths)
        return [
            self.decode_one(ids[end - length : end - 1].tolist()) for end, length in zip(ends, lengths, strict=True)
        ]

    def _record_text(self, fields: list[str]) -> Decoded:
        try:
            return self._tokenizer.token_format.record_text(fields), None
        except TokenizerError as error:
            return "", error.reason

    def decode_one(self, ids: list[int]) -> Decoded:
        """Decode the ids of one record, given without its `<n>`."""
        try:
            return self._tokenizer.decode_from_ids(ids), None
        except TokenizerError as error:
            return "", error.reason


def char_counts(tokenizer: Tokenizer) -> npt.NDArray[np.int32]:
    """Count the characters that each token begins.

    The sum over a record's tokens is never more than the characters of its text, so that no record is cut too early.

    Returns:
        Counts by id, [vocab].

    Example:
        >>> from linesmith.model.tokenizers.token_format import TokenFormat
        >>> char_counts(CharTokenizer([97, 98], TokenFormat(field_delimiter=", "))).tolist()
        [0, 2, 1, 1]
    """
    from linesmith.model.sampling.token_automaton import bytes_per_token
    from linesmith.model.tokenizers.escape import ESCAPE

    escape = ESCAPE.encode()
    counts = []
    for number, content in enumerate(bytes_per_token(tokenizer)):
        text = content.replace(escape, b"")  # an escape and its code are one character
        # Every byte but a continuation byte of UTF-8 begins a character.
        counts.append(0 if number == NEWLINE_ID else sum(byte & 0xC0 != 0x80 for byte in text))
    counts[DELIMITER_ID] = len(tokenizer.field_delimiter or "")
    if tokenizer.drops_leading_space and tokenizer.token_format.markers:
        counts[2] = -1  # for the space that the token after the first marker begins with
    return np.array(counts, np.int32)
