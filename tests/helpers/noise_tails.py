"""Tails of the noise that a trainer adds, compared with those of the normal distribution over very many draws."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from scipy.stats import binom, norm

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.privacy.noise import noise_seeds
from linesmith.model.privacy.plan_from_config import plan_privacy
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.model.training.settings import NetworkSettings, TrainingSettings
from linesmith.model.training.trainer import build_model
from tests.helpers.token_stores import random_records, store_of

THRESHOLDS = (5.0, 5.5, 5.7, 6.0)  # standard deviations
CHUNK = 2**18  # draws at once: a few megabytes
CHUNKS = -(-(10**9) // CHUNK)
NOISE_MULTIPLIER = 0.9347  # of the run at epsilon 8 in docs/privacy.md
_CONFIDENCE = 0.999

Draws = npt.NDArray[np.float64]


def released_noise(
    trainer_class: type[PrivateTrainer],
    *,
    values: Callable[[int], Draws] = lambda _: np.zeros(CHUNK),
    chunks: int = CHUNKS,
) -> Iterator[Draws]:
    """Yield what a trainer hands to its optimizer, where the sum of a step has the given values.

    It is the trainer's own way from the sum to the optimizer; only the width of the sum is another.

    Args:
        trainer_class: the trainer; it gets a fixed key, so that the draws are always the same.
        values: the sum of a step before noise, in clipping norms, [CHUNK]; a function of the step's number.
        chunks: number of steps.

    Yields:
        Noised sums in units of the noise's standard deviation, [CHUNK].
    """
    config = TensorFlowConfig(
        dp=True, dp_noise_multiplier=NOISE_MULTIPLIER, dp_batch_size=8, rnn_units=4, embedding_dim=4, rnn_layers=1
    )
    with tempfile.TemporaryDirectory() as directory:
        trainer = trainer_class(
            TrainingSettings.from_config(config),
            build_model(NetworkSettings.from_config(config), 258),
            store_of(random_records(40, 9, 15)),
            plan_privacy(config, 40),
            directory=Path(directory) / "checkpoints",
            resume_directory=Path(directory) / "private",
            history_path=Path(directory) / "history.csv",
            identity={},
            unsafe_fixed_key="20",
        )
    released: list[list[tf.Tensor]] = []
    trainer._apply = released.append
    clip = float(trainer.clip.value)
    for step in range(chunks):
        trainer._noise_and_apply([tf.constant(clip * values(step), tf.float32)], noise_seeds(trainer.key, step, 1))
        (noised,) = released.pop()
        yield np.asarray(noised, np.float64) / (clip * NOISE_MULTIPLIER)


def far_draws(chunks: Iterable[Draws]) -> Draws:
    """Return the draws, of both signs, that lie beyond the least threshold."""
    return np.concatenate([chunk[np.abs(chunk) > THRESHOLDS[0]] for chunk in chunks])


def bounds(draws: int, probability: float) -> tuple[int, int]:
    """Return the least and the largest count of an event of that probability among so many draws, with 99.9 %."""
    least, most = binom.interval(_CONFIDENCE, draws, probability)
    return int(least), int(most)


def tail_counts(far: Draws, draws: int = CHUNKS * CHUNK) -> dict[float, tuple[int, tuple[int, int]]]:
    """Return for each threshold how many of so many draws lie beyond it, and the bounds within which a normal has them."""
    return {
        threshold: (int(np.count_nonzero(np.abs(far) > threshold)), bounds(draws, 2 * norm.sf(threshold)))
        for threshold in THRESHOLDS
    }


def tail_faults(far: Draws, draws: int = CHUNKS * CHUNK) -> list[str]:
    """Say beyond which thresholds there are too few or too many of so many draws."""
    return [
        f"{count} beyond {threshold}, not {least} to {most}"
        for threshold, (count, (least, most)) in tail_counts(far, draws).items()
        if not least <= count <= most
    ]
