"""Weights as the sampler uses them: padding changes nothing, and integers are as near as their scale."""

from __future__ import annotations

import numpy as np
import pytest

from linesmith.core.errors import DataError
from linesmith.model.sampling.network import SamplingNetwork
from linesmith.model.sampling.network_weights import prepare_weights
from linesmith.model.sampling.reference import exponential, ordered_product
from tests.model.sampling.test_network import random_weights


def _weights(units: int = 21, vocab: int = 19) -> dict[str, np.ndarray]:
    by_path = random_weights(np.random.default_rng(0), 2, units, vocab)
    return {path.split("/", 1)[1]: array for path, array in by_path.items()}


def test_columns_stand_in_panels_of_sixteen_units_and_their_gates() -> None:
    weights, units = _weights(), 21
    prepared = prepare_weights(weights, 2, [4], False, ordered_product)
    assert (prepared.layers, prepared.units, prepared.logits_kernel.shape) == (2, 32, (32, 32))
    for unit in range(units):
        for gate in range(4):
            column = unit // 16 * 64 + gate * 16 + unit % 16
            trained = gate * units + unit
            own, below = weights["lstm_1/recurrent_kernel"][:, trained], weights["lstm_1/kernel"][:, trained]
            assert np.array_equal(prepared.kernels[1][32 : 32 + units, column], own)
            assert np.array_equal(prepared.kernels[1][:units, column], below)
            assert prepared.biases[1][column] == weights["lstm_1/bias"][trained]
            table = weights["embedding/embeddings"] @ weights["lstm_0/kernel"] + weights["lstm_0/bias"]
            np.testing.assert_allclose(prepared.table[:, column], table[:, trained], rtol=1e-4, atol=1e-5)
    assert not prepared.kernels[1][units:32].any()
    assert np.isneginf(prepared.logits_bias[[4, *range(19, 32)]]).all()


def test_integers_are_half_a_step_off_at_most() -> None:
    exact, rounded = (prepare_weights(_weights(), 2, [], integers, ordered_product) for integers in (False, True))
    for kernel, quantized, scale in zip(exact.kernels, rounded.kernels, rounded.scales, strict=True):
        assert np.abs(quantized).max() == 127
        assert np.abs(quantized * (scale * 127) - kernel).max() <= 0.5001 * (scale * 127).max()
    assert np.abs(rounded.table * rounded.table_scale - exact.table).max() <= 0.5001 * rounded.table_scale.max()


def test_a_column_of_zeros_is_no_division_by_zero() -> None:
    weights = {path: np.zeros_like(array) for path, array in _weights().items()}
    prepared = prepare_weights(weights, 2, [], True, ordered_product)
    assert not prepared.kernels[0].any()
    assert np.isfinite(prepared.scales[0]).all()
    assert np.isfinite(prepared.table_scale).all()


def test_the_exponential_is_right_to_a_few_parts_in_ten_million() -> None:
    x = np.linspace(-87, 87, 200_001).astype(np.float32)
    np.testing.assert_allclose(exponential(x).astype(np.float64), np.exp(x.astype(np.float64)), rtol=3e-7)
    assert exponential(np.array([-np.inf], np.float32))[0] < 1e-37


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="do not fit its description"):
        SamplingNetwork({"m/logits/kernel": np.zeros((3, 4), np.float32)}, 1, [])
