"""Texts of the real sets that may reappear in the output, and how often each occurs in every set.

Candidates are sampled by hash. Their exact counts come from the second pass, which tracks the hashes of all samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linesmith.evaluation.closeness import REAL, SETS, EvaluationData
from linesmith.evaluation.dataset_profile import DatasetProfile, record_hashes
from linesmith.evaluation.hashing import Hashes
from linesmith.evaluation.schema import CATEGORY
from linesmith.evaluation.schema_counts import TrackedHashes

MIN_REPEATS = 5  # a text must occur this often in the output to count as repeated
_TOP_TEXTS = 64


@dataclass(frozen=True)
class LeakageCandidate:
    """A record, identifier or rare value that may reappear in the output.

    Attributes:
        text: the candidate itself.
        kind: `record`, the kind of an identifier, or `rare value of FIELD`.
        training: number of occurrences in the training set.
        holdout: number of occurrences in the holdout set.
        synthetic: number of occurrences in the synthetic set.
    """

    text: str
    kind: str
    training: int
    holdout: int
    synthetic: int


Candidates = dict[str, list[LeakageCandidate]]  # by real set
Occurrences = Callable[[int], tuple[int, int, int]]  # hash → occurrences in training, holdout, synthetic


def choose_tracked_hashes(profiles: dict[str, DatasetProfile], categories: Sequence[int]) -> TrackedHashes:
    """Choose what the second pass tracks: all sampled records and identifiers, and the output's most frequent texts.

    Args:
        profiles: profile of each set.
        categories: numbers of the fields whose values are categories, which identify nobody.
    """
    records = [key for profile in profiles.values() for key, _, _ in profile.distinct_sample.items()]
    tops = [text for text, _ in repeated_texts(profiles)]
    hashes = np.concatenate([np.array(records, np.uint64), record_hashes(pa.array(tops, pa.large_string()))])
    identifiers, columns = [], set()
    for name in REAL:
        for key, (_, kind), _ in profiles[name].identifier_sample.items() if name in profiles else []:
            if isinstance(kind, int):  # the value of a field
                if kind in categories:
                    continue
                columns.add(kind)
            identifiers.append(key)
    return TrackedHashes(np.unique(hashes), np.unique(np.array(identifiers, np.uint64)), tuple(sorted(columns)))


def repeated_texts(profiles: dict[str, DatasetProfile]) -> list[tuple[str, int]]:
    """Return the most frequent synthetic texts with their counts, those that occur at least MIN_REPEATS times."""
    if "synthetic" not in profiles:
        return []
    return [(text, count) for text, count in profiles["synthetic"].frequent.top(_TOP_TEXTS) if count >= MIN_REPEATS]


def record_candidates(data: EvaluationData) -> Candidates:
    """Return the sampled distinct records of both real sets, by ascending hash."""
    occurrences = record_occurrences(data)
    return {
        side: [
            LeakageCandidate(text, "record", *occurrences(key))
            for key, text, _ in (data.profiles[side].distinct_sample.items() if side in data.profiles else [])
        ]
        for side in REAL
    }


def identifier_candidates(data: EvaluationData) -> Candidates:
    """Return the sampled identifiers and values of both real sets, by ascending hash; no values of categories."""
    counts = data.counts
    occurrences = _occurrences(
        counts["training"].plan.tracked.identifiers, {name: counts[name].identifier_hits for name in counts}
    )
    fields = data.schema.fields
    found: Candidates = {side: [] for side in REAL}
    for side, candidates in found.items():
        for key, (text, kind), _ in data.profiles[side].identifier_sample.items() if side in data.profiles else []:
            if not isinstance(kind, int):
                candidates.append(LeakageCandidate(text, kind, *occurrences(key)))
            elif kind < len(fields) and fields[kind].role != CATEGORY:
                candidates.append(LeakageCandidate(text, f"rare value of {fields[kind].name}", *occurrences(key)))
    return found


def only_unique(candidates: Candidates) -> Candidates:
    """Return the candidates that occur exactly once in the two real sets together."""
    return {side: [one for one in some if one.training + one.holdout == 1] for side, some in candidates.items()}


def unique_records(data: EvaluationData) -> Candidates:
    """Return the sampled records that occur exactly once in the two real sets together, by ascending hash."""
    return only_unique(record_candidates(data))


def record_occurrences(data: EvaluationData) -> Occurrences:
    """Return a function that gives the occurrences of a tracked record by its hash."""
    counts = data.counts
    return _occurrences(counts["training"].plan.tracked.records, {name: counts[name].record_hits for name in counts})


def _occurrences(tracked: Hashes, hits: dict[str, npt.NDArray[np.int64]]) -> Occurrences:
    def count(key: int) -> tuple[int, int, int]:
        at = int(np.searchsorted(tracked, np.uint64(key)))
        if at == len(tracked) or int(tracked[at]) != key:
            return 0, 0, 0
        training, holdout, synthetic = (int(hits[name][at]) if name in hits else 0 for name in SETS)
        return training, holdout, synthetic

    return count
