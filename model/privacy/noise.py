"""Gaussian noise from the secret key: what is added to every sum that is released, drawn and added in float64 on the CPU.

The draw is numpy's ziggurat (Marsaglia and Tsang 2000) on a counter-based generator. Its density is that of the normal to more
than 12 standard deviations. TensorFlow's float32 normals end at 5.68, since they are made of uniform numbers of 23 bits:
whatever lies beyond is impossible without a record that moves the sum, and delta is then many times what is claimed.

Floating-point numbers have gaps, and which of them a sum of value and noise can reach tells something about the value (Mironov
2012, "On Significance of the Least Significant Bits for Differential Privacy"). So the sum is rounded to multiples of 2^-20 of
a standard deviation. The draws are about 2^30 times as fine, so that every multiple can be reached from every value, with very
nearly the probability that the normal gives it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linesmith.model.privacy.secret_key import SecretKey, Seed, random_generator

GENERATOR_DESCRIPTION = (
    "Philox (4x64 for samples and noise, 4x32 for dropout), counter-based, each stream seeded by HMAC-SHA256 from a 128-bit "
    "key of the operating system that is held in memory only; Philox is not a cryptographic generator"
)
_ROUNDING = 2.0**20  # multiples in a standard deviation to which a noised sum is rounded


def standard_normal(shape: tuple[int, ...], seed: Seed) -> npt.NDArray[np.float64]:
    """Draw independent standard normal numbers: a function of shape and seed, equal on every device.

    Args:
        shape: shape of the result; () for one number.
        seed: 128 secret bits, from `SecretKey.seed`; never used twice.
    """
    # Not float32: its uniform numbers have 24 bits, which end the tail at about 8 standard deviations.
    return np.asarray(random_generator(seed).standard_normal(shape))


def add_noise(values: npt.ArrayLike, stddev: float, seed: Seed) -> npt.NDArray[np.float64]:
    """Add independent Gaussian noise to every number, and round to multiples of 2^-20 standard deviations.

    Args:
        values: numbers of any shape.
        stddev: standard deviation of the noise; 0 adds nothing and rounds nothing.
        seed: 128 secret bits, from `SecretKey.seed`; never used twice.

    Returns:
        Noised numbers, of the shape of `values`.
    """
    exact = np.asarray(values, np.float64)
    if stddev == 0:
        return exact
    noised = standard_normal(exact.shape, seed)
    noised += exact / stddev
    noised *= _ROUNDING
    np.rint(noised, out=noised)
    noised *= stddev / _ROUNDING
    return noised


def noise_seeds(key: SecretKey, step: int, tensors: int) -> list[Seed]:
    """Derive the seeds of the noise of a step, one per tensor of the sum.

    Args:
        key: the secret key.
        step: number of the step since the beginning of training.
        tensors: number of tensors of the sum.
    """
    return [key.seed("noise", step, tensor) for tensor in range(tensors)]
