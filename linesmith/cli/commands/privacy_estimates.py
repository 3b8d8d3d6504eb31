"""Estimate for `linesmith plan` what a private run would guarantee and cost, without training or spending any budget."""

from __future__ import annotations

import math
import time

from linesmith.cli.summary import human_bytes
from linesmith.core.config.privacy_warnings import privacy_warnings
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.privacy.descriptions import UNIT_DESCRIPTIONS
from linesmith.model.privacy.ledger import composed_epsilon, read_ledger
from linesmith.model.privacy.plan import PrivacyPlan
from linesmith.model.privacy.statement_text import format_epsilon
from linesmith.pipelines.train.field_layout import planned_rows

# Share of the machine's float32 matmul rate that a private step reaches: 0.52 with 64 rows of 100 tokens, 0.47 with rows of 256,
# measured on two cores with AVX-512 (256 units, two layers, 64 tokens in the vocabulary).
_STEP_EFFICIENCY = 0.5
_PROCESS_BYTES = 900 * 2**20  # Python with TensorFlow and Keras loaded
_EPOCHS_SHOWN = 8
# Noise over signal above which advice is given: 1.5 still made a usable model ("What privacy costs", docs/privacy.md).
_HIGH_NOISE_RATIO = 2.0
_VOCABULARIES = {
    "bytes": "bytes, public: costs nothing",
    "public_file": "bytes, and a file that is declared public: costs nothing",
    "dp_characters": "bytes, and characters outside ASCII that many records have: charged",
    "raw": "learned from raw records: not covered by the claim",
}


def privacy_facts(
    config: TensorFlowConfig, plan: PrivacyPlan, vocab_size: int, vocabulary_release: str | None = None
) -> dict[str, str]:
    """Return facts about a privacy plan by name, in display order.

    Args:
        config: settings of the run.
        plan: the privacy plan.
        vocab_size: number of tokens in the vocabulary.
        vocabulary_release: as `ledger_fact` takes it.
    """
    facts = {
        "unit": _unit(plan),
        "claim": f"epsilon {format_epsilon(plan.epsilon)} at delta {plan.delta:g} ({plan.accountant}); second opinion RDP "
        f"{format_epsilon(plan.rdp_epsilon)}",
        "noise multiplier": f"{plan.noise_multiplier:.4g}"
        + ("" if plan.target_epsilon is None else f", found for epsilon {plan.target_epsilon:g}"),
        "clipping norm": _clip(plan),
        f"training {plan.unit}s": f"{plan.units:,}, treated as public",
        "sample": f"each {plan.unit} with probability {plan.sample_rate:.4g}, {plan.expected_batch_size:g} expected per step",
        "steps": f"{plan.steps_per_epoch:,} per epoch, {plan.planned_steps:,} permitted",
        "epsilon by epoch": epsilon_by_epoch(plan),
        "budget": budget_split(plan),
        "noise over signal": noise_over_signal(config, plan, vocab_size),
        "vocabulary": _VOCABULARIES[plan.vocabulary],
        "validation": _validation(plan),
        "time": time_estimate(config, plan, vocab_size),
        "memory": memory_estimate(config, vocab_size),
    }
    if config.privacy_ledger is not None and config.dataset_name is not None:
        facts["ledger"] = ledger_fact(config.privacy_ledger, config.dataset_name, plan, vocabulary_release)
    return facts | {f"warning {number}": text for number, text in enumerate(privacy_warnings(config), 1)}


def epsilon_by_epoch(plan: PrivacyPlan) -> str:
    """Return the epsilon after up to eight epochs, among them the first and the last."""
    last = math.ceil(plan.planned_steps / plan.steps_per_epoch)
    shown = sorted({round(last ** (i / (_EPOCHS_SHOWN - 1))) for i in range(_EPOCHS_SHOWN)}) if last else []
    steps = {epoch: min(epoch * plan.steps_per_epoch, plan.planned_steps) for epoch in shown}
    return (
        ", ".join(f"{epoch}: {plan.epsilon_at(done):.3g}" for epoch, done in steps.items()) or "no epoch is permitted"
    )


def budget_split(plan: PrivacyPlan) -> str:
    """Return the epsilon of each part alone. The claim counts them together, which is less than their sum."""
    from linesmith.model.privacy.accounting import epsilon

    alone = epsilon(plan.training_events(plan.planned_steps)[:1], plan.delta)
    parts = [
        f"training {format_epsilon(alone)}",
        f"vocabulary {format_epsilon(epsilon(plan.other_events, plan.delta))}",
    ]
    if plan.discriminator_noise is not None:
        parts.append(f"discriminator {format_epsilon(epsilon(plan.discriminator_events, plan.delta))}")
    if plan.validation is not None:
        spent = epsilon(plan.validation_events(plan.planned_evaluations)[:1], plan.delta)
        parts.append(
            f"validation {format_epsilon(spent)}, of other {plan.unit}s than training: the larger of both counts"
        )
    if plan.adaptive_clip is not None:
        parts.append("adaptive clipping is charged within training")
    if plan.max_epsilon is not None:
        parts.append(f"ceiling {plan.max_epsilon:g}")
    return ", ".join(parts)


