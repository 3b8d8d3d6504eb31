"""Gaussian noise on a step's summed gradient: once a logical batch, drawn from a secret key.

tensorflow-privacy's query states what is added and what it costs. Its own draw takes no seed: it repeats after
`tf.random.set_seed` and cannot be told from one step to the next, so it is the one thing replaced here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from linesmith.model.privacy.secret_key import SecretKey
from linesmith.model.privacy.tf_privacy import GaussianSumQuery

Tensor = Any

GENERATOR = (
    "Philox (4x64 for samples, 4x32 for noise and dropout), counter-based, each stream seeded by HMAC-SHA256 from a 128-bit "
    "key of the operating system that is held in memory only; Philox is not a cryptographic generator"
)


class KeyedGaussianSumQuery(GaussianSumQuery):
    """Adds Gaussian noise to a sum whose records are already clipped, with draws that are a function of seeds.

    Args:
        l2_norm_clip: C, the most that one record moves the sum.
        stddev: standard deviation of the noise on every coordinate: noise multiplier times C.
        seeds: one row of two integers for each tensor of the sum, [tensors, 2] int64.
    """

    def __init__(self, l2_norm_clip: Tensor, stddev: Tensor, seeds: Tensor) -> None:
        super().__init__(l2_norm_clip, stddev)
        self._seeds = seeds

    def get_noised_result(self, sample_state: Sequence[Tensor], global_state: Any) -> tuple[list[Tensor], Any, Any]:
        """The noised sum, the unchanged state, and the event that an accountant charges."""
        noised = [
            value + tf.cast(global_state.stddev * standard_normal(tf.shape(value), self._seeds[i]), value.dtype)
            for i, value in enumerate(sample_state)
        ]
        _, _, event = super().get_noised_result([], global_state)
        return noised, global_state, event


def noised_sum(sums: Sequence[Tensor], *, clip: Tensor, noise_multiplier: float, seeds: Tensor) -> list[Tensor]:
    """A sum of clipped gradients with noise of standard deviation `noise_multiplier · clip` on every coordinate.

    Args:
        sums: one tensor a variable; zeros where the sample was empty.
        clip: C, scalar.
        noise_multiplier: z; 0 adds nothing.
        seeds: from `noise_seeds`, fresh for every step.
    """
    query = KeyedGaussianSumQuery(clip, noise_multiplier * clip, seeds)
    noised, _, _ = query.get_noised_result(sums, query.initial_global_state())
    return noised


def noise_seeds(key: SecretKey, step: int, tensors: int) -> list[tuple[int, int]]:
    """Seeds of a step's noise, one a tensor."""
    return [key.seed("noise", step, tensor) for tensor in range(tensors)]


def standard_normal(shape: Any, seed: Tensor) -> Tensor:
    """Independent standard normal numbers, float32; a function of shape and seed."""
    return tf.random.stateless_normal(shape, seed, alg="philox")
