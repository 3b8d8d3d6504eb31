"""Scores and the verdict, with reasons in words.

A component of closeness has a score (1 is the training data themselves) and the score that the holdout reaches. Their ratio,
at most 1, says how much of what can be reached was reached. Closeness is the mean of these ratios.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linesmith.evaluation.closeness import COMPARED, association_distance, mean_of_known
from linesmith.evaluation.labels import COMPONENT_LABELS
from linesmith.evaluation.leakage import copies_were_judged, privacy_score

CLOSE, NEAR = 0.95, 0.85  # smallest ratios of the words close and near
# With fewer records of a set, chance alone moves the distances by more than what separates close from far.
MIN_RECORDS, MIN_HOLDOUT = 50, 20
MAX_UNCERTAINTY = 0.05  # where an interval reaches beyond this gap, privacy is unclear


def closeness_components(parts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the components of closeness that could be measured.

    Args:
        parts: `fields`, `pairs`, `relations`, `text`, `validity`, `safety`, `classifier` and `usefulness` of the report.

    Returns:
        One entry per component: `name`, `score`, `reachable` (the holdout's score, None without a holdout), `ratio`, and
        `how` it is computed.
    """
    auc = parts["classifier"]["auc"]
    repeats = next(test for test in parts["safety"]["tests"] if "texts" in test)
    repeated = repeats["share"]["training"] + repeats["invented_share"]
    rows = [
        ("fields", _by_set(lambda name: mean_of_known([one["distance"][name] for one in parts["fields"]])),
         "1 minus the mean distance of the fields (total variation, Kolmogorov–Smirnov)"),
        ("association", _by_set(lambda name: association_distance(parts["pairs"], name)),
         "1 minus the share of the association between fields that is lost or invented"),
        ("relations", _by_set(lambda name: mean_of_known([one["distance"][name] for one in parts["relations"]])),
         "1 minus the mean Kolmogorov–Smirnov distance of differences and distances between numeric fields"),
        ("text", _by_set(lambda name: mean_of_known([part[name] for part in parts["text"].values()])),
         "1 minus the mean of the distances of record length and of runs of three bytes"),
        ("validity", _by_set(lambda name: None if (s := parts["validity"]["share"].get(name)) is None else 1 - s),
         "share of records with the right number of fields, each of a kind seen in training"),
        ("variety", {"synthetic": repeated, "holdout": 0.0},
         "1 minus the share of output that repeats a text far more often than real data can"),
        ("indistinguishability", _by_set(lambda name: None if auc[name] is None else max(0.0, 2 * auc[name] - 1)),
         "1 if a classifier cannot tell the set from training records, 0 if it always can (2 − 2·AUC)"),
    ]  # fmt: skip
    found = [_component(name, distance, how) for name, distance, how in rows]
    return [one for one in [*found, _usefulness(parts["usefulness"])] if one is not None]


def _component(name: str, distance: dict[str, float | None], how: str) -> dict[str, Any] | None:
    synthetic, holdout = distance["synthetic"], distance["holdout"]
    if synthetic is None:
        return None
    reachable = 1.0 if holdout is None else 1 - holdout
    score = 1 - synthetic
    ratio = 1.0 if score >= reachable else score / reachable
    return {
        "name": name,
        "score": score,
        "reachable": None if holdout is None else reachable,
        "ratio": ratio,
        "how": how,
    }


