"""No record moves another's bits: neighboring samples at product width, and the same record in every row of every height.

With large weights a network amplifies: what differs in a last bit at one step differs in the first digit some steps later. With
numbers of rows that TensorFlow's products do not treat alike, one record then moves the gradients of others by more than the
clipping norm (`test_numbers_of_rows_that_are_not_proven_fail`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from linesmith.core.errors import ParameterError
from linesmith.model.privacy.dp_sgd import proven_rows
from linesmith.model.privacy.dp_sgd.clipped_sum import clipped_sum
from linesmith.model.privacy.dp_sgd.proven_rows import proven_row_counts
from linesmith.model.tf_function import graph
from linesmith.model.training.backpropagation import summed_gradients
from linesmith.model.training.batches import Batch, make_padded_batch, physical_batches, row_counts
from linesmith.model.training.language_model import LanguageModel
from linesmith.model.training.token_store import in_memory_token_store
from tests.helpers.reference_gradients import distance, network

pytestmark = pytest.mark.integration

VOCAB, SEQ, CLIP = 60, 48, 0.1
AMPLIFYING = network(vocab=VOCAB, width=64, units=128, layers=2, dtype=tf.float32, scale=1.0)
KEY = tuple(tuple(variable.shape) for variable in AMPLIFYING)
UNSAFE = (16, 64, 112, 256, 304)  # rows of a batch; halves of 24 n + 8
NO_MASKS = [None, None]


def _records(random: np.random.Generator, count: int) -> list[list[int]]:
    return [random.integers(1, VOCAB, length).tolist() for length in random.integers(SEQ - 14, SEQ, count)]


@cache
def _amplifying_step() -> Any:
    return _step(AMPLIFYING)


def _step(variables: list[tf.Tensor]) -> Callable[[dict[str, tf.Tensor]], list[tf.Tensor]]:
    """Return the graph of a batch's clipped sum, as `PrivateTrainer` makes it."""

    def clipped(batch: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        return clipped_sum(variables, batch, lambda *_: NO_MASKS, clip=CLIP, seq_length=SEQ).gradients

    return graph(clipped, input_signature=[Batch.tensor_specs()])


def _counts(steps: int, batch_size: int) -> tuple[int, ...]:
    return proven_row_counts(KEY, steps, dtype=tf.float32, batch_size=batch_size, expected_rows=300)


def _sum(step: Any, records: list[list[int]], counts_of: Callable[[int], tuple[int, ...]]) -> list[np.ndarray]:
    """Compute the clipped sum as a training step does, in batches of the given numbers of rows by their steps."""
    store = in_memory_token_store(records)
    total = [np.zeros(shape) for shape in KEY]
    for _, batch in physical_batches(store, np.arange(len(records)), counts_of=counts_of, seq_length=SEQ):
        total = [one + more.numpy() for one, more in zip(total, step(batch.to_tensors()), strict=True)]
    return total


def _moves(step: Any, seed: int, sizes: range, counts_of: Callable[[int], tuple[int, ...]]) -> Iterator[float]:
    """Add records one by one, each in a place among the others; yield how far each moves the sum, in units of C."""
    random = np.random.default_rng(seed)
    records = _records(random, sizes.start)
    before = _sum(step, records, counts_of)
    for _ in sizes:
        records.insert(int(random.integers(len(records) + 1)), *_records(random, 1))
        after = _sum(step, records, counts_of)
        yield distance(before, after) / CLIP
        before = after


def test_a_record_moves_the_sum_by_no_more_than_the_clipping_norm():
    # Where the number of batches changes, from three to four.
    assert max(_moves(_amplifying_step(), 0, range(143, 146), partial(_counts, batch_size=48))) <= 1


def _trained() -> list[tf.Tensor]:
    """Return weights after some training without privacy."""
    from linesmith.cli.commands.demo import airport_lines

    lines = airport_lines(2000)
    ids = {character: number for number, character in enumerate(sorted(set("".join(lines))), start=1)}
    store = in_memory_token_store([[min(ids[character], VOCAB - 1) for character in line] for line in lines])
    model = LanguageModel(VOCAB, 64, 128, 2, seed=1)
    optimizer = keras.optimizers.Adam(0.005)

    @graph
    def train(batch: dict[str, tf.Tensor]) -> None:
        weights = [tf.convert_to_tensor(variable) for variable in model.trainable_variables]
        scale = 1 / tf.reduce_sum(batch["weights"])
        _, gradients = summed_gradients(weights, batch, lambda *_: NO_MASKS, tf.float32, scale)
        optimizer.apply(gradients, model.trainable_variables)

    optimizer.build(model.trainable_variables)
    random = np.random.default_rng(0)
    for _ in range(300):
        ranks = random.integers(0, len(store), 64)
        train(make_padded_batch(store, ranks, steps=SEQ, columns=64).to_tensors())
    return [tf.convert_to_tensor(variable) for variable in model.trainable_variables]


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("weights", "trials"), [("trained", 2000), ("amplifying", 400)])
def test_a_record_moves_the_sum_by_no_more_than_the_clipping_norm_in_many_trials(weights, trials):
    step = _step(_trained() if weights == "trained" else AMPLIFYING)
    counts_of = partial(_counts, batch_size=480)
    moves = []
    for seed in range(8):
        smallest = 20 + 10 * seed
        moves += _moves(step, seed, range(smallest, smallest + trials // 8), counts_of)
    print(f"{weights}: {len(moves)} trials, a record moved the sum by {min(moves):.6f} C to {max(moves):.6f} C")
    assert len(moves) == trials
    assert 0.99 < max(moves) <= 1


def test_numbers_of_rows_that_are_not_proven_fail():
    """A negative control: what the sampler of rows did before, on a machine where such numbers of rows are unsafe."""
    unsafe = next((rows for rows in UNSAFE if proven_rows._signature(KEY, tf.float32, SEQ, rows // 2, 0) is None), None)
    if unsafe is None:
        pytest.skip("every number of rows is safe on this processor")
    assert max(_moves(_amplifying_step(), 0, range(2 * unsafe - 2, 2 * unsafe + 1), lambda _: (unsafe,))) > 1


# -- the same record at every row


def _bits_of_rows(rows: int, steps: int, first: int, dtype: tf.DType) -> list[np.ndarray]:
    """Put one record into the rows `first`, `first` + 2, …, others between, and return all that is computed of it."""
    record, *others = (
        np.random.default_rng(row).integers(1, VOCAB, steps - row % 5).tolist() for row in range(rows + 1)
    )
    columns = [record if row % 2 == first else others[row] for row in range(rows)]
    batch = make_padded_batch(in_memory_token_store(columns), np.arange(rows), steps=steps, columns=rows)
    found = []
    for part in proven_rows._computation(KEY, dtype, 0)(AMPLIFYING, batch.to_tensors()):
        by_row = np.moveaxis(part.numpy(), 1, 0) if part.shape.rank == 3 else part.numpy()
        found.append(np.ascontiguousarray(by_row[first::2]).reshape(len(columns[first::2]), -1).view(np.uint8))
    return found


def _assert_same_everywhere(counts, steps, dtype):
    reference = _bits_of_rows(counts[0] // 2, steps, 0, dtype)
    for count in counts:
        for first in (0, 1):
            for part, expected in zip(_bits_of_rows(count // 2, steps, first, dtype), reference, strict=True):
                assert np.array_equal(part, np.broadcast_to(expected[:1], part.shape)), (count, first)


def test_a_record_has_the_same_bits_in_every_row():
    _assert_same_everywhere(_counts(SEQ, batch_size=96), SEQ, tf.float32)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize("steps", [16, 100])
def test_a_record_has_the_same_bits_in_every_row_of_every_number_of_rows(steps, dtype):
    counts = proven_row_counts(KEY, steps, dtype=dtype, batch_size=960, expected_rows=300)
    assert len(counts) > 1
    _assert_same_everywhere(counts, steps, dtype)


@pytest.mark.parametrize("steps", [16, 48])  # norms are taken of gradients or of Gram matrices
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_numbers_of_rows_are_proven_for_a_large_vocabulary_of_any_size(steps, dtype):
    for vocab in (9001, 15334):
        shapes = [(vocab, 32), (32, 64), (16, 64), (64,), (16, vocab), (vocab,)]
        assert proven_row_counts(shapes, steps, dtype=dtype, batch_size=48, expected_rows=48) == (48,)


# -- what the proof decides


def _groups(monkeypatch, signatures: dict[int, bytes | None]) -> None:
    monkeypatch.setattr(proven_rows, "_signature", lambda shapes, dtype, steps, rows, slots: signatures.get(2 * rows))


def _proven(expected_rows: float = 608, batch_size: int = 480) -> tuple[int, ...]:
    return proven_row_counts([(3, 2)], 16, dtype=tf.float32, batch_size=batch_size, expected_rows=expected_rows)


def test_only_numbers_of_rows_that_agree_are_used_together(monkeypatch):
    _groups(monkeypatch, {48: b"a", 96: b"a", 144: b"b", 192: b"b", 288: None, 480: b"b"})
    assert _proven() == (144, 192, 480)  # 480 + 144 rows, and not 7 batches of 96
    assert _proven(expected_rows=40) == (48, 96)
    _groups(monkeypatch, {480: b"a"})
    assert _proven() == (480,)


def test_without_any_training_is_refused(monkeypatch):
    _groups(monkeypatch, {})
    with pytest.raises(ParameterError, match="TF_NUM_INTRAOP_THREADS") as caught:
        _proven()
    assert caught.value.code == "LS320"


def test_the_numbers_tried_are_few_and_bounded_by_the_batch_size():
    assert row_counts(1) == (48,) and row_counts(512) == (48, 96, 144, 192, 288, 480)
    assert all(count % 48 == 0 for count in row_counts(10**6))  # halves in groups of 24
