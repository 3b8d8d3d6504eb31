"""Privacy statement: the claim as JSON. Releasable, since it is made of public constants and of what was charged.

It depends on the records only through N, which is treated as public and stated as such, and through the number of charged
steps and evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.files import write_bytes, write_json
from linesmith.core.artifacts.privacy_statement import STATEMENT_FILE, STATEMENT_TEXT_FILE
from linesmith.model.privacy.accounting import MAX_MEANINGFUL_EPSILON, epsilon, group_privacy, replace_one_privacy
from linesmith.model.privacy.descriptions import (
    ADJACENCY_DESCRIPTIONS,
    DEFAULT_GENERATOR_DESCRIPTION,
    SAMPLER_DESCRIPTIONS,
    SPLIT_DESCRIPTIONS,
    UNIT_DESCRIPTIONS,
    VOCABULARY_DESCRIPTIONS,
)
from linesmith.model.privacy.statement_text import format_statement

if TYPE_CHECKING:
    from linesmith.model.privacy.plan import PrivacyPlan

FORMAT_VERSION = 1
_GROUP_SIZES = (2, 5, 10)


def build_statement(
    plan: PrivacyPlan,
    charged_steps: int,
    *,
    unsafe_key: bool,
    charged_evaluations: int = 0,
    stopped: str | None = None,
    generator: str = DEFAULT_GENERATOR_DESCRIPTION,
    callback: bool = False,
    earlier_trainings: tuple[int, float] = (0, 0.0),
    weights: Mapping[str, str] | None = None,
    discriminator: str | None = None,
) -> dict[str, Any]:
    """Build the privacy statement of a training.

    Args:
        plan: the plan of the training.
        charged_steps: number of charged steps; at most the planned ones.
        unsafe_key: samples and noise came from a fixed key, so that there is no claim.
        charged_evaluations: number of charged noised evaluations.
        stopped: why training ended; None while it is unfinished.
        generator: description of the random generator of the secret draws.
        callback: an epoch_callback was set, which may have stopped training.
        earlier_trainings: number of trainings begun, and of other vocabularies drawn, in the same run directory before, and
            the epsilon of all with this one.
        weights: digest of each file of weights that the statement speaks of, by name; None: there are none yet.
        discriminator: digest of the file of the discriminator that the statement speaks of; None: there is none, or not yet.

    Returns:
        The statement, ready for JSON; an infinite epsilon is the word 'infinite'.
    """
    claimed, delta = plan.epsilon, plan.delta
    return {
        "format_version": FORMAT_VERSION,
        "unit": UNIT_DESCRIPTIONS[plan.unit].format(
            field=plan.user_key_field, most=plan.records_per_unit, are="is" if plan.records_per_unit == 1 else "are"
        ),
        "adjacency": ADJACENCY_DESCRIPTIONS[plan.unit],
        "epsilon": _json_number(claimed),
        "delta": delta,
        "weights": {} if weights is None else dict(weights),
        "epsilon_is": "the claim: at the planned steps, whether or not training reached them",
        "meaning": _meaning(claimed, unsafe_key, plan.unit),
        "accountant": {
            "name": plan.accountant,
            "library": f"dp-accounting {_version('dp-accounting')}",
            "second_opinion": {"name": "RDP", "epsilon": _json_number(plan.rdp_epsilon)},
        },
        "spent_so_far": _spent_so_far(plan, charged_steps, charged_evaluations, stopped),
        "earlier_trainings": _earlier_trainings(*earlier_trainings),
        "sampler": SAMPLER_DESCRIPTIONS[plan.unit],
        "sample_rate": plan.sample_rate,
        "expected_batch_size": plan.expected_batch_size,
        "planned_steps": plan.planned_steps,
        "steps_per_epoch": plan.steps_per_epoch,
        f"{plan.unit}s": plan.units,
        f"{plan.unit}s_note": _unit_count_note(plan),
        "mechanism": _mechanism(plan),
        "vocabulary": _vocabulary(plan),
        "validation": _validation(plan),
        "discriminator": _discriminator(plan, discriminator),
        "group_privacy": _groups(claimed, delta, plan.unit),
        "replace_one": _claim(*replace_one_privacy(claimed, delta)),
        "split": SPLIT_DESCRIPTIONS[plan.unit],
        "target_epsilon": plan.target_epsilon,
        "max_epsilon": plan.max_epsilon,
        "unsafe_fixed_key": unsafe_key,
        "generator": generator,
        "not_covered": not_covered(plan.vocabulary, generator, plan.unit, callback=callback),
        "not_releasable": ["private/", "training_data/", "rejects/", "report/", "audit/", ".next/", ".tmp/"],
    }


def write_statement(model_dir: Path, plan: PrivacyPlan, charged_steps: int, **more: Any) -> None:
    """Write `privacy.json`, and `privacy.txt` with the same in plain words, each atomically.

    Args:
        model_dir: RUN/model.
        plan: the plan of the training.
        charged_steps: number of charged steps, those lost in a crash included.
        more: further arguments of `build_statement`.
    """
    statement = build_statement(plan, charged_steps, **more)
    write_json(model_dir / STATEMENT_FILE, statement)
    write_bytes(model_dir / STATEMENT_TEXT_FILE, format_statement(statement).encode("utf-8"))


def not_covered(
    vocabulary: str, generator: str = DEFAULT_GENERATOR_DESCRIPTION, unit: str = "record", *, callback: bool = False
) -> dict[str, str]:
    """Return what the claim does not cover, by name.

    Args:
        vocabulary: source of the vocabulary, as `dp_vocabulary` names it.
        generator: description of the random generator of the secret draws.
        unit: 'record' or 'user'.
        callback: an epoch_callback was set.
    """
    return {
        "raw vocabulary": "in use here: which characters or pieces occur in the records is in tokenizer/"
        if vocabulary == "raw"
        else "not in use here",
        f"number of {unit}s": "N is taken as public, and so is what follows from it",
        "tuning and repeated runs": "each further training on the same data composes with this one, and so does each "
        "setting that was tried; a privacy ledger adds them up",
        "validators and novelty filters": "one that reads raw data is no post-processing: its verdicts are not covered",
        "observers": "whoever watches the process, its machine or its log sees how long reading and each step take, which "
        "depends on the records, when files are written, and whether it ends with an error; no file for release holds a time "
        "or depends on one, as long as nobody interrupts training because of what they see",
        "floating-point attacks": "the Gaussian noise is drawn and added in double precision, and the result is rounded to "
        "multiples of 2^-20 standard deviations, far wider than the gaps that could be exploited: a mitigation, not a proof",
        "generator": f"the draws come from {generator}",
        "duplicates and groups": "a text that occurs k times is k records: see group_privacy"
        if unit == "record"
        else "users whose records speak of one another are a group: see group_privacy",
        "callbacks": "an epoch_callback was set: if it stopped training, or changed anything, by a raw loss or by raw "
        "records, this claim is void"
        if callback
        else "an epoch_callback that stops training by a raw loss voids the claim; none was set",
    }


def _spent_so_far(
    plan: PrivacyPlan, charged_steps: int, charged_evaluations: int, stopped: str | None
) -> dict[str, Any]:
    return {
        "epsilon": _json_number(plan.epsilon_at(charged_steps, charged_evaluations)),
        "steps": charged_steps,
        "evaluations": charged_evaluations,
        "note": "no claim: where training ends may depend on the data; quote epsilon above instead",
        "stopped_by": stopped,
    }


def _earlier_trainings(count: int, epsilon_with_this: float) -> dict[str, Any]:
    return {
        "count": count,
        "epsilon_with_this": _json_number(epsilon_with_this) if count else None,
        "note": "trainings begun in the same run directory and not finished, or overwritten, and noised vocabularies drawn "
        "there and replaced; each one composes with this one, unless it was on entirely other records",
    }


def _unit_count_note(plan: PrivacyPlan) -> str:
    counted = "training records" if plan.unit == "record" else "users with training records"
    return f"the number of {counted} is treated as public; sample_rate and steps follow from it"


def _vocabulary(plan: PrivacyPlan) -> dict[str, Any]:
    description, epsilon_without_events = VOCABULARY_DESCRIPTIONS[plan.vocabulary]
    return {
        "mode": plan.vocabulary,
        "what": description,
        "noise_multiplier": plan.other_events[0].noise_multiplier if plan.other_events else None,
        "epsilon": _json_number(epsilon(plan.other_events, plan.delta))
        if plan.other_events
        else epsilon_without_events,
    }


def _validation(plan: PrivacyPlan) -> dict[str, Any]:
    """Return what early stopping and the choice of weights went by, and its cost."""
    noised = plan.validation
    if noised is None:
        public = plan.validation_mode == "public_file"
        what = "a file that was named as public" if public else "nothing; training ends with its planned steps"
        return {"by": plan.validation_mode, "what": f"early stopping and the best epoch go by {what}", "epsilon": 0.0}
    return {
        "by": plan.validation_mode,
        "what": f"early stopping and the best epoch go by a noised loss: each {plan.unit} of the validation side counts for at "
        f"most {noised.loss_clip:g}, noise of {noised.noise_multiplier:.4g} times that is added to the sum, and it is "
        "divided by an "
        f"expected size; {noised.evaluations} evaluations are charged. They see no {plan.unit} that the steps see: the claim is "
        "the larger of both sides' epsilon",
        "noise_multiplier": noised.noise_multiplier,
        "loss_clip": noised.loss_clip,
        "planned_evaluations": noised.evaluations,
        f"expected_{plan.unit}s": noised.expected_units,
        "epsilon": _json_number(plan.epsilon_at(0, noised.evaluations)),
    }


def _discriminator(plan: PrivacyPlan, digest: str | None) -> dict[str, Any]:
    """Return what the discriminator was learned from, and its cost."""
    if plan.discriminator_noise is None:
        what, spent = "there is none", 0.0
    else:
        most = (
            "" if plan.records_per_unit == 1 else f", and a user's records for at most {plan.records_per_unit} of each"
        )
        what = (
            "which of the model's records are kept goes by noised counts: the training records are counted once in the cells of "
            "several partitions that were chosen without looking at them. Each record counts in at most one cell of a "
            f"partition{most}; the noise on each count is {plan.discriminator_noise:.4g} times that times the root of the "
            "number of partitions. It is charged also where no discriminator is learned in the end"
        )
        spent = epsilon(plan.discriminator_events, plan.delta)
    return {
        "what": what,
        "noise_multiplier": plan.discriminator_noise,
        "epsilon": _json_number(spent),
        "sha256": digest,
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
    return [{f"{unit}s": size, **_claim(*group_privacy(epsilon, delta, size))} for size in _GROUP_SIZES]


def _claim(epsilon: float, delta: float) -> dict[str, Any]:
    return {"epsilon": _json_number(epsilon), "delta": delta}


def _json_number(value: float) -> float | str:
    """Return a number as JSON can hold it, which has no infinity."""
    return value if math.isfinite(value) else "infinite"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"
