"""How safe: what of the training set reappears in the output beyond what reappears of records that the model never saw.

A unit (record, near copy, identifier) enters a comparison only if it occurs once in training and holdout together. If
nothing was learnt by heart, such units are exchangeable: whether one was trained on says nothing about whether it reappears,
however common or guessable it is. So the gap between the two shares is the finding. Units that occur more often are
reported apart; equal numbers of both sides are compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import stats

from linesmith.evaluation.closeness import Evidence
from linesmith.evaluation.dataset_profile import Survey, record_hashes
from linesmith.evaluation.distances import newcombe_interval
from linesmith.evaluation.hashing import Hashes
from linesmith.evaluation.near_duplicates import MIN_SIMILARITY, RUN_LENGTHS, find_near_duplicates, longest_runs
from linesmith.evaluation.schema import CATEGORY
from linesmith.evaluation.schema_counts import Probes

CONFIDENCE = 0.95  # for all tests together
_TESTS = 5  # the family over which the error is shared (Bonferroni)
_NEAR_UNITS, _RUN_UNITS = 4000, 2000
_TOP_TEXTS = 64
_OFTEN = 5  # a text must occur so often in the output to count as repeated
_EXAMPLES = 8


@dataclass(frozen=True)
class Unit:
    """Something that may reappear: its text, its kind, and how often it occurs in each set."""

    text: str
    kind: str
    training: int
    holdout: int
    synthetic: int


def choose_tracked_hashes(surveys: dict[str, Survey], categories: Sequence[int]) -> Probes:
    """What the second pass must count: all sampled records and identifiers, and the output's most frequent texts.

    Args:
        categories: fields whose values are categories, which identify nobody.
    """
    records = [key for survey in surveys.values() for key, _, _ in survey.texts.items()]
    tops = [text for text, _ in _top_texts(surveys)]
    hashes = np.concatenate([np.array(records, np.uint64), record_hashes(pa.array(tops, pa.large_string()))])
    identifiers, columns = [], set()
    for name in ("training", "holdout"):
        for key, (_, kind), _ in surveys[name].identifiers.items() if name in surveys else []:
            if isinstance(kind, int):
                if kind in categories:
                    continue
                columns.add(kind)
            identifiers.append(key)
    return Probes(np.unique(hashes), np.unique(np.array(identifiers, np.uint64)), tuple(sorted(columns)))


def _top_texts(surveys: dict[str, Survey]) -> list[tuple[str, int]]:
    if "synthetic" not in surveys:
        return []
    return [(text, count) for text, count in surveys["synthetic"].frequent.top(_TOP_TEXTS) if count >= _OFTEN]


def measure_leakage(evidence: Evidence) -> dict[str, Any]:
    """All findings, as plain JSON; `tests` decide the verdict, the rest explains it."""
    confidence = 1 - (1 - CONFIDENCE) / _TESTS
    records = _records(evidence)
    exact, exact_units = _compare("records copied exactly", records, confidence)
    named = _identifiers(evidence)
    replay, _ = _compare("identifiers and rare values replayed", named, confidence)
    near, runs = _near(evidence, exact_units, confidence)
    output = _output_side(evidence)
    repeats = _repeats(evidence)
    return {
        "confidence": CONFIDENCE,
        "confidence_of_each_test": confidence,
        "tests": [exact, near, replay, output, repeats],
        "repeated_texts": _repeated(records),
        "identifier_kinds": _by_kind(named, evidence),
        "longest_runs": runs,
        "novelty": _novelty(evidence),
        "examples": _examples(records, named, evidence),
    }


def _compare(
    name: str, units: dict[str, list[Unit]], confidence: float
) -> tuple[dict[str, Any], dict[str, list[Unit]]]:
    """Units that occur once in the real sets together, as many of one side as of the other."""
    once = _once(units)
    size = min(map(len, once.values()))
    once = {side: found[:size] for side, found in once.items()}
    hits = {side: sum(unit.synthetic > 0 for unit in found) for side, found in once.items()}
    return _gap(name, size, hits, confidence), once


def _once(units: dict[str, list[Unit]]) -> dict[str, list[Unit]]:
    """Units that occur once in the real sets together."""
    return {side: [unit for unit in some if unit.training + unit.holdout == 1] for side, some in units.items()}


def unique_records(evidence: Evidence) -> dict[str, list[Unit]]:
    """Sampled records of `training` and of `holdout` that occur once in the real sets together, by rising hash."""
    return _once(_records(evidence))


def _gap(name: str, size: int, hits: dict[str, int], confidence: float) -> dict[str, Any]:
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


def _records(evidence: Evidence) -> dict[str, list[Unit]]:
    """Sampled distinct records of both real sets, by rising hash."""
    hits = _hits(evidence, "record_hits", "records")
    found: dict[str, list[Unit]] = {"training": [], "holdout": []}
    for side, units in found.items():
        if side in evidence.surveys:
            for key, text, _ in evidence.surveys[side].texts.items():
                units.append(Unit(text, "record", *hits(key)))
    return found


def _identifiers(evidence: Evidence) -> dict[str, list[Unit]]:
    hits = _hits(evidence, "identifier_hits", "identifiers")
    fields = evidence.schema.fields
    found: dict[str, list[Unit]] = {"training": [], "holdout": []}
    for side, units in found.items():
        for key, (text, kind), _ in evidence.surveys[side].identifiers.items() if side in evidence.surveys else []:
            if not isinstance(kind, int):
                units.append(Unit(text, kind, *hits(key)))
            elif kind < len(fields) and fields[kind].role != CATEGORY:
                units.append(Unit(text, f"rare value of {fields[kind].name}", *hits(key)))
    return found


def _hits(evidence: Evidence, counts: str, probes: str) -> Any:
    """Occurrences of a hash in training, holdout and synthetic."""
    tallies = evidence.tallies
    keys: Hashes = getattr(tallies["training"].plan.probes, probes)
    arrays = [
        getattr(tallies[name], counts) if name in tallies else None for name in ("training", "holdout", "synthetic")
    ]

    def of(key: int) -> tuple[int, int, int]:
        at = int(np.searchsorted(keys, np.uint64(key)))
        if at == len(keys) or int(keys[at]) != key:
            return 0, 0, 0
        training, holdout, synthetic = (0 if array is None else int(array[at]) for array in arrays)
        return training, holdout, synthetic

    return of


def _near(evidence: Evidence, once: dict[str, list[Unit]], confidence: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Near copies of the same units in a sample of the output, and the longest runs that the output shares with them."""
    synthetic = [text for _, text, _ in _sample(evidence, "synthetic", "texts")]
    sides = {side: [unit.text for unit in units[:_NEAR_UNITS]] for side, units in once.items()}
    hits = {side: sum(find_near_duplicates(texts, synthetic)) for side, texts in sides.items()}
    size = min(map(len, sides.values()))
    near = _gap(f"near copies (similarity from {MIN_SIMILARITY:g})", size, hits, confidence)
    some = [text for _, text, _ in _sample(evidence, "synthetic", "rows")][:_RUN_UNITS]
    runs: dict[str, Any] = {"lengths": [0, *RUN_LENGTHS], "records": len(some), "source_records": size}
    for side, texts in sides.items():
        longest = longest_runs(some, texts)
        runs[side] = [int((longest == length).sum()) for length in (0, *RUN_LENGTHS)]
    return near, runs


