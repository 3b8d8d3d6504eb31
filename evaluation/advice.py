"""What to do next, derived from the figures of a report. An option is named only where it can help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linesmith.evaluation.labels import COMPONENT_LABELS
from linesmith.evaluation.verdict import CLOSE, MIN_HOLDOUT, MIN_RECORDS

_MUCH_MORE = 2  # times as many epochs, units or records: less would hardly be seen


def next_steps(body: Mapping[str, Any]) -> list[str]:
    """Return sentences that say what to do, the weightiest first.

    Args:
        body: content of a report; without `context`, or with an empty one, any files were compared and nothing is known of the
            model.
    """
    context = body.get("context") or {}
    steps = [*_leaks(body, context), *_sizes(body, context), *_training(body, context), *_drawing(body, context)]
    if not steps:
        steps = [
            "Nothing needs to be changed: the records are as close as other real records are, and no copies were found."
        ]
    if body["verdict"]["privacy"] == "no leak found" and not context.get("private"):
        steps.append("Before you publish: tests find only what they look for. A guarantee needs training with --dp.")
    return steps


def _leaks(body: Mapping[str, Any], context: Mapping[str, Any]) -> list[str]:
    if body["verdict"]["privacy"] != "leak":
        return []
    if context.get("private"):
        return [
            "Do not publish these records: this should not happen with --dp. Run linesmith audit, and report what it finds."
        ]
    return [
        "Do not publish these records: more of the training records reappears than chance explains. Train with --dp, which "
        "bounds what can leak, or with more records; then evaluate again. The rule not_in_training_set (--rules) refuses exact "
        "copies, but not near ones."
    ]


def _sizes(body: Mapping[str, Any], context: Mapping[str, Any]) -> list[str]:
    sizes = {name: body["sets"].get(name, {}).get("records", 0) for name in ("training", "holdout", "synthetic")}
    steps = []
    if sizes["training"] < MIN_RECORDS:
        steps.append(
            f"Too few records to learn from: {_count(sizes['training'], 'training record')}. Give some hundreds at least, better "
            f"thousands ({'--input' if context else '--real'})."
        )
    if sizes["synthetic"] < MIN_RECORDS:
        more = " with --num-lines 1000" if context else ""
        steps.append(
            f"Too few records to judge: {_count(sizes['synthetic'], 'synthetic record')}. Generate more{more}."
        )
    if sizes["training"] < MIN_RECORDS:
        return steps  # a larger holdout would leave fewer still
    fraction = (context.get("settings") or {}).get("holdout_fraction")
    larger = "evaluate with --holdout FILE, real records that the model never saw"
    if fraction is not None and fraction < 0.2:
        larger = f"train with --holdout-fraction 0.2 (it was {fraction:g}), or {larger}"
    elif not context:
        larger = "give --holdout FILE, real records that the model never saw"
    if not sizes["holdout"]:
        steps.append(f"To find out whether training records were copied, {larger}.")
    elif sizes["holdout"] < MIN_HOLDOUT or (
        body["verdict"]["privacy"] == "unclear" and sizes["synthetic"] >= MIN_RECORDS  # otherwise these are too few
    ):
        steps.append(
            f"Too few real records were held back ({sizes['holdout']:,}) to be sure about copies: {larger}. More "
            "synthetic records do not help here."
        )
    return steps


def _training(body: Mapping[str, Any], context: Mapping[str, Any]) -> list[str]:
    """Return what training could do for closeness, by why it ended."""
    if body["verdict"]["closeness"] not in ("near", "far"):
        return []
    if context.get("private"):  # more epochs would need more noise in each step, and none was measured as the best
        text = (
            "The noise of --dp costs closeness: more records, or a larger --dp-target-epsilon, which protects less, bring the "
            "output closer."
        )
        return [text, _worst(body)]
    settings, model = context.get("settings") or {}, context.get("model") or {}
    counts = model.get("counts") or {}
    stopped, epochs, best = model.get("stopped"), counts.get("epochs"), counts.get("best epoch")
    steps = []
    if stopped == "time":
        limit = settings.get("max_training_time_seconds")
        given = "" if limit is None else f" (it was {limit:,})"
        steps.append(f"Train longer: training ended at its time limit. Raise --max-training-time-seconds{given}.")
    elif stopped == "epochs" and epochs and best is not None and best >= epochs - 1:
        steps.append(
            "Train longer: the last epoch was still the best. Set more epochs, for example "
            f"--epochs {_MUCH_MORE * epochs} (it was {epochs})."
        )
    elif stopped == "patience":
        units = settings.get("rnn_units")
        larger = f", or a larger network (--rnn-units {_MUCH_MORE * units})" if units else ""
        steps.append(
            f"More epochs will not help: the loss stopped falling after epoch {best}. More training records do{larger}."
        )
    return [*steps, _worst(body)]


def _worst(body: Mapping[str, Any]) -> str:
    """Say which figures to look at first."""
    components = sorted(body["closeness"]["components"], key=lambda one: one["ratio"])
    fields = [one for one in body["closeness"]["fields"] if one["distance"]["synthetic"] is not None]
    worst = max(fields, key=lambda one: one["distance"]["synthetic"], default=None)
    names = [f"'{COMPONENT_LABELS[one['name']]}'" for one in components[:2] if one["ratio"] < CLOSE]
    text = f"Look first at {' and '.join(names)} below"
    if worst is None or len(fields) == 1:
        return f"{text}."
    return (
        f"{text}; of the fields, '{worst['name']}' differs most (distance {worst['distance']['synthetic']:.2f} of 1)."
    )


def _drawing(body: Mapping[str, Any], context: Mapping[str, Any]) -> list[str]:
    """Return settings of generation that keep the output from being close."""
    if body["verdict"]["closeness"] not in ("near", "far"):
        return []
    drawn = (context.get("synthetic") or {}).get("settings") or {}
    share = (context.get("model") or {}).get("top_p") or 1
    plain = {"gen_temp": ("--gen-temp", 1), "gen_top_k": ("--gen-top-k", 0), "gen_top_p": ("--gen-top-p", share)}
    flags = [f"{flag} {value}" for name, (flag, value) in plain.items() if drawn.get(name, value) != value]
    steps = []
    if flags:
        steps.append(f"The records were drawn other than the model learned them: generate with {' '.join(flags)}.")
    ratio = {one["name"]: one["ratio"] for one in body["closeness"]["components"]}
    if context and ratio.get("validity", 1.0) < CLOSE:
        steps.append(
            "Some records have a wrong number of fields, or values of a kind that the real ones do not have: --schema-file gives "
            "each field a type and limits that generate keeps."
        )
    return steps


def _count(number: int, what: str) -> str:
    return f"there is 1 {what}" if number == 1 else f"there are {number:,} {what}s"
