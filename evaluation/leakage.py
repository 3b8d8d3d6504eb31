"""How safe: what of the training set reappears in the output beyond what reappears of records that the model never saw.

A candidate (record, near copy, identifier) enters a comparison only if it occurs once in training and holdout together. If
nothing was memorized, such candidates are exchangeable: whether the model was trained on one says nothing about whether it
reappears, however common or guessable it is. So the gap between the two shares is the finding. Candidates that occur more
often are reported separately; equal numbers of both sides are compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from scipy import stats

from linesmith.evaluation.closeness import COMPARED, REAL, EvaluationData
from linesmith.evaluation.dataset_profile import record_hashes
from linesmith.evaluation.distances import newcombe_interval
from linesmith.evaluation.leakage_candidates import (
    MIN_REPEATS,
    Candidates,
    identifier_candidates,
    only_unique,
    record_candidates,
    record_occurrences,
    repeated_texts,
)
from linesmith.evaluation.near_duplicates import (
    MIN_SIMILARITY,
    RUN_LENGTHS,
    find_near_duplicates,
    longest_shared_runs,
)
from linesmith.evaluation.sketches import BottomKSample

CONFIDENCE = 0.95  # for all tests together
_TESTS = 5  # number of tests that share the error rate (Bonferroni)
_NEAR_RECORDS, _RUN_RECORDS = 4000, 2000  # most records of a side searched for near copies, and of the output for runs
_EXAMPLES = 8


def measure_leakage(data: EvaluationData) -> dict[str, Any]:
    """Run all tests for leaked training data.

    Returns:
        Plain JSON: `tests` decide the verdict, everything else explains it.
    """
    confidence = 1 - (1 - CONFIDENCE) / _TESTS
    records = record_candidates(data)
    exact, compared = _compare("records copied exactly", records, confidence)
    identifiers = identifier_candidates(data)
    replay, _ = _compare("identifiers and rare values that reappear", identifiers, confidence)
    near, runs = _near_copies(data, compared, confidence)
    return {
        "confidence": CONFIDENCE,
        "confidence_of_each_test": confidence,
        "tests": [exact, near, replay, _output_test(data), _repetition_test(data)],
        "repeated_texts": _repeated_real_texts(records),
        "identifier_kinds": _by_kind(identifiers),
        "longest_runs": runs,
        "novelty": _novelty(data),
        "examples": _examples(records, identifiers),
    }


def _compare(name: str, candidates: Candidates, confidence: float) -> tuple[dict[str, Any], Candidates]:
    """Compare how many unique candidates of each side reappear, and return the test and the candidates compared."""
    unique = only_unique(candidates)
    size = min(map(len, unique.values()))
    unique = {side: found[:size] for side, found in unique.items()}
    hits = {side: sum(candidate.synthetic > 0 for candidate in found) for side, found in unique.items()}
    return _gap_test(name, size, hits, confidence), unique


def _gap_test(name: str, size: int, hits: dict[str, int], confidence: float) -> dict[str, Any]:
    """Return the test of a gap between `size` candidates of each side: a leak where the interval lies above 0."""
    low, high = newcombe_interval((hits["training"], hits["holdout"]), (size, size), confidence)
    return {
        "name": name,
        "units": size,
        "hits": hits,
        "share": {side: hits[side] / size if size else None for side in hits},
        "gap": (hits["training"] - hits["holdout"]) / size if size else None,
        "low": low,
        "high": high,
        "leak": bool(size) and low > 0,
    }


def _near_copies(data: EvaluationData, unique: Candidates, confidence: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Search a sample of the output for near copies of unique records, and for the longest runs shared with them."""
    profile = data.profiles.get("synthetic")
    distinct = [] if profile is None else _texts(profile.distinct_sample)
    rows = [] if profile is None else _texts(profile.row_sample)[:_RUN_RECORDS]
    sides = {side: [candidate.text for candidate in found[:_NEAR_RECORDS]] for side, found in unique.items()}
    hits = {side: sum(find_near_duplicates(texts, distinct)) for side, texts in sides.items()}
    size = min(map(len, sides.values()))
    near = _gap_test(f"near copies (similarity from {MIN_SIMILARITY:g})", size, hits, confidence)
    runs: dict[str, Any] = {"lengths": [0, *RUN_LENGTHS], "records": len(rows), "source_records": size}
    for side, texts in sides.items():
        longest = longest_shared_runs(rows, texts)
        runs[side] = [int((longest == length).sum()) for length in (0, *RUN_LENGTHS)]
    return near, runs


def _texts(sample: BottomKSample) -> list[str]:
    return [text for _, text, _ in sample.items()]