def ledger_fact(path: str, dataset: str, plan: PrivacyPlan, vocabulary_release: str | None = None) -> str:
    """Return the epsilon that earlier trainings and vocabularies from the dataset spent, and the total with this training.

    Args:
        path: the ledger.
        dataset: name of the dataset in the ledger.
        plan: plan of this training.
        vocabulary_release: identity of the noised vocabulary of its training data; None: it is not drawn yet, or public.
    """
    entries = read_ledger(path, dataset)
    is_entered = any(entry.run == vocabulary_release for entry in entries)
    events = plan.own_events() if is_entered else plan.all_events()
    before = format_epsilon(composed_epsilon(entries, plan.delta))
    after = format_epsilon(composed_epsilon(entries, plan.delta, *events))
    return (
        f"{len(entries)} trainings or vocabularies from '{dataset}' spent epsilon {before} together; with this training "
        f"{after}, at delta {plan.delta:g}"
    )


def time_estimate(config: TensorFlowConfig, plan: PrivacyPlan, vocab_size: int) -> str:
    """Return an estimate of the training time, from the rate of a matmul that is measured now on this machine."""
    rate = matmul_rate()
    tokens = plan.expected_batch_size * config.seq_length
    # 6 operations per token and weight: 2 in the forward pass and 4 in the backward pass.
    seconds = plan.planned_steps * tokens * 6 * _matmul_weights(config, vocab_size) / (rate * _STEP_EFFICIENCY)
    return (
        f"about {_duration(seconds)} on this machine: {rate / 1e9:.0f} GFLOP/s of float32 matmul, measured now, of which "
        f"a private step reaches about {_STEP_EFFICIENCY:.0%}, for records of {config.seq_length} tokens (--seq-length); shorter "
        "ones take less in proportion"
    )


def memory_estimate(config: TensorFlowConfig, vocab_size: int) -> str:
    """Return an estimate of the peak memory of training.

    It counts four float32 copies of the weights, and the activations that one physical batch keeps for its gradient.
    """
    units, layers = config.rnn_units, config.rnn_layers
    parameters = _matmul_weights(config, vocab_size) + planned_rows(config, vocab_size) * config.embedding_dim
    floats_per_token = config.embedding_dim + layers * 12 * units + 3 * vocab_size + 2 * layers * config.seq_length
    batch = config.batch_size * config.seq_length * floats_per_token * 4
    return f"about {human_bytes(_PROCESS_BYTES + 16 * parameters + batch)}, whatever the size of the data"


def noise_over_signal(config: TensorFlowConfig, plan: PrivacyPlan, vocab_size: int) -> str:
    """Return the ratio of a step's noise to the largest mean gradient that clipping permits, with advice if it is high.

    With noise multiplier z, clipping norm C and expected batch size E[B], the noise on d weights has norm z·C·√d, and the sum
    of the gradients has a norm of at most C·E[B].
    """
    parameters = _matmul_weights(config, vocab_size) + planned_rows(config, vocab_size) * config.embedding_dim
    ratio = plan.noise_multiplier * math.sqrt(parameters) / plan.expected_batch_size
    advice = (
        f"; expect to learn less above {_HIGH_NOISE_RATIO:g}: more {plan.unit}s, a larger sample, a smaller network or "
        "more epsilon help"
        if ratio > _HIGH_NOISE_RATIO
        else ""
    )
    return f"{ratio:.2g} of the largest mean gradient, over {parameters:,} weights{advice}"


def matmul_rate(size: int = 768, seconds: float = 0.3) -> float:
    """Measure this machine's float32 matmul in operations per second; the best of several repetitions.

    Args:
        size: rows and columns of the square matrices.
        seconds: how long to repeat.
    """
    import numpy as np

    left = np.ones((size, size), np.float32)
    best, end = 0.0, time.perf_counter() + seconds
    while best == 0.0 or time.perf_counter() < end:
        start = time.perf_counter()
        left @ left
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def _matmul_weights(config: TensorFlowConfig, vocab_size: int) -> int:
    """Return the number of weights in matrix products: those of the LSTM layers and of the output layer."""
    units = config.rnn_units
    inputs = [config.embedding_dim, *[units] * (config.rnn_layers - 1)]
    return sum(4 * units * (width + units) for width in inputs) + units * vocab_size


def _unit(plan: PrivacyPlan) -> str:
    if plan.unit == "record":
        return "one record (one line), added or removed"
    most = plan.records_per_unit
    return (
        UNIT_DESCRIPTIONS["user"].format(field=plan.user_key_field, most=most, are="is" if most == 1 else "are")
        + "; added or removed"
    )


def _validation(plan: PrivacyPlan) -> str:
    loss = plan.validation
    if loss is None:
        return {
            "public_file": "early stopping by a public file: costs nothing",
            "budget": "none: training ends with its planned steps",
        }.get(plan.validation_mode, "none: no evaluation is permitted")
    return (
        f"early stopping by a noised loss: {loss.evaluations} evaluations, each with noise of "
        f"{loss.noise_multiplier * loss.loss_clip / loss.expected_units:.2g} nats per token"
    )


def _clip(plan: PrivacyPlan) -> str:
    if plan.adaptive_clip is None:
        wide = (
            " (gradient norms of records are usually 0.1 to 1: noise is in proportion to C, so a smaller one adds less)"
        )
        return f"{plan.l2_norm_clip:g}, fixed{wide if plan.l2_norm_clip > 1 else ''}"
    return f"begins at {plan.l2_norm_clip:g}, moves to the {plan.adaptive_clip.target_quantile:g} quantile of the norms"


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
