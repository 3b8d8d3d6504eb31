"""Numbers that describe a record, which a discriminator decides by: values, lengths, and differences of fields.

Everything is a function of the record's text alone, computed with exact operations, so it is the same on every machine.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from linesmith.records.fields import FieldFormat

MAX_FIELDS = 256  # that are described; of wider records the first
MAX_CATEGORIES = 254
_LEAST_RECORDS = 5  # that have a value of a category: rarer ones are not stored
_MAX_RUNS = 8  # of digits in a field
_LEAST_SHARE = 0.99  # of the texts of a field, empty ones aside, that must be numbers or have the same number of runs
_MAX_NUMBERS = 64  # columns among which differences are looked for
_MAX_DIFFERENCES = 45
_LEAST_RANK_CORRELATION = 0.3
_RUNS = re.compile("[0-9]+")
_LARGEST = 1e300
_DIGITS_READ = 15  # of a run: as many as a float holds
Matrix = npt.NDArray[np.float64]
Kind = Literal["number", "runs", "category", "text"]


@dataclass(frozen=True)
class FieldFeatures:
    """How a field is described.

    Attributes:
        kind: number: its value and its length; runs: the values of its runs of digits, as of a time; category: which of
            `values` it is; text: its length, shares of digits and capitals, number of words, and first two characters.
        count: number of runs.
        values: of a category, the most frequent first; all others count as one.
    """

    kind: Kind
    count: Annotated[int, Field(ge=0, le=_MAX_RUNS)] = 0
    values: Annotated[tuple[str, ...], Field(max_length=MAX_CATEGORIES)] = ()

    @property
    def width(self) -> int:
        """Number of columns."""
        return {"number": 2, "runs": self.count, "category": 1, "text": 5}[self.kind]

    @property
    def numbers(self) -> int:
        """Number of the first columns that are numbers, between which differences say something."""
        return {"number": 1, "runs": self.count, "category": 0, "text": 0}[self.kind]

    @property
    def paired(self) -> tuple[int, ...]:
        """Its columns that may go together with those of other fields: of a text, the length and the first two characters."""
        return {"number": (0,), "runs": tuple(range(self.count)), "category": (0,), "text": (0, 4)}[self.kind]


@dataclass(frozen=True)
class RecordFeatures:
    """How records are described.

    Attributes:
        fields: of the first fields, in the order of the text.
        field_count: number of fields that a record must have.
        differences: pairs of columns of which the second minus the first is one more column.
    """

    fields: tuple[FieldFeatures, ...]
    field_count: int
    differences: tuple[tuple[int, int], ...] = ()

    @property
    def own_width(self) -> int:
        """Number of columns before those of the differences."""
        return sum(field.width for field in self.fields)

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.own_width + len(self.differences)

    @property
    def field_of_column(self) -> dict[int, int]:
        """The field that each column describes, those of the differences aside."""
        widths = enumerate(field.width for field in self.fields)
        return dict(enumerate(field for field, width in widths for _ in range(width)))

    @property
    def paired_columns(self) -> set[int]:
        """Columns that may go together with those of other fields."""
        starts = itertools.accumulate((field.width for field in self.fields), initial=0)
        return {start + offset for start, field in zip(starts, self.fields, strict=False) for offset in field.paired}

    def is_sound(self) -> bool:
        """Return whether every difference is one of two columns that there are; stored features may be damaged."""
        pairs_fit = all(0 <= min(pair) <= max(pair) < self.own_width for pair in self.differences)
        return pairs_fit and len(self.fields) <= min(self.field_count, MAX_FIELDS) and self.width > 0

    def matrix(self, texts: Sequence[str], fields: FieldFormat) -> tuple[Matrix, npt.NDArray[np.bool_]]:
        """Describe records.

        Args:
            texts: the records.
            fields: how they are split.

        Returns:
            One row of numbers per record, NaN where there is no number, [N, width]; and which records have the right number of
            fields, [N]: the rows of the others hold nothing.

        Example:
            >>> features = RecordFeatures((FieldFeatures("number"), FieldFeatures("number")), 2, ((0, 2),))
            >>> features.matrix(["1.5,4", "2"], FieldFormat(","))[0][0]
            array([1.5, 3. , 4. , 1. , 2.5])
        """
        split = [fields.split_or_none(text) for text in texts]
        described = np.array([parts is not None and len(parts) == self.field_count for parts in split], np.bool_)
        matrix = np.full((len(texts), self.width), np.nan)
        rows = [parts for parts in split if parts is not None and len(parts) == self.field_count]
        if rows:
            own = [_columns(field, [row[n] for row in rows]) for n, field in enumerate(self.fields)]
            found = np.concatenate(own, axis=1) if own else np.empty((len(rows), 0))
            differences = [found[:, later] - found[:, earlier] for earlier, later in self.differences]
            matrix[described] = np.column_stack([found, *differences])
        return matrix, described


def choose_features(texts: Sequence[str], fields: FieldFormat) -> RecordFeatures | None:
    """Choose how records like these are described.

    Args:
        texts: real records.
        fields: how they are split.

    Returns:
        None where there are none, or most have another number of fields than the others.
    """
    split = [parts for text in texts if (parts := fields.split_or_none(text)) is not None]
    if not split:
        return None
    count, usual = Counter(map(len, split)).most_common(1)[0]
    if 2 * usual < len(texts):
        return None
    rows = [parts for parts in split if len(parts) == count]
    chosen = tuple(_choose([row[n] for row in rows]) for n in range(min(count, MAX_FIELDS)))
    plain = RecordFeatures(chosen, count)
    return RecordFeatures(chosen, count, _differences(plain, plain.matrix(texts, fields)[0]))


def _choose(texts: Sequence[str]) -> FieldFeatures:
    """Choose the description of a field."""
    counts = Counter(texts)
    filled = [text for text in texts if text]
    numbers = sum(not np.isnan(_number(text)) for text in filled)
    if filled and numbers >= _LEAST_SHARE * len(filled):
        return FieldFeatures("number")
    if len(counts) <= min(MAX_CATEGORIES, len(texts) // 5):
        return FieldFeatures(
            "category", values=tuple(value for value, n in counts.most_common() if n >= _LEAST_RECORDS)
        )
    runs = Counter(len(_RUNS.findall(text)) for text in filled)
    count, usual = runs.most_common(1)[0] if runs else (0, 0)
    if 2 <= count <= _MAX_RUNS and usual >= _LEAST_SHARE * len(filled):
        return FieldFeatures("runs", count=count)
    return FieldFeatures("text")


def _number(text: str) -> float:
    """Return the number that a text is; NaN where it is none, or so large that a difference could be infinite."""
    try:
        value = float(text)
    except ValueError:
        return np.nan
    return value if abs(value) <= _LARGEST else np.nan


def _columns(field: FieldFeatures, texts: Sequence[str]) -> Matrix:
    """Return the columns of a field, [N, width]."""
    if field.kind == "number":
        return np.array([(_number(text), len(text)) for text in texts], np.float64)
    if field.kind == "category":
        codes = {value: code for code, value in enumerate(field.values)}
        return np.array([[codes.get(text, len(codes))] for text in texts], np.float64)
    if field.kind == "runs":
        return np.array([_run_values(text, field.count) for text in texts], np.float64)
    return np.array([_text_values(text) for text in texts], np.float64)


def _run_values(text: str, count: int) -> list[float]:
    runs = _RUNS.findall(text)
    return [float(run[:_DIGITS_READ]) for run in runs] if len(runs) == count else [np.nan] * count


def _text_values(text: str) -> tuple[float, ...]:
    length = max(len(text), 1)
    first = sum(ord(character) << 21 * (1 - place) for place, character in enumerate(text[:2]))
    digits = sum(character.isdigit() for character in text) / length
    return len(text), digits, sum(character.isupper() for character in text) / length, text.count(" "), first


def _differences(features: RecordFeatures, matrix: Matrix) -> tuple[tuple[int, int], ...]:
    """Return the pairs of columns of numbers that go together most, by Spearman's rank correlation."""
    from scipy.stats import rankdata

    starts = itertools.accumulate((field.width for field in features.fields), initial=0)
    numbers = [range(start, start + field.numbers) for start, field in zip(starts, features.fields, strict=False)]
    columns = [column for some in numbers for column in some if not np.isnan(matrix[:, column]).all()][:_MAX_NUMBERS]
    if len(columns) < 2:
        return ()
    known = matrix[:, columns]
    ranks = rankdata(np.where(np.isnan(known), np.nanmedian(known, axis=0), known), axis=0)
    with np.errstate(invalid="ignore"):  # of a column that does not vary the correlation is NaN
        together = np.abs(np.corrcoef(ranks, rowvar=False))
    pairs = [(-together[i, j], i, j) for j in range(len(columns)) for i in range(j)]
    near = sorted(pair for pair in pairs if -pair[0] >= _LEAST_RANK_CORRELATION)[:_MAX_DIFFERENCES]
    return tuple((columns[i], columns[j]) for _, i, j in near)
