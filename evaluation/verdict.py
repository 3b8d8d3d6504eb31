"""Scores, and the verdict in words with its reasons first.

A component of closeness has a score (1 is the training data themselves) and what the holdout reaches; their ratio, at most
1, says how much of the reachable was reached. Closeness is the mean of these ratios.
"""

from __future__ import annotations

from typing import Any

from linesmith.evaluation.closeness import association_distance
from linesmith.evaluation.leakage import privacy_score

CLOSE, NEAR = 0.95, 0.85  # from these on a ratio is called close, or near
WIDE = 0.05  # an interval that reaches further says too little


def components(parts: dict[str, Any]) -> list[dict[str, Any]]:
    """The components that could be measured, each with how it is computed.

    Args:
        parts: `fields`, `pairs`, `relations`, `text`, `validity`, `safety`, `classifier` and `usefulness`.
    """
    apart = parts["classifier"]["auc"]
    repeats = next(test for test in parts["safety"]["tests"] if "texts" in test)
    repeated = repeats["share"]["training"] + repeats["invented_share"]
    useful = parts["usefulness"]
    rows = [
        ("fields", _both(lambda name: _mean([one["distance"][name] for one in parts["fields"]])),
         "1 − mean distance of the fields (total variation, Kolmogorov–Smirnov)"),
        ("association", _both(lambda name: association_distance(parts["pairs"], name)),
         "1 − share of the association between fields that is lost or invented"),
        ("relations", _both(lambda name: _mean([one["distance"][name] for one in parts["relations"]])),
         "1 − mean Kolmogorov–Smirnov distance of differences and distances between numeric fields"),
        ("text", _both(lambda name: _mean([part[name] for part in parts["text"].values()])),
         "1 − mean of the distances of record length and of runs of three bytes"),
        ("validity", _both(lambda name: None if (s := parts["validity"]["share"].get(name)) is None else 1 - s),
         "share of records with the right number of fields, each of a kind seen in training"),
        ("variety", {"synthetic": repeated, "holdout": 0.0},
         "1 − share of output that repeats a text far more often than real data can"),
        ("indistinguishability", _both(lambda name: None if apart[name] is None else max(0.0, 2 * apart[name] - 1)),
         "2 − 2·AUC of a classifier that tells the set from training records"),
    ]  # fmt: skip
    found = [_component(name, distance, how) for name, distance, how in rows]
    if useful is not None and useful["score"]["synthetic"] is not None:
        reach = min(1.0, useful["score"]["training"])
        score = min(reach, max(0.0, useful["score"]["synthetic"]))
        how = f"skill in predicting '{useful['field']}' of real records after learning from the set"
        found.append({"name": "usefulness", "score": score, "reachable": reach, "ratio": score / reach, "how": how})
    return [one for one in found if one is not None]


def _component(name: str, distance: dict[str, float | None], how: str) -> dict[str, Any] | None:
    made, held = distance["synthetic"], distance["holdout"]
    if made is None:
        return None
    reach = 1.0 if held is None else 1 - held
    score = 1 - made
    ratio = 1.0 if score >= reach else score / reach
    return {"name": name, "score": score, "reachable": None if held is None else reach, "ratio": ratio, "how": how}


def scores(found: list[dict[str, Any]], safety: dict[str, Any], holdout: int) -> dict[str, Any]:
    """Both scores in 0–1, and how each is computed."""
    return {
        "closeness": {
            "value": _mean([one["ratio"] for one in found]),
            "how": "mean over the components of the share of what the holdout reaches",
        },
        "privacy": {
            "value": privacy_score(safety["tests"], holdout),
            "how": "1 − √(largest gap between training and holdout that the tests cannot rule out)",
        },
    }


def verdict(
    parts: dict[str, Any], found: list[dict[str, Any]], values: dict[str, Any], sizes: dict[str, int]
) -> dict[str, Any]:
    """Words: `closeness` (close, near, far), `privacy` (leak, unclear, no leak found) and sentences of reasons for each."""
    closeness = values["closeness"]["value"]
    level = "not measured" if closeness is None else _level(closeness)
    safety = parts["safety"]
    leaks = [test for test in safety["tests"] if test["leak"]]
    widest = max((test["high"] for test in safety["tests"] if test["units"]), default=1.0)
    if not sizes.get("holdout"):
        privacy = "not measured"
    elif leaks:
        privacy = "leak"
    elif widest > WIDE:
        privacy = "unclear"
    else:
        privacy = "no leak found"
    return {
        "closeness": level,
        "privacy": privacy,
        "closeness_reasons": [_reason(one) for one in sorted(found, key=lambda one: one["ratio"])],
        "privacy_reasons": _privacy_reasons(safety, privacy, widest),
    }


def _reason(one: dict[str, Any]) -> str:
    beside = "" if one["reachable"] is None else f"; unseen real records reach {one['reachable']:.2f}"
    return f"{one['name'].capitalize()}: {_level(one['ratio'])} ({one['score']:.2f}{beside})."


def _privacy_reasons(safety: dict[str, Any], privacy: str, widest: float) -> list[str]:
    if privacy == "not measured":
        return ["There is no holdout, so copies cannot be told from coincidences."]
    said = []
    for test in sorted(safety["tests"], key=lambda test: (not test["leak"], -test["high"])):
        share = test["share"]
        if not test["units"] or share["training"] is None:
            said.append(f"{test['name'].capitalize()}: not measured, no unit occurs just once.")
        elif "texts" in test:
            said.append(
                f"{test['name'].capitalize()}: {share['training']:.1%} of the output ({test['texts']:,} texts)."
                if test["leak"] else f"{test['name'].capitalize()}: none."
            )  # fmt: skip
        elif "p_value" in test:
            word = "more than chance explains" if test["leak"] else "no more than chance explains"
            said.append(
                f"{test['name'].capitalize()}: {test['hits']['training']:,} of {test['units']:,}, and "
                f"{test['hits']['holdout']:,} are holdout records; {word} (p = {test['p_value']:.2g})."
            )
        else:
            word = "a leak" if test["leak"] else "no more than by coincidence"
            said.append(
                f"{test['name'].capitalize()}: {share['training']:.2%} of what was learnt and {share['holdout']:.2%} of what was "
                f"never seen, {test['units']:,} of each; the gap lies between {test['low']:+.2%} and {test['high']:+.2%}: {word}."
            )
    if privacy == "unclear":
        said.insert(0, f"Too few records to be sure: a gap of up to {widest:.1%} cannot be ruled out.")
    return said


def _level(ratio: float) -> str:
    return "close" if ratio >= CLOSE else "near" if ratio >= NEAR else "far"


def _both(measure: Any) -> dict[str, float | None]:
    return {name: measure(name) for name in ("synthetic", "holdout")}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
