"""From the ids of many records to their texts at once, equal to `Tokenizer.decode_from_ids` record by record."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from linesmith.core.errors import TokenizerError
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.tokenizers.char_tokenizer import CharTokenizer
from linesmith.records.fields import DELIMITER_ID, NEWLINE_ID

Ids = npt.NDArray[np.int32]
Decoded = tuple[str, str | None]  # text, or '' and why there is none
# Stands for the delimiter while a block is decoded: no text holds a lone surrogate.
_BREAK = 0xD800


class BatchDecoder:
    """Decodes blocks of records; for characters by one look-up in a table of code points.

    Args:
        tokenizer: of the model.

    Example:
        >>> from linesmith.model.tokenizers.field_format import FieldFormat
        >>> decoder = BatchDecoder(CharTokenizer([97, 98], FieldFormat(field_delimiter=", ")))
        >>> decoder.decode(np.array([2, 1, 3, 0, 3, 0], np.int32), np.array([4, 2]))
        [('a, b', None), ('b', None)]
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._points: npt.NDArray[np.uint32] | None = None
        self._gone: npt.NDArray[np.bool_] | None = None
        if isinstance(tokenizer, CharTokenizer):
            reserved = tokenizer.fields.reserved
            texts = [tokenizer.decode_from_ids([i]) for i in range(reserved, tokenizer.total_vocab_size)]
            markers = [0] * (reserved - 2)
            self._points = np.array([0x0A, _BREAK, *markers, *map(ord, texts)], np.uint32)
            if markers:
                self._gone = np.zeros(len(self._points), np.bool_)
                self._gone[2:reserved] = True

    def decode(self, ids: Ids, lengths: npt.NDArray[Any]) -> list[Decoded]:
        """Texts of records, in order.

        Args:
            ids: their ids, end to end; each ends with `<n>`, which occurs nowhere else.
            lengths: ids of each, the `<n>` counted.
        """
        if not len(lengths):
            return []
        if self._points is not None:
            if self._gone is not None:
                ids = ids[~self._gone[ids]]
            whole = self._points[ids].tobytes().decode("utf-32-le", "surrogatepass")
            whole = whole.replace(chr(_BREAK), self._tokenizer.field_delimiter or "")
            return [(text, None) for text in whole[:-1].split("\n")]
        ends = np.cumsum(lengths)
        return [self.one(ids[end - length : end - 1].tolist()) for end, length in zip(ends, lengths, strict=True)]

    def one(self, ids: list[int]) -> Decoded:
        """The text of one record, its `<n>` left out."""
        try:
            return self._tokenizer.decode_from_ids(ids), None
        except TokenizerError as error:
            return "", error.code if error.code is not None else "utf8"


def char_counts(tokenizer: Tokenizer) -> npt.NDArray[np.int32]:
    """How many characters each token begins. Never more than its text will have, so that no record is cut too early.

    Example:
        >>> from linesmith.model.tokenizers.field_format import FieldFormat
        >>> char_counts(CharTokenizer([97, 98], FieldFormat(field_delimiter=", "))).tolist()
        [0, 2, 1, 1]
    """
    from linesmith.model.sampling.token_automaton import token_bytes
    from linesmith.model.tokenizers.escape import ESCAPE

    escape = ESCAPE.encode()
    begun = []
    for number, content in enumerate(token_bytes(tokenizer)):
        text = content.replace(escape, b"")  # an escape and its code are one character
        begun.append(0 if number == NEWLINE_ID else sum(byte & 0xC0 != 0x80 for byte in text))
    begun[DELIMITER_ID] = len(tokenizer.field_delimiter or "")
    return np.array(begun, np.int32)
