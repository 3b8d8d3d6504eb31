"""The privacy claim as JSON. Releasable: it is made of public constants and of what was charged.

Nothing here depends on the records but N, which is treated as public and said to be, and the number of charged steps and
evaluations.
"""

from __future__ import annotations

import math
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.files import write_bytes, write_json
from linesmith.model.privacy.accounting import MAX_MEANINGFUL_EPSILON, group, replace_one
from linesmith.model.privacy.descriptions import (
    ADJACENCY_DESCRIPTIONS,
    GENERATOR,
    SAMPLER_DESCRIPTIONS,
    SPLITS,
    UNITS,
    VOCABULARY_DESCRIPTIONS,
)
from linesmith.model.privacy.statement_text import statement_text

if TYPE_CHECKING:
    from linesmith.model.privacy.plan import PrivacyPlan

STATEMENT_FILE, TEXT_FILE = "privacy.json", "privacy.txt"
FORMAT_VERSION = 1
_GROUP_SIZES = (2, 5, 10)


def statement(
    plan: PrivacyPlan,
    steps_done: int,
    *,
    unsafe_key: bool,
    evaluations_done: int = 0,
    stopped: str | None = None,
    generator: str = GENERATOR,
    callback: bool = False,
    earlier: tuple[int, float] = (0, 0.0),
) -> dict[str, Any]:
    """The claim of a private training, ready for JSON; an infinite epsilon is the word 'infinite'.

    Args:
        plan: the plan that was trained by.
        steps_done: steps that were charged; at most the planned ones.
        evaluations_done: noised evaluations that were charged.
        unsafe_key: samples and noise came from a fixed key, so that there is no claim.
        stopped: why training ended; None while it is unfinished.
        generator: what the secret draws are made with.
        callback: an epoch_callback was there, which may have stopped training.
        earlier: how many trainings were begun in the same run directory before, and the epsilon of all with this one.
    """
    epsilon, delta = plan.epsilon, plan.delta
    described, cost = VOCABULARY_DESCRIPTIONS[plan.vocabulary]
    return {
        "format_version": FORMAT_VERSION,
        "unit": UNITS[plan.unit].format(
            field=plan.user_key_field, most=plan.records_per_unit, are="is" if plan.records_per_unit == 1 else "are"
        ),
        "adjacency": ADJACENCY_DESCRIPTIONS[plan.unit],
        "epsilon": _number(epsilon),
        "delta": delta,
        "epsilon_is": "the claim: at the planned steps, whether or not training reached them",
        "meaning": _meaning(epsilon, unsafe_key, plan.unit),
        "accountant": {
            "name": plan.accountant,
            "library": f"dp-accounting {_version('dp-accounting')}",
            "second_opinion": {"name": "RDP", "epsilon": _number(plan.rdp_epsilon)},
        },
        "spent_so_far": {
            "epsilon": _number(plan.epsilon_at(steps_done, evaluations_done)),
            "steps": steps_done,
            "evaluations": evaluations_done,
            "note": "no claim: where training ends may depend on the data; quote epsilon above instead",
            "stopped_by": stopped,
        },
        "earlier_trainings": {
            "count": earlier[0],
            "epsilon_with_this": _number(earlier[1]) if earlier[0] else None,
            "note": "begun in the same run directory and not finished, or overwritten; each one composes with this one, "
            "unless it was on entirely other records",
        },
        "sampler": SAMPLER_DESCRIPTIONS[plan.unit],
        "sample_rate": plan.sample_rate,
        "expected_batch_size": plan.expected_batch_size,
        "planned_steps": plan.planned_steps,
        "steps_per_epoch": plan.steps_per_epoch,
        f"{plan.unit}s": plan.units,
        f"{plan.unit}s_note": f"the number of {_counted(plan)} is treated as public; sample_rate and steps follow from it",
        "mechanism": _mechanism(plan),
        "vocabulary": {
            "mode": plan.vocabulary,
            "what": described,
            "noise_multiplier": plan.other_events[0].noise_multiplier if plan.other_events else None,
            "epsilon": _number(plan.epsilon_at(0, 0)) if plan.other_events else cost,
        },
        "validation": _validation(plan),
        "group_privacy": _groups(epsilon, delta, plan.unit),
        "replace_one": _pair(*replace_one(epsilon, delta)),
        "split": SPLITS[plan.unit],
        "target_epsilon": plan.target_epsilon,
        "max_epsilon": plan.max_epsilon,
        "unsafe_fixed_key": unsafe_key,
        "generator": generator,
        "not_covered": not_covered(plan.vocabulary, generator, plan.unit, callback=callback),
        "not_releasable": ["private/", "training_data/", "rejects/", ".tmp/"],
    }


