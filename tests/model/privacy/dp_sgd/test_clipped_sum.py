"""Per-record clipping, compared with one record at a time, on neighboring data sets, and with planted bugs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from linesmith.model.privacy.dp_sgd import batch_clipping, weighted_sums
from linesmith.model.privacy.dp_sgd import clipped_sum as clipped_sum_module
from linesmith.model.privacy.dp_sgd.clipped_sum import CLIP_MARGIN, clipped_sum
from linesmith.model.privacy.dp_sgd.gradient_norms import GramNorms, LayerOperands, direct_norms, embedding_norms
from linesmith.model.training import backpropagation
from linesmith.model.training.language_model import LanguageModel, sum_token_losses
from tests.helpers.reference_gradients import distance, masks_from, network, norm, padded, record_gradient

pytestmark = pytest.mark.integration

SEQ = 12
# Of different lengths: a single token, repeated tokens, one that is cut, an empty one.
RECORDS = [[1, 2, 3], [4], [5, 5, 5, 5, 5, 5], [1, 2, 1, 2, 1, 2, 6, 6], [3] * 30, []]


def _masks(variables, batch, rate=0.3):
    shape = (*batch["inputs"].shape, variables[2].shape[0])
    random = np.random.default_rng(5)
    layers = (len(variables) - 3) // 3
    return [tf.constant((random.random(shape) >= rate) / (1 - rate), variables[0].dtype) for _ in range(layers)]


# -- against the reference


# Units and record length decide whether a layer's norm is taken from Gram matrices or from its gradient.
# The losses of a large vocabulary are padded to a multiple of the width of vectors.
@pytest.mark.parametrize(
    ("units", "vocab", "dtype", "tolerance"),
    [(16, 7, tf.float64, 1e-9), (2, 7, tf.float64, 1e-9), (16, 7, tf.float32, 2e-4), (2, 4099, tf.float64, 1e-9)],
)
def test_norms_and_sum_equal_one_record_at_a_time(units, vocab, dtype, tolerance):
    variables = network(vocab=vocab, units=units, width=units + 1, dtype=dtype)
    batch = padded(RECORDS, SEQ, extra_rows=2, extra_steps=3)
    masks = _masks(variables, batch)
    expected = [record_gradient(variables, batch, masks, row, SEQ) for row in range(len(RECORDS))]
    norms = [norm(gradients) for gradients in expected]
    clip = float(np.median(norms))
    found = clipped_sum(variables, batch, masks_from(masks), clip=tf.constant(clip, dtype), seq_length=SEQ)
    np.testing.assert_allclose(found.norms[: len(RECORDS)], norms, rtol=tolerance)
    assert np.all(found.norms[len(RECORDS) :] == 0)
    factors = [min(1.0, clip * (1 - CLIP_MARGIN) / value) for value in norms]
    assert 0 < sum(factor < 1 for factor in factors) < len(RECORDS)
    for index, gradient in enumerate(found.gradients):
        total = sum(factor * gradients[index].numpy() for factor, gradients in zip(factors, expected, strict=True))
        np.testing.assert_allclose(gradient, total, rtol=tolerance, atol=tolerance)
    assert int(found.unclipped) == sum(value <= clip for value in norms)
    assert int(found.non_finite) == 0


def test_without_clipping_the_sum_is_the_plain_gradient_of_the_model():
    model = LanguageModel(7, embedding_dim=6, units=5, layers=2, seed=3)
    batch = padded(RECORDS, SEQ)
    with tf.GradientTape() as tape:
        total, _, _ = sum_token_losses(model, batch)
        loss = total / SEQ
    expected = tape.gradient(loss, model.trainable_variables)
    found = clipped_sum(model.trainable_variables, batch, masks_from([None, None]), clip=1e9, seq_length=SEQ).gradients
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, tf.convert_to_tensor(other), rtol=1e-4, atol=1e-6)


def test_a_gram_that_cancels_is_done_directly():
    random = np.random.default_rng(0)
    steps, width = 8, 40
    a = np.repeat(random.normal(size=(1, 1, width)), steps, axis=1) + 1e-4 * random.normal(size=(1, steps, width))
    delta = random.normal(size=(1, 1, width)) * np.tile([1.0, -1.0], steps // 2)[None, :, None]
    wide = [np.concatenate([x, random.normal(size=x.shape)]) for x in (a, delta)]
    exact = direct_norms([LayerOperands(wide[0], None, wide[1])]).numpy()
    narrow = [tf.constant(x, tf.float32) for x in wide]
    found = GramNorms([LayerOperands(narrow[0], None, narrow[1])])().numpy()
    np.testing.assert_allclose(found, exact, rtol=1e-3)
    assert exact[0] < 1e-6 * exact[1]  # a Gram sum in float32 could not tell it from 0


# At 12 steps, norms come from Gram matrices with 64 units, and from gradients with 2.
@pytest.mark.parametrize(("units", "vocab"), [(64, 7), (64, 200), (2, 7), (2, 200)])
def test_norms_and_sums_are_of_the_same_operands_in_bfloat16(units, vocab, monkeypatch):
    variables = network(vocab=vocab, units=units, width=units + 1, dtype=tf.float32)
    batch = padded(RECORDS, SEQ, extra_rows=2)
    masks = _masks(variables, batch)
    unclipped = clipped_sum(variables, batch, masks_from(masks), clip=1e9, seq_length=SEQ, dtype=tf.bfloat16)
    clip = float(np.median(unclipped.norms[: len(RECORDS)]))
    kept, summed = [], clipped_sum_module._sum_gradients

    def recorded(tokens, operands, factors):
        kept.append((tokens.numpy(), operands, factors.numpy(), summed(tokens, operands, factors)))
        return kept[-1][-1]

    monkeypatch.setattr(clipped_sum_module, "_sum_gradients", recorded)
    found = clipped_sum(variables, batch, masks_from(masks), clip=clip, seq_length=SEQ, dtype=tf.bfloat16)
    norms, all_factors = [], []
    for tokens, operands, factors, sums in kept:
        all_factors += factors.tolist()
        assert all(x.dtype == tf.bfloat16 for x in tf.nest.flatten(operands._replace(embedding_delta=[])))
        norms += [norm(gradients_of(tokens[:, row], operands, row)) for row in range(len(factors))]
        clipped = [gradients_of(tokens[:, row], operands, row, factor) for row, factor in enumerate(factors)]
        for total, *parts in zip(sums, *clipped, strict=True):
            np.testing.assert_allclose(total, sum(parts), rtol=1e-5, atol=1e-6)
        lengths = np.array([norm(gradients) for gradients in clipped])
        assert np.all(lengths <= clip)
        assert np.all((factors == 1) | (lengths > clip * (1 - 2 / 128 - 2 * CLIP_MARGIN)))
    assert 0 < sum(factor < 1 for factor in all_factors) < len(RECORDS)
    np.testing.assert_allclose(found.norms, norms[: len(found.norms)], rtol=1e-4)


def gradients_of(tokens, operands, row, factor=1.0):
    """Compute one record's gradients from their operands, scaled as sums scale them, in float64."""
    kernel, table = (x.numpy().astype(np.float64) for x in (operands.kernel, operands.table))
    deltas = [x[:, row].numpy().astype(np.float64) for x in operands.deltas]

    def rounded(x):
        return weighted_sums.scale_operand(x, tf.constant(factor, tf.float32)).numpy().astype(np.float64)

    inputs = [factor * table[tokens], *(rounded(x[:, row]) for x in operands.inputs)]
    if not backpropagation.uses_projected_table(table):
        inputs[0] = rounded(tf.gather(operands.table, tokens))
    embedding = np.zeros_like(table)
    np.add.at(embedding, tokens, factor * deltas[0] @ kernel.T)
    found = [embedding]
    for number, delta in enumerate(deltas):
        found.append(inputs[number].T @ delta)
        if number < len(operands.hidden):
            found.append(rounded(operands.hidden[number][:, row])[:-1].T @ delta[1:])
        found.append(factor * delta.sum(axis=0))
    return found


