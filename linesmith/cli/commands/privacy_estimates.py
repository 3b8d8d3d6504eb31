"""What a private run would promise and cost, for `linesmith plan`: nothing here trains or spends."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linesmith.cli.summary import human_bytes
from linesmith.core.config.privacy_checks import privacy_warnings
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.privacy.descriptions import UNITS
from linesmith.model.privacy.ledger import composed_epsilon, read_ledger
from linesmith.model.privacy.plan import PrivacyPlan
from linesmith.model.privacy.statement_text import format_epsilon
from linesmith.records.input.record_format import VALIDATION_SHARE

# What a private step reaches of the machine's float32 matmul rate: 0.52 with 64 rows of 100 tokens, 0.47 with rows of 256,
# measured on two cores with AVX-512 (256 units, two layers, 64 tokens in the vocabulary).
_STEP_EFFICIENCY = 0.5
_PROCESS_BYTES = 900 * 2**20  # Python with TensorFlow and Keras loaded
_EPOCHS_SHOWN = 8
HARD = 2.0  # noise over signal that advice is given above: 1.5 still made a usable model ("What privacy costs", docs/privacy.md)
_VOCABULARIES = {
    "bytes": "bytes, public: costs nothing",
    "public_file": "bytes, and a file that is named as public: costs nothing",
    "dp_characters": "bytes, and characters outside ASCII that many records have: charged",
    "raw": "learnt from raw records: not covered by the claim",
}


def privacy_facts(config: TensorFlowConfig, plan: PrivacyPlan, vocab_size: int) -> dict[str, str]:
    """Pairs of a name and a fact, in the order to show."""
    facts = {
        "unit": _unit(plan),
        "claim": f"epsilon {format_epsilon(plan.epsilon)} at delta {plan.delta:g} ({plan.accountant}); second opinion RDP "
        f"{format_epsilon(plan.rdp_epsilon)}",
        "noise multiplier": f"{plan.noise_multiplier:.4g}"
        + ("" if plan.target_epsilon is None else f", found for epsilon {plan.target_epsilon:g}"),
        "clipping norm": _clip(plan),
        f"training {plan.unit}s": f"{plan.units:,}, treated as public",
        "sample": f"each {plan.unit} with probability {plan.sample_rate:.4g}, {plan.expected_batch_size:g} expected a step",
        "steps": f"{plan.steps_per_epoch:,} an epoch, {plan.planned_steps:,} permitted",
        "epsilon by epoch": epsilon_by_epoch(plan),
        "budget": budget_split(plan),
        "noise over signal": noise_over_signal(config, plan, vocab_size),
        "vocabulary": _VOCABULARIES[plan.vocabulary],
        "validation": _validation(plan),
        "time": time_estimate(config, plan, vocab_size),
        "memory": memory_estimate(config, vocab_size),
    }
    if config.privacy_ledger is not None and config.dataset_name is not None:
        facts["ledger"] = ledger_fact(config.privacy_ledger, config.dataset_name, plan)
    return facts | {f"warning {number}": text for number, text in enumerate(privacy_warnings(config), 1)}


def epsilon_by_epoch(plan: PrivacyPlan) -> str:
    """Epsilon after some epochs, the first and the last among them."""
    last = math.ceil(plan.planned_steps / plan.steps_per_epoch)
    shown = sorted({round(last ** (i / (_EPOCHS_SHOWN - 1))) for i in range(_EPOCHS_SHOWN)}) if last else []
    steps = {epoch: min(epoch * plan.steps_per_epoch, plan.planned_steps) for epoch in shown}
    return (
        ", ".join(f"{epoch}: {plan.epsilon_at(done):.3g}" for epoch, done in steps.items()) or "no epoch is permitted"
    )


def budget_split(plan: PrivacyPlan) -> str:
    """What each part would cost alone; together they cost less than the sum, which is what the claim counts."""
    from linesmith.model.privacy.accounting import epsilon

    alone = epsilon(plan.training_events(plan.planned_steps)[:1], plan.delta)
    parts = [
        f"training {format_epsilon(alone)}",
        f"vocabulary {format_epsilon(epsilon(plan.other_events, plan.delta))}",
    ]
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


def ledger_fact(path: str, dataset: str, plan: PrivacyPlan) -> str:
    """What earlier trainings on the data spent, and what it would be with this one."""
    entries = read_ledger(path, dataset)
    before = format_epsilon(composed_epsilon(entries, plan.delta))
    after = format_epsilon(composed_epsilon(entries, plan.delta, *plan.all_events()))
    return (
        f"{len(entries)} trainings on '{dataset}' spent epsilon {before} together; with this one {after}, "
        f"at delta {plan.delta:g}"
    )


def time_estimate(config: TensorFlowConfig, plan: PrivacyPlan, vocab_size: int) -> str:
    """Seconds of training, from a matmul measured on this machine now and what share of it a private step reaches."""
    rate = matmul_rate()
    tokens = plan.expected_batch_size * config.seq_length
    seconds = plan.planned_steps * tokens * 6 * _weights(config, vocab_size) / (rate * _STEP_EFFICIENCY)
    return (
        f"about {_duration(seconds)} on this machine: {rate / 1e9:.0f} GFLOP/s of float32 matmul, measured now, of which "
        f"a private step reaches about {_STEP_EFFICIENCY:.0%}"
    )


def memory_estimate(config: TensorFlowConfig, vocab_size: int) -> str:
    """Peak of the training process: weights four times over, and what one physical batch keeps for its gradient."""
    units, layers = config.rnn_units, config.rnn_layers
    parameters = _weights(config, vocab_size) + vocab_size * config.embedding_dim
    a_token = config.embedding_dim + layers * 12 * units + 3 * vocab_size + 2 * layers * config.seq_length
    batch = config.batch_size * config.seq_length * a_token * 4
    return f"about {human_bytes(_PROCESS_BYTES + 16 * parameters + batch)}, whatever the size of the data"


def noise_over_signal(config: TensorFlowConfig, plan: PrivacyPlan, vocab_size: int) -> str:
    """How long the noise of a step is, beside the longest mean gradient that clipping lets through.

    The noise on d weights is z·C·√d long, the sum of E[B] gradients at most C·E[B].
    """
    parameters = _weights(config, vocab_size) + vocab_size * config.embedding_dim
    ratio = plan.noise_multiplier * math.sqrt(parameters) / plan.expected_batch_size
    advice = (
        f"; expect to learn less above {HARD:g}: more {plan.unit}s, a larger sample, a smaller network or more epsilon help"
        if ratio > HARD
        else ""
    )
    return f"{ratio:.2g} of the largest mean gradient, over {parameters:,} weights{advice}"


def row_warnings(config: TensorFlowConfig, longer: float | None) -> list[str]:
    """What is wrong with the rows; says nothing of how long records are.

    Args:
        config: with `dp`.
        longer: share of the records that have more tokens than a row; None: unknown.
    """
    if longer is None or longer <= 0.5:
        return []
    return [
        f"LS308: --seq-length {config.seq_length} is shorter than most records: they are cut there, no end is learnt, and no "
        "generated record can be longer. Raise it, or divide the records."
    ]


def share_longer_than_seq_length(statistics: Mapping[str, Any], seq_length: int) -> float | None:
    """Share of records with more tokens than a row, from the length histogram of tokenize; None where it says nothing.

    Right to one bin of the histogram.
    """
    bins = statistics.get("length_tokens", {}).get("histogram", [])
    total = sum(count for _, count in bins)
    longer = sum(count for largest, count in bins if largest > seq_length)
    return longer / total if total else None


@dataclass(frozen=True)
class Lines:
    """What a look at plain local files tells before tokenize has read them.

    Attributes:
        count: lines.
        longer: how many of them have more bytes than a row has tokens, about.
    """

    count: int
    longer: int


def look_at_lines(config: TensorFlowConfig, files: dict[str, int | None]) -> Lines | None:
    """Count the lines of plain local files, and those that are too long for a row; None where files cannot be read so."""
    import numpy as np

    # A delimiter is one token however long it is, and each record has an end.
    slack = 0 if config.field_delimiter is None else len(config.field_delimiter.encode()) - 1
    count = longer = 0
    for path, size in files.items():
        if size is None or Path(path).suffix in {".gz", ".bz2", ".xz", ".zst", ".zip"}:
            return None
        with open(path, "rb") as content:
            carried = b""
            for block in iter(lambda: content.read(2**20), b""):
                *whole, carried = (carried + block).split(b"\n")
                count += len(whole)
                delimiter = (config.field_delimiter or "").encode()
                lengths = [len(line) + 1 - (slack * line.count(delimiter) if slack else 0) for line in whole]
                longer += int(np.count_nonzero(np.asarray(lengths) > config.seq_length))
    return Lines(count, longer)


def expected_records(config: TensorFlowConfig, lines: int) -> int:
    """Training records to expect of so many lines."""
    share = 1 - config.holdout_fraction - (VALIDATION_SHARE if config.validation_split else 0.0)
    return round(lines * share)


def matmul_rate(size: int = 768, seconds: float = 0.3) -> float:
    """Float32 multiplications and additions a second of this machine's matmul, best of a short while."""
    import numpy as np

    left = np.ones((size, size), np.float32)
    best, end = 0.0, time.perf_counter() + seconds
    while best == 0.0 or time.perf_counter() < end:
        start = time.perf_counter()
        left @ left
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def _weights(config: TensorFlowConfig, vocab_size: int) -> int:
    """Weights that a token is multiplied with: the LSTM layers' and the last layer's."""
    units = config.rnn_units
    inputs = [config.embedding_dim, *[units] * (config.rnn_layers - 1)]
    return sum(4 * units * (width + units) for width in inputs) + units * vocab_size


def _unit(plan: PrivacyPlan) -> str:
    if plan.unit == "record":
        return "one record (one line), added or removed"
    most = plan.records_per_unit
    return (
        UNITS["user"].format(field=plan.user_key_field, most=most, are="is" if most == 1 else "are")
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
        f"{loss.noise_multiplier * loss.loss_clip / loss.expected_units:.2g} nats a token"
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
