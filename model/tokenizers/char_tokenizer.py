"""Characters as tokens: one id per code point, in the order of the vocabulary that tf.Transform counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.errors import TokenizerError
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.tokenizers.token_format import TokenFormat, damaged_tokenizer_error


class CharTokenizer(Tokenizer):
    """Ids are reserved ids, then characters by descending count.

    Args:
        code_points: the vocabulary, in the order of ids.
        token_format: how a record is split into fields.

    Example:
        >>> tokenizer = CharTokenizer([97, 98], TokenFormat(field_delimiter=", "))
        >>> tokenizer.encode_to_ids("ab, b"), tokenizer.decode_from_ids([2, 3, 1, 3])
        ([2, 3, 1, 3], 'ab, b')
    """

    kind = "characters"
    vocabulary_file = "vocabulary.json"

    def __init__(self, code_points: Sequence[int], token_format: TokenFormat) -> None:
        super().__init__(token_format)
        self._code_points = tuple(code_points)
        characters = [chr(point) for point in self._code_points]
        self._text = (*token_format.reserved_text(), *characters)
        self._structure = (*token_format.structure_text(), *characters)
        # The same as code points, so that arrays of ids can be decoded at once; -1 stands for no text.
        self._structure_points = np.array([ord(text) if text else -1 for text in self._structure], "<i4")
        self._ids = {character: token_format.reserved_count + number for number, character in enumerate(characters)}

    @property
    def total_vocab_size(self) -> int:
        """Number of ids, reserved ones included."""
        return len(self._text)

    @property
    def never_sampled(self) -> Sequence[int]:
        """`<d>`, if there is no delimiter."""
        return self.token_format.unused_ids

    def encode_to_ids(self, text: str) -> list[int]:
        """Encode a record, or the beginning of one; see `Tokenizer.encode_to_ids`."""
        fields = self.token_format.split_record(text)
        try:
            return self.token_format.join_ids([[self._ids[character] for character in field] for field in fields])
        except KeyError as error:
            point = ord(error.args[0])
        # Raised outside the handler: the KeyError quotes a character of the record.
        raise TokenizerError(
            "LS223",
            None,
            f"the character U+{point:04X} is not in the vocabulary of the training data",
            "Use characters that the training data have.",
        )

    def _decode(self, ids: Sequence[int]) -> str:
        return "".join(map(self._text.__getitem__, ids))

    def decode_structure(self, ids: Sequence[int] | npt.NDArray[np.int64]) -> str:
        """Decode the ids of many records, with newlines for `<n>` and `<d>`: the form in which encoding is verified.

        Args:
            ids: none is negative; this is not checked.

        Raises:
            IndexError: an id is too large.
        """
        if isinstance(ids, np.ndarray):
            points = self._structure_points[ids]
            return points[points >= 0].tobytes().decode("utf-32-le")
        return "".join(map(self._structure.__getitem__, ids))

    def _vocabulary_entries(self) -> list[Any]:
        return list(self._code_points)

    def _save_vocabulary(self, path: Path) -> None:
        write_json(path, list(self._code_points))

    @classmethod
    def _load_vocabulary(cls, path: Path, token_format: TokenFormat) -> Self:
        code_points = read_json(path, "the tokenizer's vocabulary")
        if (
            not isinstance(code_points, list)
            or not all(type(point) is int and _is_character(point) for point in code_points)
            or len(set(code_points)) != len(code_points)
        ):
            raise damaged_tokenizer_error(path)
        return cls(code_points, token_format)


def _is_character(point: int) -> bool:
    return 0 <= point < 0xD800 or 0xE000 <= point < 0x110000  # surrogates are no characters


def code_points_of_vocabulary(vocabulary: Sequence[bytes]) -> list[int]:
    """Return the code points of a tf.Transform vocabulary, without its reserved entries (negative numbers).

    Args:
        vocabulary: decimal numbers as ASCII bytes, in the order of ids.
    """
    points = [json.loads(entry) for entry in vocabulary]
    return [point for point in points if point >= 0]