def test_repeated_tokens_add_up():
    random = np.random.default_rng(1)
    tokens = random.integers(0, 5, (4, 9)) * 10_000
    dx = random.normal(size=(4, 9, 3))
    mask = tokens[:, :, None] == tokens[:, None, :]
    expected = np.sum(mask * np.einsum("btd,bsd->bts", dx, dx), axis=(1, 2))
    found = embedding_norms(tf.constant(tokens, tf.int32), tf.constant(dx), 50_000)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_sums_by_token_agree_by_either_method(monkeypatch):
    for vocab in (7, 20):  # with and without a table of projected embeddings, which are 6 wide
        variables, batch = network(vocab=vocab), padded(RECORDS, SEQ)
        found = []
        for few in (0, 100):
            monkeypatch.setattr(weighted_sums, "MAX_ONE_HOT_VOCABULARY", few)
            found.append(
                clipped_sum(
                    variables, batch, masks_from([None, None]), clip=tf.constant(CLIP, tf.float64), seq_length=SEQ
                )
            )
        assert distance(found[0].gradients, found[1].gradients) < 1e-12


def test_groups_of_records_may_have_any_size(monkeypatch):
    variables, batch = network(units=16), padded(RECORDS, SEQ, extra_rows=2)
    together = clipped_sum(
        variables, batch, masks_from([None, None]), clip=tf.constant(CLIP, tf.float64), seq_length=SEQ
    )
    monkeypatch.setattr(batch_clipping, "TOKENS_PER_GROUP", 3 * SEQ)  # the last group of a half of 8 is smaller
    parts = clipped_sum(variables, batch, masks_from([None, None]), clip=tf.constant(CLIP, tf.float64), seq_length=SEQ)
    np.testing.assert_allclose(parts.norms, together.norms, rtol=1e-12)
    assert distance(parts.gradients, together.gradients) < 1e-12