def _sample(evidence: Evidence, name: str, sample: str) -> list[tuple[int, Any, int]]:
    return getattr(evidence.surveys[name], sample).items() if name in evidence.surveys else []


def _output_side(evidence: Evidence) -> dict[str, Any]:
    """Distinct synthetic texts that occur once in the real sets: are more of them in training than chance puts there?

    By exchangeability each is a training text with a chance equal to training's part of all such texts: a binomial test.
    """
    hits = _hits(evidence, "record_hits", "records")
    counts = [hits(key) for key, _, _ in _sample(evidence, "synthetic", "texts")]
    once = [(training, holdout) for training, holdout, _ in counts if training + holdout == 1]
    trained = sum(training for training, _ in once)
    sizes = {side: evidence.surveys[side].distinct.estimate if side in evidence.surveys else 0.0
             for side in ("training", "holdout")}  # fmt: skip
    expected = sizes["training"] / max(sum(sizes.values()), 1)
    p_value = float(stats.binomtest(trained, len(once), expected, "greater").pvalue) if once else 1.0
    excess = max(0.0, trained - (len(once) - trained) * sizes["training"] / max(sizes["holdout"], 1)) / max(
        len(counts), 1
    )
    leak = bool(sizes["holdout"]) and p_value < (1 - CONFIDENCE) / _TESTS
    return {
        "name": "texts of the output that are training records",
        "units": len(counts),
        "hits": {"training": trained, "holdout": len(once) - trained},
        "share": {"training": trained / len(counts) if counts else None,
                  "holdout": (len(once) - trained) / len(counts) if counts else None},
        "expected_part_in_training": expected,
        "p_value": p_value,
        "gap": excess if leak else 0.0,
        "low": excess if leak else 0.0,
        "high": excess if leak else 0.0,
        "leak": leak,
    }  # fmt: skip


