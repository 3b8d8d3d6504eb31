"""Private trainers with one planted bug each, of the kinds that the privacy contract names; an audit must flag every one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from linesmith.model.privacy import noise
from linesmith.model.privacy import trainer as private_trainer
from linesmith.model.privacy.dp_sgd.clipped_sum import ClippedSum, clipped_sum
from linesmith.model.privacy.noise import noise_seeds
from linesmith.model.privacy.secret_key import SecretKey
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.model.privacy.validation import PublicValidation
from linesmith.model.training import backpropagation
from tests.helpers.reference_gradients import masks_from
from tests.helpers.release_checks import clock_moves_release, draws_uncharged_vocabulary, keeps_stale_files
from tests.model.privacy.dp_sgd import test_clipped_sum as test_dp_sgd

SEQ = test_dp_sgd.SEQ  # the clipping bugs are written for rows of that length


def float32_normal(shape: tuple[int, ...], seed: tuple[int, int]) -> np.ndarray:
    """Draw as training did until noise got its tails: no number exceeds 5.6777."""
    draw = tf.random.stateless_normal(shape, tf.constant(seed, tf.int64), alg="philox")
    return np.asarray(draw, np.float64)


class NoNoise(PrivateTrainer):
    """Trainer that releases the sum without noise."""

    def _noise_and_apply(self, sums: list[Any], seeds: Any) -> None:
        self._apply(sums)


class SameNoise(PrivateTrainer):
    """Trainer that uses the noise of the first step in every step."""

    def _noise_and_apply(self, sums: list[Any], seeds: Any) -> None:
        super()._noise_and_apply(sums, noise_seeds(self.key, 0, len(sums)))


class TruncatedNoise(PrivateTrainer):
    """Trainer whose noise comes from TensorFlow's float32 normals, which end at 5.6777 standard deviations."""

    def _noise_and_apply(self, sums: list[Any], seeds: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(noise, "standard_normal", float32_normal)
            super()._noise_and_apply(sums, seeds)


class PublicKey(PrivateTrainer):
    """Trainer whose secret key comes from the public seed of the run."""

    def __init__(self, settings: Any, *arguments: Any, **named: Any) -> None:
        super().__init__(settings, *arguments, **named)
        self.key = SecretKey.unsafe(f"{settings.seed + 1:x}")


class RawValidation(PrivateTrainer):
    """Trainer that shows the raw loss of the validation records and charges nothing for it."""

    def __init__(self, *arguments: Any, validation: Any = None, **named: Any) -> None:
        super().__init__(*arguments, validation=validation, **named)
        if validation is not None:
            self._public = PublicValidation(self.model, validation[0], batch_size=16, seq_length=SEQ)


class RateByTheClock(PrivateTrainer):
    """Trainer whose learning rate falls with elapsed time."""

    def fraction_done(self, steps: int) -> float:
        return min(1.0, self.elapsed_seconds() / 3600)


def replace_nothing(*_: Any) -> None:
    """Stage that begins to write beside files of the other kind."""


def charge_nothing(*_: Any) -> None:
    """Charge of a vocabulary that enters nothing in any ledger."""


def _sampled(draw: Callable[..., np.ndarray]) -> type[PrivateTrainer]:
    class Sampled(PrivateTrainer):
        def run_step(self, index: int) -> None:
            step = self.state.total_steps
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(private_trainer, "poisson_sample", lambda n, rate, seed: draw(n, rate, step, seed))
                super().run_step(index)

    return Sampled


def _shuffled(n: int, rate: float, step: int, seed: Any) -> np.ndarray:
    """Draw batches of a new random order in every epoch."""
    batches = max(1, round(1 / rate))
    order = np.random.default_rng([7, step // batches]).permutation(n)
    return np.sort(np.array_split(order, batches)[step % batches])


def _one_size(n: int, rate: float, step: int, seed: Any) -> np.ndarray:
    return np.sort(np.random.default_rng([7, step]).choice(n, round(n * rate), replace=False))


def _too_often(n: int, rate: float, step: int, seed: Any) -> np.ndarray:
    """Draw at four times the charged rate, as where n is counted in tokens or windows instead of records."""
    return np.flatnonzero(np.random.default_rng([7, step]).random(n) < min(1, 4 * rate))


def _clipping(bug: Callable[..., list[Any]], eager: bool = False) -> type[PrivateTrainer]:
    class Clipping(PrivateTrainer):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            if eager:  # the bug needs values in Python, which a graph does not have
                self._clipped = self._clipped_part

        def _clipped_part(self, batch: dict[str, Any], seeds: Any) -> ClippedSum:
            variables = [tf.convert_to_tensor(variable) for variable in self.model.trainable_variables]
            gradients = bug(variables, batch, [None] * len(self.model.lstms), self.plan.l2_norm_clip)
            return ClippedSum(gradients, tf.constant(0), tf.constant(0), tf.zeros([1]))

    return Clipping


def _no_clipping(variables: Any, batch: Any, masks: Any, clip: float) -> list[Any]:
    return clipped_sum(variables, batch, masks_from(masks), clip=1e30, seq_length=SEQ).gradients


def _row_coupling(variables: Any, batch: Any, masks: Any, clip: float) -> list[Any]:
    """The last rows of a half have other last bits, as in products whose number of rows is not proven."""
    real = backpropagation.lstm_forward

    def coupled(inputs: Any, steps: Any, rows: Any, recurrent: Any) -> Any:
        last = tf.cast(tf.range(rows) >= rows - 2, recurrent.dtype)[:, None]
        return real(lambda t: inputs(t) * (1 + last * 2.0**-23), steps, rows, recurrent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backpropagation, "lstm_forward", coupled)
        return clipped_sum(variables, batch, masks_from(masks), clip=clip, seq_length=SEQ).gradients


@dataclass(frozen=True)
class Bug:
    """A bug, in the trainer or in the settings of all stages.

    Attributes:
        check: takes an empty directory, and returns whether a test of what is released flags the bug; None: attacks look for it.
    """

    name: str
    trainer: type[PrivateTrainer] = PrivateTrainer
    settings: tuple[tuple[str, Any], ...] = ()
    check: Callable[[Path], bool] | None = None
    must_be_found: bool = True


BUGS = [
    Bug("no noise", NoNoise),
    Bug("the same noise in every step", SameNoise),
    Bug("truncated noise", TruncatedNoise),
    Bug("a key from the public seed", PublicKey),
    Bug("no clipping", _clipping(_no_clipping)),
    Bug("the batch's mean clipped once", _clipping(test_dp_sgd._clip_per_batch, eager=True)),
    Bug("mean over the batch's tokens", _clipping(test_dp_sgd._masked_mean)),
    Bug("each window clipped for itself", _clipping(test_dp_sgd._window_unit, eager=True)),
    Bug("a layer left out of the norm", _clipping(test_dp_sgd._unclipped_layer, eager=True)),
    Bug("state carried from row to row", _clipping(test_dp_sgd._carried_state, eager=True)),
    Bug("row coupling", _clipping(_row_coupling)),
    Bug("a shuffle instead of Poisson", _sampled(_shuffled)),
    Bug("draws of one size", _sampled(_one_size)),
    Bug("n counted in tokens", _sampled(_too_often)),
    Bug("raw validation loss", RawValidation),
    Bug("vocabulary learned from the data", settings=(("dp_vocabulary", "raw"),)),
    Bug("a learning rate by the clock", check=partial(clock_moves_release, RateByTheClock)),
    Bug("files of a plain run left behind", check=partial(keeps_stale_files, replace=replace_nothing)),
    Bug("a vocabulary that is not charged", check=partial(draws_uncharged_vocabulary, charge=charge_nothing)),
]