def _output_test(data: EvaluationData) -> dict[str, Any]:
    """Test whether more distinct synthetic texts are training records than chance explains.

    Only texts that occur once in the real sets count. If nothing was memorized, each of them is a training text with a
    probability equal to training's part of all such texts: a binomial test.
    """
    occurrences = record_occurrences(data)
    counts = [occurrences(key) for key in _distinct_hashes(data, "synthetic")]
    once = [(training, holdout) for training, holdout, _ in counts if training + holdout == 1]
    trained = sum(training for training, _ in once)
    held_out = len(once) - trained
    sizes = {side: data.profiles[side].distinct.estimate if side in data.profiles else 0.0 for side in REAL}
    expected = sizes["training"] / max(sum(sizes.values()), 1)
    p_value = float(stats.binomtest(trained, len(once), expected, "greater").pvalue) if once else 1.0
    excess = max(0.0, trained - held_out * sizes["training"] / max(sizes["holdout"], 1)) / max(len(counts), 1)
    leak = bool(sizes["holdout"]) and p_value < (1 - CONFIDENCE) / _TESTS
    gap = excess if leak else 0.0
    hits = {"training": trained, "holdout": held_out}
    return {
        "name": "texts of the output that are training records",
        "units": len(counts),
        "hits": hits,
        "share": {side: hits[side] / len(counts) if counts else None for side in hits},
        "expected_part_in_training": expected,
        "p_value": p_value,
        "gap": gap,
        "low": gap,
        "high": gap,
        "leak": leak,
    }


def _distinct_hashes(data: EvaluationData, name: str) -> list[int]:
    """Return the hashes of a set's sampled distinct records, ascending; none where the set is absent."""
    return [key for key, _, _ in data.profiles[name].distinct_sample.items()] if name in data.profiles else []


def _repetition_test(data: EvaluationData) -> dict[str, Any]:
    """Test for texts that the output repeats far more often than their frequency in the real data can explain.

    The real rate's upper bound is that of a Poisson count at a level of 1 − 10⁻⁶, because many texts are tested; a rate in
    the output of more than three times this bound counts as far more often.
    """
    occurrences = record_occurrences(data)
    texts = pa.array([text for text, _ in repeated_texts(data.profiles)], pa.large_string())
    total = data.counts["synthetic"].records if "synthetic" in data.counts else 0
    real = sum(data.counts[side].records for side in REAL if side in data.counts)
    memorized, invented, repeated = 0, 0, 0
    for key in record_hashes(texts).tolist():
        training, holdout, synthetic = occurrences(key)
        upper = float(stats.chi2.ppf(1 - 1e-6, 2 * (training + holdout + 1))) / 2 / max(real, 1)
        if synthetic >= MIN_REPEATS and synthetic / total > 3 * upper:
            repeated += 1
            memorized += synthetic if training else 0
            invented += 0 if training else synthetic
    share = memorized / total if total else 0.0
    return {
        "name": "training records repeated far too often",
        "units": total,
        "texts": repeated,
        "hits": {"training": memorized, "holdout": 0},
        "share": {"training": share, "holdout": 0.0},
        "invented_share": invented / total if total else 0.0,
        "gap": share,
        "low": share,
        "high": share,
        "leak": memorized > 0,
    }


def _repeated_real_texts(records: Candidates) -> dict[str, Any]:
    """Count the texts that occur several times in a real set and how many reappear: common texts, not one record's secret."""
    found = {}
    for side, candidates in records.items():
        several = [one for one in candidates if {"training": one.training, "holdout": one.holdout}[side] > 1]
        found[side] = {"texts": len(several), "reappear": sum(one.synthetic > 0 for one in several)}
    return found


def _by_kind(identifiers: Candidates) -> list[dict[str, Any]]:
    """Compare the identifiers of each kind on their own; the kinds share the error rate."""
    kinds = sorted({one.kind for candidates in identifiers.values() for one in candidates})
    confidence = 1 - (1 - CONFIDENCE) / max(len(kinds), 1)
    return [
        _compare(kind, {side: [c for c in some if c.kind == kind] for side, some in identifiers.items()}, confidence)[0]
        for kind in kinds
    ]


def _novelty(data: EvaluationData) -> dict[str, float | None]:
    """Return the share of each compared set's distinct records that the training set does not hold."""
    occurrences = record_occurrences(data)
    found: dict[str, float | None] = {}
    for name in COMPARED:
        in_training = [occurrences(key)[0] for key in _distinct_hashes(data, name)]
        found[name] = sum(not count for count in in_training) / len(in_training) if in_training else None
    return found


def _examples(records: Candidates, identifiers: Candidates) -> list[dict[str, Any]]:
    """Return a few training records and identifiers that occur once in the real data and reappear in the output."""
    chosen = []
    for candidates in (records["training"], identifiers["training"]):
        hits = [one for one in candidates if one.training == 1 and not one.holdout and one.synthetic]
        chosen += sorted(hits, key=lambda one: (-one.synthetic, -len(one.text)))[:_EXAMPLES]
    return [{"kind": one.kind, "text": one.text, "times": one.synthetic} for one in chosen]


def copies_were_judged(tests: Sequence[dict[str, Any]]) -> bool:
    """Return whether any test had something to compare that occurs exactly once in the real sets.

    Args:
        tests: `tests` of `measure_leakage`.
    """
    return any(test["units"] for test in tests if "p_value" not in test and "texts" not in test)


def privacy_score(tests: Sequence[dict[str, Any]], holdout: int) -> float | None:
    """Return 1 − √g, where g is the largest gap that the tests cannot rule out (the upper ends of their intervals).

    The root makes small leaks visible: 1 % of the training records costs 0.1.

    Args:
        tests: `tests` of `measure_leakage`.
        holdout: number of holdout records.

    Returns:
        0 to 1, or None without a holdout or where no copy could be judged and nothing else leaked.
    """
    if not holdout or not (copies_were_judged(tests) or any(test["leak"] for test in tests)):
        return None
    return 1 - math.sqrt(min(1.0, max((test["high"] for test in tests if test["units"]), default=1.0)))
