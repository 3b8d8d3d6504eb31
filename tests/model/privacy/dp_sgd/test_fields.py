"""Per-record clipping of a network that knows fields: against one record at a time, on neighbors, and with planted bugs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from linesmith.model.privacy.dp_sgd import batch_clipping
from linesmith.model.privacy.dp_sgd.clipped_sum import CLIP_MARGIN, clipped_sum
from linesmith.model.privacy.dp_sgd.gradient_norms import embedding_norms, row_norms
from linesmith.model.privacy.dp_sgd.proven_rows import proven_row_counts
from linesmith.model.training.backpropagation import sum_token_losses_on_cpu, summed_gradients
from linesmith.model.training.language_model import LanguageModel, sum_token_losses
from tests.helpers.reference_gradients import distance, masks_from, network, norm, padded, record_gradient
from tests.model.fields.test_inputs import small_layout

pytestmark = pytest.mark.integration

SEQ, VOCAB = 14, 9
LAYOUT = small_layout(5, memory=10, shared=True)
# Fields that repeat each other, empty ones, more than are known, one that is cut, a single token, an empty record.
RECORDS = [
    [2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3],
    [1, 1, 1],
    [1, 1, 1, 1, 1, 1, 1],
    [2, 2, 2, 2, 1, 2, 2, 2, 2, 1, 2, 2, 2, 2, 1, 2],
    [5],
    [],
]


def _network(units=5, dtype=tf.float64, scale=0.6, layers=2):
    return network(VOCAB, units + 1, units, layers, dtype, scale, table_rows=LAYOUT.rows)


def _padded(records, extra_rows=0, extra_steps=0):
    return padded(records, SEQ, extra_rows, extra_steps, layout=LAYOUT)


# Units and record length decide whether a layer's norm is taken from Gram matrices or from its gradient.
@pytest.mark.parametrize(
    ("units", "dtype", "tolerance"), [(16, tf.float64, 1e-9), (2, tf.float64, 1e-9), (16, tf.float32, 2e-4)]
)
def test_norms_and_sum_equal_one_record_at_a_time(units, dtype, tolerance):
    variables, batch = _network(units, dtype), _padded(RECORDS, extra_rows=2, extra_steps=3)
    expected = [record_gradient(variables, batch, [None, None], row, SEQ) for row in range(len(RECORDS))]
    norms = [norm(gradients) for gradients in expected]
    clip = float(np.median(norms))
    found = clipped_sum(variables, batch, masks_from([None, None]), clip=tf.constant(clip, dtype), seq_length=SEQ)
    np.testing.assert_allclose(found.norms[: len(RECORDS)], norms, rtol=tolerance)
    assert np.all(found.norms[len(RECORDS) :] == 0)
    factors = [min(1.0, clip * (1 - CLIP_MARGIN) / value) for value in norms]
    assert 0 < sum(factor < 1 for factor in factors) < len(RECORDS)
    for index, gradient in enumerate(found.gradients):
        total = sum(factor * gradients[index].numpy() for factor, gradients in zip(factors, expected, strict=True))
        np.testing.assert_allclose(gradient, total, rtol=tolerance, atol=tolerance)


def test_norms_of_the_table_equal_the_sums_by_slot_and_by_row():
    random = np.random.default_rng(0)
    rows = random.integers(0, 5, (6, 11, 4)) * 4 + np.arange(4)
    delta = random.normal(size=(6, 11, 3))
    delta[1] = random.normal(size=3) * np.tile([1.0, -1.0], 6)[:11, None]
    rows[1] = np.arange(4)  # the same rows in every step, whose gradients all but cancel
    expected = np.zeros(6)
    for record in range(6):
        table = np.zeros((20, 3))
        for step in range(11):
            for row in rows[record, step]:
                table[row] += delta[record, step]
        expected[record] = (table**2).sum()
    found = row_norms(tf.constant(rows, tf.int32), tf.constant(delta), 20)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    by_slot = [embedding_norms(tf.constant(rows[:, :, slot], tf.int32), tf.constant(delta), 20) for slot in range(4)]
    np.testing.assert_allclose(found, np.sum(by_slot, axis=0), rtol=1e-12)


def test_a_table_whose_terms_cancel_is_done_directly():
    random = np.random.default_rng(0)
    delta = np.repeat(random.normal(size=(1, 1, 40)), 8, axis=1) * np.tile([1.0, -1.0], 4)[None, :, None]
    delta = delta + 1e-4 * random.normal(size=delta.shape)
    rows = np.zeros((1, 8, 2), np.int32) + np.arange(2, dtype=np.int32)
    exact = row_norms(tf.constant(rows), tf.constant(delta), 2)
    np.testing.assert_allclose(row_norms(tf.constant(rows), tf.constant(delta, tf.float32), 2), exact, rtol=1e-3)


@pytest.mark.parametrize("dropout", [False, True])
def test_plain_gradients_are_those_of_the_model(dropout):
    model = LanguageModel(VOCAB, embedding_dim=6, units=5, layers=2, seed=3, layout=LAYOUT)
    batch = _padded(RECORDS)
    masks = [None, None]
    if dropout:  # of the input, and of both layers
        random = np.random.default_rng(2)
        widths = (6, 5, 5)
        masks = [tf.constant(random.choice([0, 2], (*batch["inputs"].shape, n)), tf.float32) for n in widths]
    with tf.GradientTape() as tape:
        total, _, tokens = sum_token_losses(model, batch, masks)
    expected = tape.gradient(total, model.trainable_variables)
    variables = [tf.convert_to_tensor(variable) for variable in model.trainable_variables]
    sums, found = summed_gradients(variables, batch, masks_from(masks), tf.float32, tf.constant(1.0))
    np.testing.assert_allclose([float(part) for part in sums[::2]], [total, tokens], rtol=1e-5)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, tf.convert_to_tensor(other), rtol=1e-4, atol=1e-5)
    if not dropout:
        np.testing.assert_allclose(sum_token_losses_on_cpu(variables, batch, tf.float32)[0], total, rtol=1e-5)
    # The forget gate of every layer begins open.
    assert all(lstm.bias.numpy()[5:10].tolist() == [1.0] * 5 for lstm in model.lstms)


# -- neighbors

CLIP = 0.5
BASES = ([], [[1, 1, 1]] * 8, RECORDS)
ADVERSARIES = ([2] * 40, [2, 1] * 20, [3, 1, 3, 1, 3, 1, 3], [1] * 20, [6], [])
SCALES = (0.05, 0.6, 8.0)  # of the weights: gradients far below the clipping norm, around it, far above


def _sum(records, variables, dtype):
    if not records:
        return [np.zeros(variable.shape) for variable in variables]
    batch = _padded(records, extra_rows=3)
    return clipped_sum(variables, batch, masks_from([None, None]), clip=CLIP, seq_length=SEQ, dtype=dtype).gradients


def largest_move(dtype=None, scales=SCALES) -> float:
    """Return the most that one record, first or last in its batch, moves the sum, over adversarial data sets and weights."""
    worst = 0.0
    for scale in scales:
        variables = _network(6, tf.float32, scale)
        for base in BASES:
            before = _sum(base, variables, dtype)
            for record in ADVERSARIES:
                for neighbor in ([record, *base], [*base, record]):
                    worst = max(worst, distance(before, _sum(neighbor, variables, dtype)))
    return worst


@pytest.mark.slow
def test_one_record_moves_the_sum_by_at_most_the_clipping_norm():
    assert 0.99 * CLIP < largest_move() <= CLIP


@pytest.mark.slow
def test_one_record_moves_the_sum_by_at_most_the_clipping_norm_in_bfloat16():
    assert 0.98 * CLIP < largest_move(tf.bfloat16) <= CLIP


def _first_slot_alone(rows, delta, table_rows):
    """The norm counts the last token's rows and forgets the others."""
    return embedding_norms(rows[:, :, 0], delta, table_rows)


