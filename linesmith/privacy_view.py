"""What a private run would promise and cost, for `linesmith plan`: nothing here trains or spends."""

from __future__ import annotations

import math
import time
from pathlib import Path

from linesmith.summary import human_bytes
from model.config import TensorFlowConfig
from model.privacy_checks import warnings_of
from model.privacy_ledger import composed_epsilon, read_ledger
from model.privacy_plan import PrivacyPlan
from model.privacy_statement import shown_epsilon

# What a private step reaches of the machine's float32 matmul rate: 0.52 with 64 rows of 100 tokens, 0.47 with rows of 256,
# measured on two cores with AVX-512 (256 units, two layers, 64 tokens in the vocabulary).
_STEP_EFFICIENCY = 0.5
_PROCESS_BYTES = 900 * 2**20  # Python with TensorFlow and Keras loaded
_EPOCHS_SHOWN = 8
_VOCABULARIES = {
    "bytes": "bytes, public: costs nothing",
    "public_file": "bytes, and a file that is named as public: costs nothing",
    "dp_characters": "bytes, and characters outside ASCII that many records have: charged",
    "raw": "learnt from raw records: not covered by the claim",
}


def privacy_facts(config: TensorFlowConfig, plan: PrivacyPlan, vocab_size: int) -> dict[str, str]:
    """Pairs of a name and a fact, in the order to show."""
    facts = {
        "unit": "one record (one line), added or removed",
        "claim": f"epsilon {shown_epsilon(plan.epsilon)} at delta {plan.delta:g} ({plan.accountant}); second opinion RDP "
        f"{shown_epsilon(plan.rdp_epsilon)}",
        "noise multiplier": f"{plan.noise_multiplier:.4g}"
        + ("" if plan.target_epsilon is None else f", found for epsilon {plan.target_epsilon:g}"),
        "clipping norm": _clip(plan),
        "training records": f"{plan.records:,}, treated as public",
        "sample": f"each record with probability {plan.sample_rate:.4g}, {plan.expected_batch_size:g} expected a step",
        "steps": f"{plan.steps_per_epoch:,} an epoch, {plan.planned_steps:,} permitted",
        "epsilon by epoch": epsilon_by_epoch(plan),
        "budget": budget_split(plan),
        "vocabulary": _VOCABULARIES[plan.vocabulary],
        "time": time_estimate(config, plan, vocab_size),
        "memory": memory_estimate(config, vocab_size),
    }
    if config.privacy_ledger is not None and config.dataset_name is not None:
        facts["ledger"] = ledger_fact(config.privacy_ledger, config.dataset_name, plan)
    return facts | {f"warning {number}": text for number, text in enumerate(warnings_of(config), 1)}


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
    from model.accounting import epsilon

    alone = epsilon(plan.events(plan.planned_steps)[:1], plan.delta)
    parts = [f"training {shown_epsilon(alone)}", f"vocabulary {shown_epsilon(epsilon(plan.other_events, plan.delta))}"]
    if plan.adaptive_clip is not None:
        parts.append("adaptive clipping is charged within training")
    if plan.max_epsilon is not None:
        parts.append(f"ceiling {plan.max_epsilon:g}")
    return ", ".join(parts)


def ledger_fact(path: str, dataset: str, plan: PrivacyPlan) -> str:
    """What earlier trainings on the data spent, and what it would be with this one."""
    entries = read_ledger(path, dataset)
    before = shown_epsilon(composed_epsilon(entries, plan.delta))
    after = shown_epsilon(composed_epsilon(entries, plan.delta, *plan.events(plan.planned_steps)))
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


def estimated_records(config: TensorFlowConfig, files: dict[str, int | None]) -> int | None:
    """Training records to expect from the lines of plain local files; None where they cannot be counted."""
    lines = 0
    for path, size in files.items():
        if size is None or Path(path).suffix in {".gz", ".bz2", ".xz", ".zst", ".zip"}:
            return None
        with open(path, "rb") as content:
            lines += sum(block.count(b"\n") for block in iter(lambda: content.read(2**20), b""))
    share = 1 - config.holdout_fraction - (0.2 if config.validation_split else 0.0)
    return round(lines * share) or None


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


def _clip(plan: PrivacyPlan) -> str:
    if plan.adaptive_clip is None:
        wide = " (gradient norms of records are usually 0.1 to 1: a smaller one needs less noise)"
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
