"""What the records of an input have in common: how many have how many fields, and which texts make up much of them.

Surveys of parts of the input can be merged in any order. Their memory is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

# The occurrences of a text are shared out where it makes up more than this part of the records, and occurs at least so often:
# of three occurrences, training or holdout get two, so that no test of an evaluation takes the text for one that occurs once.
FREQUENT_PART, FREQUENT_LEAST = 100, 3
_USUAL_PERCENT = 99  # smallest share of the records whose number of fields is taken for the rule
_KEPT = 1000  # texts that survive a reduction: a count is too small by at most a thousandth of all records
_MOST = 8 * _KEPT


@dataclass
class FrequentTexts:
    """The most frequent of any number of texts, by their hashes (Misra and Gries, 1982; merged as by Agarwal et al., 2012).

    Attributes:
        counts: smallest possible count of each kept text.
        missed: no text has more occurrences than its kept count and this number.
    """

    counts: Counter[int] = field(default_factory=Counter)
    missed: int = 0

    def add(self, hashes: npt.NDArray[np.int64]) -> None:
        """Add the texts of some records."""
        values, counts = np.unique(hashes, return_counts=True)
        self.counts.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        self._reduce()

    def merge(self, other: FrequentTexts) -> None:
        """Add the texts of other records."""
        self.counts.update(other.counts)
        self.missed += other.missed
        self._reduce()

    def _reduce(self) -> None:
        if len(self.counts) <= _MOST:
            return
        # Each of more than _KEPT texts loses as much, so all records together bound what one can lose.
        loss = sorted(self.counts.values(), reverse=True)[_KEPT]
        self.counts = Counter({text: count - loss for text, count in self.counts.items() if count > loss})
        self.missed += loss

    def candidates(self, records: int) -> frozenset[int]:
        """Return the hashes of all texts that may be frequent among a number of records, and few others."""
        return frozenset(text for text, count in self.counts.items() if is_frequent(count + self.missed, records))


def is_frequent(count: int, records: int) -> bool:
    """Return whether a text with this count would take too large a part of the records to one side of the split."""
    return count >= FREQUENT_LEAST and count * FREQUENT_PART > records


@dataclass
class RecordSurvey:
    """Survey of records.

    Attributes:
        field_counts: number of records by their number of fields.
        frequent: their most frequent texts.
    """

    field_counts: Counter[int] = field(default_factory=Counter)
    frequent: FrequentTexts = field(default_factory=FrequentTexts)

    def add(self, field_counts: npt.NDArray[np.int64], hashes: npt.NDArray[np.int64]) -> None:
        """Add records by their numbers of fields and the hashes of their texts."""
        values, counts = np.unique(field_counts, return_counts=True)
        self.field_counts.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        self.frequent.add(hashes)

    def merge(self, other: RecordSurvey) -> None:
        """Add the survey of other records."""
        self.field_counts.update(other.field_counts)
        self.frequent.merge(other.frequent)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON, which `from_json` reads."""
        return {
            "field_counts": sorted(self.field_counts.items()),
            "frequent": sorted(self.frequent.counts.items()),
            "missed": self.frequent.missed,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> RecordSurvey:
        """Return the survey that `as_json` described."""
        return cls(_counter(plain["field_counts"]), FrequentTexts(_counter(plain["frequent"]), plain["missed"]))


def _counter(pairs: Iterable[tuple[int, int]]) -> Counter[int]:
    return Counter(dict(pairs))


def most_common_count(field_counts: Mapping[int, int]) -> int:
    """Return the number of fields that most records have; the smallest of several such numbers."""
    return min(field_counts, key=lambda count: (-field_counts[count], count))


def usual_field_count(field_counts: Mapping[int, int]) -> int | None:
    """Return the number of fields that at least 99 % of the records have; None if there is none.

    Example:
        >>> usual_field_count({3: 400, 4: 3}), usual_field_count({3: 98, 4: 2})
        (3, None)
    """
    usual = most_common_count(field_counts)
    return usual if field_counts[usual] * 100 >= sum(field_counts.values()) * _USUAL_PERCENT else None
