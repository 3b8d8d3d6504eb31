"""The audit of clipping: two data sets that differ in one record, through the trainer's own computation, noise left out.

The claim rests on two sentences that no attack on noised numbers tests sharply: that one record moves the sum of a step by at
most C, and that what is released without being charged does not depend on records at all. Here both are looked at directly,
over data sets chosen to make the move as large as it gets: alone and among others, long and short, repeated tokens, weights
that make gradients far below the clipping norm, around it and far above.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.privacy.plan import PrivacyPlan, expected_batch_size, plan_privacy
from linesmith.model.privacy.poisson_sampling import physical_batches
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.model.privacy.validation import in_memory_token_store
from linesmith.model.training.backpropagation import NUM_HALVES
from linesmith.model.training.token_store import TokenStore
from linesmith.model.training.trainer import build_model

_SCALES = (0.05, 0.6, 8.0)  # of the weights
_WIDE, _UNITS = 16, 8
_USUAL = 10_000  # records of a file
_KEY = "1"  # both sides of a comparison draw alike; nothing of it is released


@dataclass(frozen=True)
class NeighborAudit:
    """What one record moved.

    Attributes:
        clip: C, the most that is claimed.
        moved: the most that a record moved the sum of a step.
        released_moved: the most that a validation record moved the measurement that is shown after an epoch, noise apart.
        released_allowed: the most that is charged for that: 0 where nothing is.
    """

    clip: float
    moved: float
    released_moved: float
    released_allowed: float

    @property
    def refuted(self) -> bool:
        return self.moved > self.clip or self.released_moved > self.released_allowed


def audit_neighbors(
    config: TensorFlowConfig, vocab_size: int, *, trainer: type[PrivateTrainer] = PrivateTrainer
) -> NeighborAudit:
    """Compare neighbouring data sets.

    Args:
        config: with `dp`. The network is a small one of as many layers, dropout is off.
        vocab_size: ids of the tokenizer.
        trainer: the class that is audited.
    """
    config = config.replace(
        rnn_units=_UNITS, embedding_dim=_UNITS, dropout_rate=0.0, dp_unsafe_fixed_key=_KEY, batch_size=_WIDE
    )
    records = _adversaries(vocab_size, min(config.seq_length, 32))
    bases: list[list[list[int]]] = [[], [records[-1]] * 8, records[:6]]
    with tempfile.TemporaryDirectory() as place:
        one = _trainer(trainer, config, vocab_size, records, Path(place))
        moved = _largest_move(one, records, bases)
        clip = float(one.plan.l2_norm_clip) / one.plan.records_per_unit
        released, allowed = _released(trainer, config, vocab_size, records, Path(place))
    return NeighborAudit(clip, moved, released, allowed)


def _adversaries(vocab_size: int, longest: int) -> list[list[int]]:
    """Records by ids: cut ones, one token over and over, all different, a single token, none."""
    last = vocab_size - 1
    rising = [1 + number % (vocab_size - 1) for number in range(longest)]
    return [[last] * 2 * longest, rising, [last], [2] * (longest // 2), [last, 2] * (longest // 3), [], [2, 3]]


def _plan(config: TensorFlowConfig, records: int) -> PrivacyPlan:
    """The plan of a usual file: of its figures only norm, divisor and validation matter here, so no noise is searched for."""
    batch = expected_batch_size(config, _USUAL)
    noised = config.replace(dp_noise_multiplier=1.0, dp_target_epsilon=None, dp_max_epsilon=None, dp_batch_size=batch)
    return replace(plan_privacy(noised, _USUAL), units=records, unit="record", records_per_unit=1)


def _trainer(
    kind: type[PrivateTrainer],
    config: TensorFlowConfig,
    vocab_size: int,
    records: list[list[int]],
    place: Path,
    validation: TokenStore | None = None,
) -> PrivateTrainer:
    return kind(
        config,
        build_model(config, vocab_size),
        in_memory_token_store(records),
        _plan(config, len(records)),
        validation=None if validation is None else (validation, None),
        directory=place / "checkpoints",
        resume_directory=place / "private",
        history_path=place / "history.csv",
        identity={},
    )


def _largest_move(trainer: PrivateTrainer, records: list[list[int]], bases: Sequence[list[list[int]]]) -> float:
    """The most that one record, first or last, moves the clipped sum."""
    worst = 0.0
    shapes = [variable.shape for variable in trainer.model.trainable_variables]
    for number, scale in enumerate(_SCALES):
        random = np.random.default_rng([number, 5])
        for variable, shape in zip(trainer.model.trainable_variables, shapes, strict=True):
            variable.assign(scale * random.normal(size=shape).astype(np.float32))
        for base in bases:
            before = _sum(trainer, base)
            for record in records:
                for neighbour in ([record, *base], [*base, record])[: 1 + bool(base)]:  # alone, first is last
                    worst = max(worst, _distance(before, _sum(trainer, neighbour)))
    return worst


def _sum(trainer: PrivateTrainer, records: list[list[int]]) -> list[np.ndarray]:
    """The clipped sum of all these records, as a step computes it before noise."""
    variables = trainer.model.trainable_variables
    total = [np.zeros(variable.shape) for variable in variables]
    if not records:
        return total
    store = in_memory_token_store(records)
    seeds = tf.zeros([NUM_HALVES, len(trainer.model.lstms), 2], tf.int64)
    everybody = np.arange(len(records))
    for batch in physical_batches(store, everybody, batch_size=_WIDE, seq_length=trainer.plan.seq_length):
        part = trainer._clipped(batch.tensors(), seeds)
        total = [one + np.asarray(more, np.float64) for one, more in zip(total, part.gradients, strict=True)]
    return total


def _released(
    kind: type[PrivateTrainer], config: TensorFlowConfig, vocab_size: int, records: list[list[int]], place: Path
) -> tuple[float, float]:
    """How far one validation record moves what is shown after an epoch, at equal weights and noise; and how far it may."""
    shown = []
    for side, validation in enumerate((records[1:3], records[1:4])):
        trainer = _trainer(kind, config, vocab_size, records, place / str(side), in_memory_token_store(validation))
        trainer._resume()
        shown.append(trainer.measure())
    planned = trainer.plan.validation
    allowed = 0.0 if planned is None else planned.loss_clip / planned.expected_units
    moves = [
        abs(one - other)
        for name in ("loss", "accuracy", "val_loss", "val_accuracy")
        if (one := getattr(shown[0], name)) is not None and (other := getattr(shown[1], name)) is not None
    ]
    return max(moves, default=0.0), allowed


def _distance(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    return float(np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(one, other, strict=True))))