def _usefulness(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the component made of `train_synthetic_test_real`; None where it was not measured."""
    if found is None or found["score"]["synthetic"] is None:
        return None
    reachable = min(1.0, found["score"]["training"])
    score = min(reachable, max(0.0, found["score"]["synthetic"]))
    how = f"skill in predicting '{found['field']}' of real records after learning from the set"
    return {"name": "usefulness", "score": score, "reachable": reachable, "ratio": score / reachable, "how": how}


def compute_scores(components: list[dict[str, Any]], safety: dict[str, Any], holdout: int) -> dict[str, Any]:
    """Return the scores of closeness and privacy, 0 to 1 or None, and how each is computed.

    Args:
        components: result of `closeness_components`.
        safety: result of `measure_leakage`.
        holdout: number of holdout records.
    """
    return {
        "closeness": {
            "value": mean_of_known([one["ratio"] for one in components]),
            "how": "1 means as close to the training records as other real records are; the mean of the parts below",
        },
        "privacy": {
            "value": privacy_score(safety["tests"], holdout),
            "how": "1 would mean that not one training record can have been copied; it is 1 minus the root of the largest "
            "difference that the tests cannot rule out, so more held-out records raise it",
        },
    }


def compute_verdict(
    safety: dict[str, Any], components: list[dict[str, Any]], scores: dict[str, Any], sizes: dict[str, int]
) -> dict[str, Any]:
    """Return the verdict in words, with sentences that give the reasons.

    Args:
        safety: result of `measure_leakage`.
        components: result of `closeness_components`.
        scores: result of `compute_scores`.
        sizes: number of records of each set.

    Returns:
        `closeness` (close, near, far, unclear with too few records, or not measured), `privacy` (leak, unclear, no leak found
        or not measured), `closeness_reasons` and `privacy_reasons`, the weightiest first.
    """
    closeness = scores["closeness"]["value"]
    widest = max((test["high"] for test in safety["tests"] if test["units"]), default=1.0)
    if not sizes.get("holdout"):
        privacy = "not measured"
    elif any(test["leak"] for test in safety["tests"]):
        privacy = "leak"
    elif not copies_were_judged(safety["tests"]):
        privacy = "not measured"
    elif widest > MAX_UNCERTAINTY or sizes.get("synthetic", 0) < MIN_RECORDS:
        privacy = "unclear"
    else:
        privacy = "no leak found"
    return {
        "closeness": _closeness(closeness, sizes),
        "privacy": privacy,
        "closeness_reasons": [
            *_too_few(sizes),
            *(_closeness_reason(one) for one in sorted(components, key=lambda one: one["ratio"])),
        ],
        "privacy_reasons": _privacy_reasons(safety, privacy, widest, sizes),
    }


def _closeness(score: float | None, sizes: dict[str, int]) -> str:
    if score is None:
        return "not measured"
    return "unclear" if _too_few(sizes) else _level(score)


def _too_few(sizes: dict[str, int]) -> list[str]:
    """Return the reason why closeness cannot be judged, if there is one: an empty holdout is none, a tiny one is."""
    small = [f"{sizes.get(name, 0):,} {name}" for name in ("training", "synthetic") if sizes.get(name, 0) < MIN_RECORDS]
    small += [f"{sizes['holdout']:,} holdout"] if 0 < sizes.get("holdout", 0) < MIN_HOLDOUT else []
    if not small:
        return []
    needed = f"at least {MIN_RECORDS} training and synthetic records, and {MIN_HOLDOUT} holdout records, are needed"
    return [f"Too few records to judge ({', '.join(small)}): {needed}. The figures below may be chance."]


def _closeness_reason(component: dict[str, Any]) -> str:
    reachable = component["reachable"]
    beside = " of 1" if reachable is None else f"; other real records reach {reachable:.2f}"
    return f"{COMPONENT_LABELS[component['name']]}: {_level(component['ratio'])} ({component['score']:.2f}{beside})."


def _privacy_reasons(safety: dict[str, Any], privacy: str, widest: float, sizes: dict[str, int]) -> list[str]:
    if not sizes.get("holdout"):
        return [
            "There is no holdout: no real records that the model never saw. So copies cannot be told from coincidences."
        ]
    tests = sorted(safety["tests"], key=lambda test: (not test["leak"], -test["high"]))
    reasons = [f"{test['name'].capitalize()}: {_test_result(test)}" for test in tests]
    if privacy == "not measured":
        reasons.insert(0, "Nothing occurs exactly once in the real sets, so copies cannot be judged.")
    if privacy == "unclear" and sizes.get("synthetic", 0) < MIN_RECORDS:
        reasons.insert(
            0,
            f"Too few records to be sure: only {sizes.get('synthetic', 0):,} synthetic ones, which can hold few copies.",
        )
    elif privacy == "unclear":
        reasons.insert(
            0,
            f"Too few records to be sure: that up to {widest:.1%} of the training records were copied cannot be ruled out.",
        )
    return reasons


def _test_result(test: dict[str, Any]) -> str:
    """Describe the result of one test; which keys it has tells what kind of test it is."""
    share, hits = test["share"], test["hits"]
    if not test["units"] or share["training"] is None:
        return "not measured, because nothing occurs exactly once in the real sets."
    if "texts" in test:
        return (
            f"a leak. They are {share['training']:.1%} of the output ({test['texts']:,} texts)."
            if test["leak"]
            else "none."
        )
    if "p_value" in test:
        word = "a leak" if test["leak"] else "no more than by coincidence"
        return (
            f"{word}. {hits['training']:,} of {test['units']:,}; {hits['holdout']:,} are other real records "
            f"(p = {test['p_value']:.2g})."
        )
    word = "a leak" if test["leak"] else "no more than by coincidence"
    return (
        f"{word}. Of the training set {share['training']:.2%} reappear, of other real records "
        f"{share['holdout']:.2%} ({test['units']:,} of each; the difference lies between {test['low']:+.2%} and "
        f"{test['high']:+.2%})."
    )


def _level(ratio: float) -> str:
    return "close" if ratio >= CLOSE else "near" if ratio >= NEAR else "far"


def _by_set(measure: Callable[[str], float | None]) -> dict[str, float | None]:
    return {name: measure(name) for name in COMPARED}