def _every_step_alone(rows, delta, table_rows):
    """Rows that a record looks up more than once are not added up."""
    return rows.shape[2] * tf.reduce_sum(delta * delta, axis=[1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("planted", [_first_slot_alone, _every_step_alone])
def test_a_planted_bug_moves_the_sum_too_far(planted, monkeypatch):
    monkeypatch.setattr(batch_clipping, "row_norms", planted)
    assert largest_move() > CLIP


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_a_record_that_is_not_finite_contributes_nothing_and_is_counted(dtype):
    variables = _network(6, tf.float32)
    table = variables[0].numpy()
    table[5] = np.nan
    poisoned = [tf.constant(table), *variables[1:]]
    found = clipped_sum(poisoned, _padded(RECORDS), masks_from([None, None]), clip=CLIP, seq_length=SEQ, dtype=dtype)
    assert int(found.non_finite) == 1
    clean = [record for record in RECORDS if 5 not in record]
    assert distance(found.gradients, _sum(clean, poisoned, dtype)) < 1e-5


def test_numbers_of_rows_are_proven_with_the_rows_of_the_table():
    shapes = [(LAYOUT.rows, 16), (16, 64), (16, 64), (64,), (16, 48), (48,)]
    counts = proven_row_counts(shapes, 16, dtype=tf.float32, batch_size=96, expected_rows=60, slots=LAYOUT.slots)
    assert set(counts) <= {48, 96}
