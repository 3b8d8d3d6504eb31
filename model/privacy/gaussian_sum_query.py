"""The Gaussian sum query of tensorflow-privacy 0.9 for Pythons on which that cannot be installed (3.13, docs/stack.md).

Names, arguments and results are those of `tensorflow_privacy.privacy.dp_query.gaussian_query.GaussianSumQuery`; a test
compares the two wherever both are there. Only its own noise is left out: `linesmith.model.privacy.gaussian_query`
adds another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


class GlobalState(NamedTuple):
    """Parameters of the mechanism.

    Attributes:
        l2_norm_clip: norm to which every record is clipped, float32.
        stddev: standard deviation of the noise on the sum, float32.
    """

    l2_norm_clip: tf.Tensor
    stddev: tf.Tensor


class GaussianSumQuery:
    """Sum of clipped records, to which Gaussian noise is added.

    Args:
        l2_norm_clip: norm to which every record is clipped.
        stddev: standard deviation of the noise on the sum.
    """

    def __init__(self, l2_norm_clip: float, stddev: float) -> None:
        self._l2_norm_clip, self._stddev = l2_norm_clip, stddev

    def make_global_state(self, l2_norm_clip: float, stddev: float) -> GlobalState:
        """Return the parameters of the mechanism as tensors."""
        return GlobalState(tf.cast(l2_norm_clip, tf.float32), tf.cast(stddev, tf.float32))

    def initial_global_state(self) -> GlobalState:
        """Return the parameters that the query was made with."""
        return self.make_global_state(self._l2_norm_clip, self._stddev)

    def derive_sample_params(self, global_state: Any) -> tf.Tensor:
        """Return what clipping a record needs: the norm."""
        return global_state.l2_norm_clip

    def initial_sample_state(self, template: Any) -> Any:
        """Return zeros of the structure of a record."""
        return tf.nest.map_structure(lambda part: tf.zeros(tf.shape(part), part.dtype), template)

    def preprocess_record_impl(self, params: tf.Tensor, record: Any) -> tuple[Any, tf.Tensor]:
        """Return a record that is clipped by its norm over all parts, and that norm."""
        clipped, norm = tf.clip_by_global_norm(tf.nest.flatten(record), params)
        return tf.nest.pack_sequence_as(record, clipped), norm

    def preprocess_record(self, params: tf.Tensor, record: Any) -> Any:
        """Return a record that is clipped by its norm over all parts."""
        return self.preprocess_record_impl(params, record)[0]

    def accumulate_preprocessed_record(self, sample_state: Any, preprocessed_record: Any) -> Any:
        """Return the sum with a clipped record added."""
        return tf.nest.map_structure(tf.add, sample_state, preprocessed_record)

    def accumulate_record(self, params: tf.Tensor, sample_state: Any, record: Any) -> Any:
        """Return the sum with a record added, which is clipped first."""
        return self.accumulate_preprocessed_record(sample_state, self.preprocess_record(params, record))

    def merge_sample_states(self, sample_state_1: Any, sample_state_2: Any) -> Any:
        """Return the sum of two sums."""
        return tf.nest.map_structure(tf.add, sample_state_1, sample_state_2)

    def derive_metrics(self, global_state: Any) -> dict[str, Any]:
        """Return nothing: the parameters are no metrics."""
        return {}

    def get_noised_result(self, sample_state: Any, global_state: Any) -> tuple[Any, Any, Any]:
        """Return the sums as they are, the parameters, and the event that an accountant charges. A subclass adds the noise."""
        import dp_accounting

        return (
            sample_state,
            global_state,
            dp_accounting.GaussianDpEvent(global_state.stddev / global_state.l2_norm_clip),
        )
