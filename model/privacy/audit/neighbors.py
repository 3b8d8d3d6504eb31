"""Audit of clipping: neighboring data sets, which differ in one record, go through the trainer's own computation.

The claim rests on two statements that no attack on noised numbers tests sharply: that one record moves the sum of a step by at
most C, and that what is released without being charged does not depend on records at all. Here both are checked directly, with
the noise left out or equal on both sides, over data sets chosen to make the difference as large as it gets: alone and among
others, long and short, repeated tokens, and weights that make gradients far below the clipping norm, around it and far above.

A second comparison is at the width of a product, with weights so large that a last bit that one record moved in another's states
becomes a different gradient within a few steps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.fields.choice import public_inputs
from linesmith.model.fields.layout import FieldLayout
from linesmith.model.privacy.plan import PrivacyPlan
from linesmith.model.privacy.plan_from_config import choose_expected_batch_size, plan_privacy
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.model.training.batches import physical_batches
from linesmith.model.training.halves import NUM_HALVES
from linesmith.model.training.settings import NetworkSettings, TrainingSettings
from linesmith.model.training.token_store import TokenStore, in_memory_token_store
from linesmith.model.training.trainer import build_model

_WEIGHT_SCALES = (0.05, 0.6, 8.0)  # standard deviations of the weights
_WIDE_UNITS, _WIDE_SCALE, _WIDE_STEPS, _WIDE_RECORDS = 128, 1.0, 48, 60  # of the second comparison
_BATCH_SIZE, _RNN_UNITS = 16, 8
_PLANNED_RECORDS = 10_000  # size of the data set that the plan is made for
_FIXED_KEY = "1"  # so that both sides of a comparison have the same draws; nothing of it is released


@dataclass(frozen=True)
class NeighborAudit:
    """Largest differences that one record made; the attributes are also keys in `audit.json`.

    Attributes:
        clip: C, the most that is claimed for the sum of a step.
        moved: largest L2 distance between the sums of a step of neighboring data sets.
        released_moved: largest difference that one validation record made to what is shown after an epoch, at equal noise.
        released_allowed: the most that is charged for that; 0 where nothing is.
    """

    clip: float
    moved: float
    released_moved: float
    released_allowed: float

    @property
    def refuted(self) -> bool:
        """Whether a difference exceeds what the claim allows."""
        return self.moved > self.clip or self.released_moved > self.released_allowed


def audit_neighbors(
    config: TensorFlowConfig, vocab_size: int, *, trainer_class: type[PrivateTrainer] = PrivateTrainer
) -> NeighborAudit:
    """Compare neighboring data sets.

    Args:
        config: settings, with `dp`. A small network with the same number of layers is used, without dropout.
        vocab_size: number of token ids.
        trainer_class: the trainer to audit.
    """
    config = config.replace(
        rnn_units=_RNN_UNITS,
        embedding_dim=_RNN_UNITS,
        dropout_rate=0.0,
        dp_unsafe_fixed_key=_FIXED_KEY,
        batch_size=_BATCH_SIZE,
    )
    records = _adversarial_records(vocab_size, min(config.seq_length, 32))
    bases: list[list[list[int]]] = [[], [records[-1]] * 8, records[:6]]
    with tempfile.TemporaryDirectory() as directory:
        trainer = _make_trainer(trainer_class, config, vocab_size, records, Path(directory))
        moved = _largest_difference(trainer, records, bases, _WEIGHT_SCALES)
        wide = config.replace(
            rnn_units=_WIDE_UNITS,
            embedding_dim=_WIDE_UNITS // 2,
            seq_length=_WIDE_STEPS,
            dp_l2_norm_clip=config.clipping_norm,  # whose default follows the length
        )
        base = _random_records(vocab_size)
        trainer = _make_trainer(trainer_class, wide, vocab_size, base, Path(directory) / "wide")
        moved = max(moved, _largest_difference(trainer, base[:1], [base], [_WIDE_SCALE]))
        clip = float(trainer.plan.l2_norm_clip) / trainer.plan.records_per_unit
        released, allowed = _released_difference(trainer_class, config, vocab_size, records, Path(directory))
    return NeighborAudit(clip, moved, released, allowed)


def _adversarial_records(vocab_size: int, longest: int) -> list[list[int]]:
    """Return records as token ids: cut at the length, one token repeated, all different, a single token, none."""
    last = vocab_size - 1
    rising = [1 + number % (vocab_size - 1) for number in range(longest)]
    return [[last] * 2 * longest, rising, [last], [2] * (longest // 2), [last, 2] * (longest // 3), [], [2, 3]]


def _random_records(vocab_size: int) -> list[list[int]]:
    """Return records of the second comparison as token ids, all of the same number of padded steps."""
    random = np.random.default_rng(6)
    lengths = random.integers(_WIDE_STEPS - 14, _WIDE_STEPS, _WIDE_RECORDS)
    return [random.integers(1, vocab_size, length).tolist() for length in lengths]


def _plan(config: TensorFlowConfig, records: int) -> PrivacyPlan:
    """Make the plan of a data set of usual size. Only norm, divisor and validation matter, so no noise is calibrated."""
    batch = choose_expected_batch_size(config, _PLANNED_RECORDS)
    noised = config.replace(dp_noise_multiplier=1.0, dp_target_epsilon=None, dp_max_epsilon=None, dp_batch_size=batch)
    return replace(plan_privacy(noised, _PLANNED_RECORDS), units=records, unit="record", records_per_unit=1)


def _layout(config: TensorFlowConfig, vocab_size: int) -> FieldLayout | None:
    """Return what a network with the fields of the configuration looks up; None for a plain one."""
    count = len(config.learned_columns or ())
    if config.field_delimiter is None or config.field_inputs == "off" or count < 2:
        return None
    first = min(TokenFormat.from_config(config, count).reserved_count, vocab_size - 1)
    return FieldLayout(public_inputs(count, first, vocab_size, False, config.seq_length), vocab_size)


def _make_trainer(
    trainer_class: type[PrivateTrainer],
    config: TensorFlowConfig,
    vocab_size: int,
    records: list[list[int]],
    directory: Path,
    validation: TokenStore | None = None,
) -> PrivateTrainer:
    return trainer_class(
        TrainingSettings.from_config(config),
        build_model(NetworkSettings.from_config(config), vocab_size, _layout(config, vocab_size)),
        in_memory_token_store(records),
        _plan(config, len(records)),
        validation=None if validation is None else (validation, None),
        directory=directory / "checkpoints",
        resume_directory=directory / "private",
        history_path=directory / "history.csv",
        identity={},
        unsafe_fixed_key=config.dp_unsafe_fixed_key,
    )


def _largest_difference(
    trainer: PrivateTrainer, records: list[list[int]], bases: Sequence[list[list[int]]], scales: Sequence[float]
) -> float:
    """Return the largest L2 distance of clipped sums with and without one record, which comes first or last."""
    worst = 0.0
    shapes = [variable.shape for variable in trainer.model.trainable_variables]
    for number, scale in enumerate(scales):
        random = np.random.default_rng([number, 5])
        for variable, shape in zip(trainer.model.trainable_variables, shapes, strict=True):
            variable.assign(scale * random.normal(size=shape).astype(np.float32))
        for base in bases:
            before = _clipped_sum(trainer, base)
            for record in records:
                for neighbor in ([record, *base], [*base, record])[: 1 + bool(base)]:  # equal where the base is empty
                    worst = max(worst, _distance(before, _clipped_sum(trainer, neighbor)))
    return worst


def _clipped_sum(trainer: PrivateTrainer, records: list[list[int]]) -> list[np.ndarray]:
    """Compute the clipped sum of all these records, as a step computes it before noise, in float64."""
    variables = trainer.model.trainable_variables
    total = [np.zeros(variable.shape) for variable in variables]
    if not records:
        return total
    store = in_memory_token_store(records)
    seeds = tf.zeros([NUM_HALVES, len(trainer.model.lstms), 2], tf.int64)
    ranks = np.arange(len(records))
    counts_of = trainer.row_counts.__getitem__
    parts = physical_batches(
        store, ranks, counts_of=counts_of, seq_length=trainer.plan.seq_length, layout=trainer.model.layout
    )
    for _, batch in parts:
        part = trainer._clipped(batch.to_tensors(), seeds)
        total = [value + np.asarray(more, np.float64) for value, more in zip(total, part.gradients, strict=True)]
    return total


def _released_difference(
    trainer_class: type[PrivateTrainer],
    config: TensorFlowConfig,
    vocab_size: int,
    records: list[list[int]],
    directory: Path,
) -> tuple[float, float]:
    """Return how far one validation record moves what is shown after an epoch, at equal weights and noise, and how far it may."""
    shown = []
    for side, validation in enumerate((records[1:3], records[1:4])):
        store = in_memory_token_store(validation)
        trainer = _make_trainer(trainer_class, config, vocab_size, records, directory / str(side), store)
        trainer._resume()
        shown.append(trainer.measure_epoch())
    planned = trainer.plan.validation
    allowed = 0.0 if planned is None else planned.loss_clip / planned.expected_units
    differences = [
        abs(without - with_record)
        for name in ("loss", "accuracy", "val_loss", "val_accuracy")
        if (without := getattr(shown[0], name)) is not None and (with_record := getattr(shown[1], name)) is not None
    ]
    return max(differences, default=0.0), allowed


def _distance(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    """Return the L2 distance over all tensors together."""
    return float(np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(first, second, strict=True))))
