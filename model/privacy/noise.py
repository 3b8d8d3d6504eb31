"""Gaussian noise on the summed gradient of a step: added once per logical batch, drawn from a secret key.

tensorflow-privacy's query defines what is added and which event an accountant charges. Its own draw takes no seed: it repeats
after `tf.random.set_seed`, and a resumed training cannot continue it. So the draw is the one thing that is replaced here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from linesmith.model.privacy.secret_key import SecretKey
from linesmith.model.privacy.tf_privacy import GaussianSumQuery

GENERATOR_DESCRIPTION = (
    "Philox (4x64 for samples, 4x32 for noise and dropout), counter-based, each stream seeded by HMAC-SHA256 from a 128-bit "
    "key of the operating system that is held in memory only; Philox is not a cryptographic generator"
)


class KeyedGaussianSumQuery(GaussianSumQuery):
    """Gaussian mechanism on a sum of gradients that are already clipped, with noise that is a function of seeds.

    Args:
        l2_norm_clip: C, the L2 sensitivity: the most that one unit moves the sum. Scalar.
        stddev: standard deviation of the noise on every coordinate, noise multiplier times C. Scalar.
        seeds: one seed of two integers for each tensor of the sum, [tensors, 2] int64.
    """

    def __init__(self, l2_norm_clip: tf.Tensor, stddev: tf.Tensor, seeds: tf.Tensor) -> None:
        super().__init__(l2_norm_clip, stddev)
        self._seeds = seeds

    def get_noised_result(
        self, sample_state: Sequence[tf.Tensor], global_state: Any
    ) -> tuple[list[tf.Tensor], Any, Any]:
        """Return the noised sum, the unchanged global state, and the event that an accountant charges.

        Args:
            sample_state: the sum, one tensor per variable.
            global_state: from `initial_global_state`.
        """
        noised = [
            value + tf.cast(global_state.stddev * standard_normal(tf.shape(value), self._seeds[i]), value.dtype)
            for i, value in enumerate(sample_state)
        ]
        _, _, event = super().get_noised_result([], global_state)
        return noised, global_state, event


def noised_sum(
    sums: Sequence[tf.Tensor], *, clip: tf.Tensor, noise_multiplier: float, seeds: tf.Tensor
) -> list[tf.Tensor]:
    """Add noise of standard deviation `noise_multiplier * clip` to every coordinate of a sum of clipped gradients.

    Args:
        sums: one tensor per variable; zeros where the sample was empty.
        clip: C, the L2 sensitivity of the sum; scalar.
        noise_multiplier: z; 0 adds nothing.
        seeds: from `noise_seeds`, fresh for every step, [tensors, 2] int64.

    Returns:
        The noised sum, with the shapes and dtypes of `sums`.
    """
    query = KeyedGaussianSumQuery(clip, noise_multiplier * clip, seeds)
    noised, _, _ = query.get_noised_result(sums, query.initial_global_state())
    return noised


def noise_seeds(key: SecretKey, step: int, tensors: int) -> list[tuple[int, int]]:
    """Derive the seeds of the noise of a step, one per tensor of the sum.

    Args:
        key: the secret key.
        step: number of the step since the beginning of training.
        tensors: number of tensors of the sum.
    """
    return [key.seed("noise", step, tensor) for tensor in range(tensors)]


def standard_normal(shape: Any, seed: tf.Tensor) -> tf.Tensor:
    """Draw independent standard normal numbers: float32, a function of shape and seed."""
    return tf.random.stateless_normal(shape, seed, alg="philox")
