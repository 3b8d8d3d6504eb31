"""Gaussian mechanism on the summed gradient of a step: noise is added once per logical batch.

tensorflow-privacy's query defines what is added and which event an accountant charges. Its own draw takes no seed: it repeats
after `tf.random.set_seed`, and a resumed training cannot continue it. So the draw is the one thing that is replaced here.

The package's top level imports `tf.estimator`, which TensorFlow no longer has. It has its own switch for that: with
`sys.skip_tf_privacy_import` set, the package loads empty and its submodules import as usual. On Python 3.13, where it cannot be
installed, an equal query of our own takes its place.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import Any

import tensorflow as tf

from linesmith.model.privacy.noise import Seed, add_noise

if find_spec("tensorflow_privacy") is not None:
    sys.skip_tf_privacy_import = True  # type: ignore[attr-defined]
    from tensorflow_privacy.privacy.dp_query.gaussian_query import GaussianSumQuery
else:
    from linesmith.model.privacy.gaussian_sum_query import GaussianSumQuery


class KeyedGaussianSumQuery(GaussianSumQuery):
    """Gaussian mechanism on a sum of gradients that are already clipped, with noise that is a function of seeds.

    Args:
        l2_norm_clip: C, the L2 sensitivity: the most that one unit moves the sum.
        stddev: standard deviation of the noise on every coordinate, noise multiplier times C.
        seeds: one seed for each tensor of the sum.
    """

    def __init__(self, l2_norm_clip: float, stddev: float, seeds: Sequence[Seed]) -> None:
        super().__init__(l2_norm_clip, stddev)
        self._seeds = seeds

    def get_noised_result(
        self, sample_state: Sequence[tf.Tensor], global_state: Any
    ) -> tuple[list[tf.Tensor], Any, Any]:
        """Return the noised sum, the unchanged global state, and the event that an accountant charges.

        Args:
            sample_state: the sum, one tensor per variable, with values: this is not to be traced into a graph.
            global_state: from `initial_global_state`.
        """
        stddev = float(global_state.stddev)
        # In threads, since NumPy draws without the interpreter's lock: in one, the noise would be a twentieth of a step.
        with ThreadPoolExecutor() as threads:
            noised = list(threads.map(partial(_noised, stddev), zip(sample_state, self._seeds, strict=True)))
        _, _, event = super().get_noised_result([], global_state)
        return noised, global_state, event


def _noised(stddev: float, value_and_seed: tuple[tf.Tensor, Seed]) -> tf.Tensor:
    value, seed = value_and_seed
    return tf.constant(add_noise(value, stddev, seed), value.dtype)


def noised_sum(
    sums: Sequence[tf.Tensor], *, clip: float, noise_multiplier: float, seeds: Sequence[Seed]
) -> list[tf.Tensor]:
    """Add noise of standard deviation `noise_multiplier * clip` to every coordinate of a sum of clipped gradients.

    Args:
        sums: one tensor per variable; zeros where the sample was empty.
        clip: C, the L2 sensitivity of the sum.
        noise_multiplier: z; 0 adds nothing.
        seeds: from `noise_seeds`, fresh for every step, one per tensor.

    Returns:
        The noised sum, with the shapes and dtypes of `sums`.
    """
    query = KeyedGaussianSumQuery(clip, noise_multiplier * clip, seeds)
    noised, _, _ = query.get_noised_result(sums, query.initial_global_state())
    return noised