def write_statement(model_dir: Path, plan: PrivacyPlan, steps_done: int, **more: Any) -> None:
    """Write `privacy.json` and the same in plain words beside it, each atomically.

    Args:
        model_dir: RUN/model.
        plan: the plan that was trained by.
        steps_done: steps that were charged, those lost in a crash included.
        more: what else `statement` takes.
    """
    facts = statement(plan, steps_done, **more)
    write_json(model_dir / STATEMENT_FILE, facts)
    write_bytes(model_dir / TEXT_FILE, statement_text(facts).encode("utf-8"))


def not_covered(
    vocabulary: str, generator: str = GENERATOR, unit: str = "record", *, callback: bool = False
) -> dict[str, str]:
    """What the claim does not cover, by name."""
    return {
        "raw vocabulary": "in use here: which characters or pieces occur in the records is in tokenizer/"
        if vocabulary == "raw"
        else "not in use here",
        f"number of {unit}s": "N is taken as public, and so is what follows from it",
        "tuning and repeated runs": "each further training on the same data composes with this one, and so does each "
        "setting that was tried; a privacy ledger adds them up",
        "validators and novelty filters": "one that reads raw data is no post-processing: its verdicts are not covered",
        "floating-point attacks": "the Gaussian noise is drawn and added in floating point, whose gaps can be exploited",
        "generator": f"the draws come from {generator}",
        "duplicates and groups": "a text that occurs k times is k records: see group_privacy"
        if unit == "record"
        else "users whose records speak of one another are a group: see group_privacy",
        "callbacks": "an epoch_callback was there: if it stopped training, or changed anything, by a raw loss or by raw "
        "records, this claim is void"
        if callback
        else "an epoch_callback that stops training by a raw loss voids the claim; there was none",
    }


def _counted(plan: PrivacyPlan) -> str:
    return "training records" if plan.unit == "record" else "users with training records"


def _validation(plan: PrivacyPlan) -> dict[str, Any]:
    """What early stopping and the choice of weights went by."""
    loss = plan.validation
    if loss is None:
        public = plan.validation_mode == "public_file"
        what = "a file that was named as public" if public else "nothing; training ends with its planned steps"
        return {"by": plan.validation_mode, "what": f"early stopping and the best epoch go by {what}", "epsilon": 0.0}
    return {
        "by": plan.validation_mode,
        "what": f"early stopping and the best epoch go by a noised loss: each {plan.unit} of the validation side counts for at "
        f"most {loss.loss_clip:g}, noise of {loss.noise_multiplier:.4g} times that is added to the sum, and it is divided by an "
        f"expected size; {loss.evaluations} evaluations are charged. They see no {plan.unit} that the steps see: the claim is "
        "the larger of both sides' epsilon",
        "noise_multiplier": loss.noise_multiplier,
        "loss_clip": loss.loss_clip,
        "planned_evaluations": loss.evaluations,
        f"expected_{plan.unit}s": loss.expected_units,
        "epsilon": _number(plan.epsilon_at(0, loss.evaluations)),
    }


def _mechanism(plan: PrivacyPlan) -> dict[str, Any]:
    clip = plan.adaptive_clip
    return {
        "what": "each record's gradient is clipped, the sum noised with a Gaussian, and divided by the expected batch size",
        "records_per_user": plan.records_per_unit if plan.unit == "user" else None,
        "record_clip": plan.l2_norm_clip / plan.records_per_unit,
        "noise_multiplier": plan.noise_multiplier,
        "charged_noise_multiplier": plan.effective_noise_multiplier,
        "l2_norm_clip": plan.l2_norm_clip,
        "optimizer": plan.optimizer,
        "adaptive_clip": None
        if clip is None
        else {
            "target_quantile": clip.target_quantile,
            "count_noise": clip.count_noise,
            "learning_rate": clip.learning_rate,
        },
    }


def _meaning(epsilon: float, unsafe_key: bool, unit: str) -> str:
    if unsafe_key:
        return "Void: the draws came from a fixed key (dp_unsafe_fixed_key)."
    if epsilon > MAX_MEANINGFUL_EPSILON:
        return "This is no meaningful protection."
    if epsilon == 0:
        return "Nothing was released that depends on the records."
    odds = math.exp(epsilon)
    return (
        f"Whatever is seen of this model is at most e^epsilon = {odds:.3g} times as likely with any one {unit} as without it, "
        "apart from events of total probability delta."
    )


def _groups(epsilon: float, delta: float, unit: str) -> list[dict[str, Any]]:
    return [{f"{unit}s": size, **_pair(*group(epsilon, delta, size))} for size in _GROUP_SIZES]


def _pair(epsilon: float, delta: float) -> dict[str, Any]:
    return {"epsilon": _number(epsilon), "delta": delta}


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else "infinite"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"