def _repeats(evidence: Evidence) -> dict[str, Any]:
    """Texts that the output repeats far beyond how common they can be, given how often they occur in the real data.

    The real rate's upper end is that of a Poisson count at a level of 1 − 10⁻⁶, since many texts are looked at; three times
    that is far beyond.
    """
    hits = _hits(evidence, "record_hits", "records")
    tops = _top_texts(evidence.surveys)
    keys = record_hashes(pa.array([text for text, _ in tops], pa.large_string())).tolist()
    total = evidence.tallies["synthetic"].records if "synthetic" in evidence.tallies else 0
    real = sum(evidence.tallies[side].records for side in ("training", "holdout") if side in evidence.tallies)
    learnt, invented, texts = 0, 0, 0
    for key in keys:
        training, holdout, synthetic = hits(key)
        upper = float(stats.chi2.ppf(1 - 1e-6, 2 * (training + holdout + 1))) / 2 / max(real, 1)
        if synthetic >= _OFTEN and synthetic / total > 3 * upper:
            texts += 1
            learnt += synthetic if training else 0
            invented += 0 if training else synthetic
    share = learnt / total if total else 0.0
    return {
        "name": "training records repeated far too often",
        "units": total,
        "texts": texts,
        "hits": {"training": learnt, "holdout": 0},
        "share": {"training": share, "holdout": 0.0},
        "invented_share": invented / total if total else 0.0,
        "gap": share,
        "low": share,
        "high": share,
        "leak": learnt > 0,
    }


def _repeated(records: dict[str, list[Unit]]) -> dict[str, Any]:
    """Of texts that occur more than once in a real set, how many reappear: common texts, not secrets of one record."""
    found = {}
    for side, units in records.items():
        several = [unit for unit in units if getattr(unit, side) > 1]
        found[side] = {"texts": len(several), "reappear": sum(unit.synthetic > 0 for unit in several)}
    return found


def _by_kind(named: dict[str, list[Unit]], evidence: Evidence) -> list[dict[str, Any]]:
    kinds = sorted({unit.kind for units in named.values() for unit in units})
    confidence = 1 - (1 - CONFIDENCE) / max(len(kinds), 1)
    return [
        _compare(kind, {side: [u for u in units if u.kind == kind] for side, units in named.items()}, confidence)[0]
        for kind in kinds
    ]


def _novelty(evidence: Evidence) -> dict[str, float | None]:
    """Share of a set's distinct records that the training set does not hold."""
    hits = _hits(evidence, "record_hits", "records")
    found: dict[str, float | None] = {}
    for name in ("synthetic", "holdout"):
        counts = [hits(key)[0] for key, _, _ in _sample(evidence, name, "texts")]
        found[name] = sum(not training for training in counts) / len(counts) if counts else None
    return found


def _examples(records: dict[str, list[Unit]], named: dict[str, list[Unit]], evidence: Evidence) -> list[dict[str, Any]]:
    """A few training records and identifiers that occur once in the real data and reappear."""
    chosen = []
    for units in (records["training"], named["training"]):
        hits = [unit for unit in units if unit.training == 1 and not unit.holdout and unit.synthetic]
        chosen += sorted(hits, key=lambda unit: (-unit.synthetic, -len(unit.text)))[:_EXAMPLES]
    return [{"kind": unit.kind, "text": unit.text, "times": unit.synthetic} for unit in chosen]


def privacy_score(tests: Sequence[dict[str, Any]], holdout: int) -> float | None:
    """1 − √g, g being the largest gap that the tests cannot rule out (the upper ends of their intervals).

    The root makes small leaks visible: 1 % of the training records costs 0.1. None without a holdout: nothing was tested.
    """
    if not holdout:
        return None
    return 1 - math.sqrt(min(1.0, max((test["high"] for test in tests if test["units"]), default=1.0)))
