"""Characters as tokens: one id a code point, in the order of the vocabulary that tf.Transform counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.errors import TokenizerError
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.tokenizers.field_format import (
    FieldFormat,
    damaged,
    digest_of,
    field_format_from_params,
    load_params,
    save_params,
)

KIND = "characters"
VOCABULARY = "vocabulary.json"


class CharTokenizer(Tokenizer):
    """Ids are reserved ids, then characters by descending count.

    Args:
        code_points: the vocabulary, in the order of ids.

    Example:
        >>> tokenizer = CharTokenizer([97, 98], FieldFormat(field_delimiter=", "))
        >>> tokenizer.encode_to_ids("ab, b"), tokenizer.decode_from_ids([2, 3, 1, 3])
        ([2, 3, 1, 3], 'ab, b')
    """

    def __init__(self, code_points: Sequence[int], fields: FieldFormat) -> None:
        self.fields = fields
        self.field_delimiter = fields.field_delimiter
        self.quoted = fields.quoted
        self._code_points = tuple(code_points)
        characters = [chr(point) for point in self._code_points]
        self._text = (*fields.reserved_text(), *characters)
        self._structure = (*fields.structure_text(), *characters)
        # The same as numbers, for arrays of ids; -1 stands for nothing.
        self._structure_points = np.array([ord(text) if text else -1 for text in self._structure], "<i4")
        self._ids = {character: fields.reserved + number for number, character in enumerate(characters)}

    @property
    def total_vocab_size(self) -> int:
        return len(self._text)

    @property
    def never_sampled(self) -> Sequence[int]:
        return self.fields.unused

    @property
    def digest(self) -> str:
        return digest_of(KIND, self.fields, list(self._code_points))

    def encode_to_ids(self, text: str) -> list[int]:
        try:
            return self.fields.join([[self._ids[c] for c in field] for field in self.fields.split_record(text)])
        except KeyError as error:
            point = ord(error.args[0])
        raise TokenizerError(
            f"the character U+{point:04X} is not in the vocabulary of the training data", code="unknown"
        )

    def decode_from_ids(self, ids: Sequence[int]) -> str:
        try:
            if ids and min(ids) < 0:
                raise IndexError
            return "".join(map(self._text.__getitem__, ids))
        except IndexError:
            raise TokenizerError(
                f"an id is outside 0 … {len(self._text) - 1}, the range of the tokenizer", code="range"
            ) from None

    def decode_structure(self, ids: Sequence[int] | npt.NDArray[np.int64]) -> str:
        """Text of many records' ids, none negative, with newlines for `<n>` and `<d>`: what encoding is verified against."""
        if isinstance(ids, np.ndarray):
            points = self._structure_points[ids]
            return points[points >= 0].tobytes().decode("utf-32-le")
        return "".join(map(self._structure.__getitem__, ids))

    def save(self, directory: str | Path) -> None:
        write_json(Path(directory) / VOCABULARY, list(self._code_points))
        save_params(directory, KIND, self.fields, self.total_vocab_size, self.digest)

    @classmethod
    def load(cls, directory: str | Path) -> CharTokenizer:
        """Read what `save` wrote.

        Raises:
            DataError: a file is missing, damaged or foreign.
        """
        params = load_params(directory)
        path = Path(directory) / VOCABULARY
        code_points = read_json(path, "the tokenizer's vocabulary")
        if (
            not isinstance(code_points, list)
            or not all(type(point) is int and 0 <= point < 0x110000 for point in code_points)
            or len(set(code_points)) != len(code_points)
        ):
            raise damaged(path)
        tokenizer = cls(code_points, field_format_from_params(params, path))
        if tokenizer.digest != params["digest"]:
            raise damaged(path)
        return tokenizer


def code_points_of_vocabulary(vocabulary: Sequence[bytes]) -> list[int]:
    """Code points of a tf.Transform vocabulary, its reserved entries (negative numbers) left out."""
    points = [json.loads(entry) for entry in vocabulary]
    return [point for point in points if point >= 0]