# -- neighbors

CLIP = 0.5


def _sum(records, variables, release=None, clip=CLIP):
    """Compute the clipped sum of a data set. Shapes vary with the data, as they do in training."""
    if not records:
        return [np.zeros(variable.shape) for variable in variables]
    batch = padded(records, SEQ, extra_rows=3)
    masks = [None] * ((len(variables) - 3) // 3)
    return (release or _correct)(variables, batch, masks, clip)


def _correct(variables, batch, masks, clip):
    return clipped_sum(variables, batch, masks_from(masks), clip=clip, seq_length=SEQ).gradients


def _correct_in_bfloat16(variables, batch, masks, clip):
    return clipped_sum(variables, batch, masks_from(masks), clip=clip, seq_length=SEQ, dtype=tf.bfloat16).gradients


BASES = ([], [[1]] * 8, RECORDS)
ADVERSARIES = ([2] * 40, [1, 2, 3, 4, 5, 6] * 4, [6], [])
SCALES = (0.05, 0.6, 8.0)  # of the weights: gradients far below the clipping norm, around it, far above


def largest_move(release=None, clip=CLIP) -> float:
    """Return the most that one record, first or last in its batch, moves the sum, over adversarial data sets and weights."""
    worst = 0.0
    for scale in SCALES:
        variables = network(units=6, dtype=tf.float32, scale=scale)
        for base in BASES:
            before = _sum(base, variables, release, clip)
            for record in ADVERSARIES:
                for neighbor in ([record, *base], [*base, record]):
                    worst = max(worst, distance(before, _sum(neighbor, variables, release, clip)))
    return worst


def test_one_record_moves_the_sum_by_at_most_the_clipping_norm():
    assert 0.99 * CLIP < largest_move() <= CLIP


@pytest.mark.slow
def test_one_record_moves_the_sum_by_at_most_the_clipping_norm_in_bfloat16():
    assert 0.98 * CLIP < largest_move(_correct_in_bfloat16) <= CLIP


@pytest.mark.parametrize("vocab", [7, 20])  # with and without a table of projected embeddings
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_a_record_that_is_not_finite_contributes_nothing_and_is_counted(vocab, dtype):
    def release(variables, batch, masks, clip):
        return clipped_sum(variables, batch, masks_from(masks), clip=clip, seq_length=SEQ, dtype=dtype).gradients

    variables = network(vocab=vocab, units=6, dtype=tf.float32)
    for poison in (np.nan, np.inf, 1e30):
        table = variables[0].numpy()
        table[4] = poison
        poisoned = [tf.constant(table), *variables[1:]]
        found = clipped_sum(
            poisoned, padded(RECORDS, SEQ), masks_from([None, None]), clip=CLIP, seq_length=SEQ, dtype=dtype
        )
        clean = [record for record in RECORDS if 4 not in record]
        if poison != 1e30:
            assert int(found.non_finite) == 1
            assert distance(found.gradients, _sum(clean, poisoned, release)) < 1e-5
        assert distance(found.gradients, _sum(clean, poisoned, release)) <= CLIP
        assert np.isfinite(norm(found.gradients))


def test_weights_that_are_not_finite_give_zero():
    variables = network(units=6, dtype=tf.float32)
    variables[-2] = tf.fill(variables[-2].shape, np.nan)
    found = clipped_sum(
        variables, padded(RECORDS, SEQ, extra_rows=1), masks_from([None, None]), clip=CLIP, seq_length=SEQ
    )
    assert norm(found.gradients) == 0
    assert int(found.non_finite) == len(RECORDS)
    assert int(found.unclipped) == 0


def test_padding_alone_gives_zero_and_is_not_counted():
    batch = padded([[1]], SEQ, extra_rows=4)
    batch["weights"] = tf.zeros_like(batch["weights"])
    found = clipped_sum(network(dtype=tf.float32), batch, masks_from([None, None]), clip=CLIP, seq_length=SEQ)
    assert norm(found.gradients) == 0
    assert int(found.unclipped) == int(found.non_finite) == 0


# -- planted bugs: the neighbor test must detect each


def _clip_per_batch(variables, batch, masks, clip):
    """The batch's mean gradient clipped once."""
    count = int(tf.reduce_sum(tf.cast(tf.reduce_any(batch["weights"] > 0, 0), tf.int32)))
    total = clipped_sum(variables, batch, masks_from(masks), clip=1e30, seq_length=SEQ).gradients
    factor = min(1.0, clip / max(norm(total) / count, 1e-12))
    return [factor * part for part in total]


def _masked_mean(variables, batch, masks, clip):
    """Keras' masked mean: each record's loss divided by the tokens of its whole batch."""
    weights = batch["weights"] * SEQ / tf.reduce_sum(batch["weights"])
    return _correct(variables, {**batch, "weights": weights}, masks, clip)


def _window_unit(variables, batch, masks, clip):
    """Each window of a record's tokens is clipped on its own."""
    parts = []
    for start in range(0, batch["inputs"].shape[0], 4):
        window = {name: tensor[start : start + 4] for name, tensor in batch.items()}
        parts.append(_correct(variables, window, masks, clip))
    return [sum(part) for part in zip(*parts, strict=True)]


def _unclipped_layer(variables, batch, masks, clip):
    """The embedding is left out of the norm."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            batch_clipping, "embedding_norms", lambda tokens, delta, vocab_size: tf.zeros(tf.shape(tokens)[0])
        )
        return _correct(variables, batch, masks, clip)


def _carried_state(variables, batch, masks, clip):
    """Each row begins with the state in which the row before it ended."""

    real = backpropagation.lstm_forward

    def carried(inputs, steps, count, recurrent):
        ends = real(inputs, steps, count, recurrent).hidden[-1]
        first = inputs(0) + tf.matmul(tf.roll(ends, 1, axis=0), recurrent)
        return real(lambda t: tf.cond(t == 0, lambda: first, lambda: inputs(t)), steps, count, recurrent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backpropagation, "lstm_forward", carried)
        return _correct(variables, batch, masks, clip)


def _overshoot(variables, batch, masks, clip):
    """The bound is missed by a hundredth: how fine the test is."""
    return _correct(variables, batch, masks, clip * 1.01 / (1 - CLIP_MARGIN))


@pytest.mark.slow
@pytest.mark.parametrize(
    "planted", [_clip_per_batch, _masked_mean, _window_unit, _unclipped_layer, _carried_state, _overshoot]
)
def test_a_planted_bug_moves_the_sum_too_far(planted):
    assert largest_move(planted) > CLIP
