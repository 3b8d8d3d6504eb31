"""Numbers of rows of physical batches with which no record moves another's bits, proven on this machine before training.

Adding a record to a sample moves others to other rows, and changes how many rows a batch has. If a product then gave one of them
another last bit, a recurrent network could make that a different gradient, and the sum could move by more than the new record's
share. So everything that is computed of single records in a step (`clipped_sum.operands_and_factors`) is run on invented
records, for every number of steps and of rows that training can use, and compared bit for bit (`linesmith.model.row_invariance`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from linesmith.core.errors import ParameterError
from linesmith.model.privacy.dp_sgd.clipped_sum import operands_and_factors
from linesmith.model.row_invariance import INVENTED_RECORDS, agreeing_counts, invented_record_of_rows, row_signature
from linesmith.model.tf_function import graph
from linesmith.model.training.batches import Batch, row_counts
from linesmith.model.training.halves import NUM_HALVES

Shapes = tuple[tuple[int, ...], ...]
_BATCH_OVERHEAD = 32  # rows that take about as long to compute as a batch takes to start


def proven_row_counts(
    shapes: Sequence[Sequence[int]],
    steps: int,
    *,
    dtype: tf.DType,
    batch_size: int,
    expected_rows: float,
    slots: int = 0,
) -> tuple[int, ...]:
    """Return numbers of rows that physical batches may have, so that every record has the same bits in all of them.

    Of several such sets, the one with which a step of training has least to compute is chosen. Nothing here depends on records.

    Args:
        shapes: shapes of the trained variables.
        steps: number of time steps of the batches.
        dtype: type of the operands of products.
        batch_size: most rows of a batch, or the smallest possible number if that is larger.
        expected_rows: expected records of a step.
        slots: rows of the table that make up an input; 0 in a plain network.

    Returns:
        The numbers, ascending, at least one.

    Raises:
        ParameterError: LS320, there is no such number.
    """
    key = tuple(map(tuple, shapes))
    groups = agreeing_counts(
        row_counts(batch_size), lambda rows: _signature(key, dtype, steps, rows // NUM_HALVES, slots)
    )
    if not groups:
        raise ParameterError(
            "LS320",
            "--dp",
            f"{dtype.name} products give a record other last bits in other rows of a batch on this machine, for every number "
            "of rows that was tried, so one record could change the gradients of others",
            # Narrow products fail first: a vocabulary of about ten ids did on a processor with AVX2, that of bytes did not.
            "Use the vocabulary of bytes (--dp-vocabulary bytes), another --matmul-precision or other widths (--rnn-units, "
            "--embedding-dim), set the environment variable TF_NUM_INTRAOP_THREADS=1, or train on another processor.",
        )
    return min(groups.values(), key=partial(_cost, expected_rows))


def _cost(expected_rows: float, counts: Sequence[int]) -> float:
    """Return what a step computes, in rows."""
    whole, rest = divmod(expected_rows, counts[-1])
    last = min((count for count in counts if count >= rest), default=0) if rest else 0
    return whole * (counts[-1] + _BATCH_OVERHEAD) + last + _BATCH_OVERHEAD


@cache
def _signature(shapes: Shapes, dtype: tf.DType, steps: int, rows: int, slots: int) -> bytes | None:
    """Return the `row_signature` of all that a half of a physical batch computes of single records."""
    records = invented_record_of_rows(rows)
    arrays = _invented_batch(shapes, steps, records, slots).to_tensors()
    outputs: list[tf.Tensor] = _computation(shapes, dtype, slots)(_invented_weights(shapes, slots), arrays)
    # Time comes first in all but norms and factors, which have rows only.
    by_row = (np.moveaxis(output.numpy(), 1, 0) if output.shape.rank == 3 else output.numpy() for output in outputs)
    return row_signature(by_row, records)


@cache
def _computation(shapes: Shapes, dtype: tf.DType, slots: int) -> Any:
    """Return the graph of what is computed of single records, for any number of steps and rows."""
    no_masks = [None] * ((len(shapes) - 3) // 3)

    def compute(variables: list[tf.Tensor], batch: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        operands, norms, factors = operands_and_factors(variables, batch, no_masks, 0.1, 1, dtype)
        return [
            operands.embedding_delta,
            *operands.embedded,
            *operands.inputs,
            *operands.hidden,
            *operands.deltas,
            norms,
            factors,
        ]

    return graph(compute, input_signature=[[tf.TensorSpec(shape) for shape in shapes], Batch.tensor_specs(slots)])


@lru_cache(maxsize=1)
def _invented_weights(shapes: Shapes, slots: int) -> list[tf.Tensor]:
    """Return random weights with which states are lively: neither saturated, which would hide last bits, nor near zero."""
    random = np.random.default_rng(0)
    scales = [1.5 / shape[0] ** 0.5 for shape in shapes]
    if slots:  # a large table, of which a few rows make up an input
        scales[0] = 1.5 / slots**0.5
    return [
        tf.constant(random.normal(0, scale, shape).astype(np.float32))
        for shape, scale in zip(shapes, scales, strict=True)
    ]


def _invented_batch(shapes: Shapes, steps: int, records: npt.NDArray[np.int64], slots: int) -> Batch:
    """Return a batch of the invented records, of different lengths; one per row."""
    random, vocab_size = np.random.default_rng(0), shapes[-1][0]
    ids = random.integers(0, vocab_size, (steps + 1, INVENTED_RECORDS)).astype(np.int32)
    lengths = np.maximum(1, steps - np.arange(INVENTED_RECORDS))
    weights = (np.arange(steps)[:, None] < lengths).astype(np.float32)
    inputs, targets = (np.where(weights > 0, part, 0) for part in (ids[:-1], ids[1:]))
    table_rows = None
    if slots:  # the rows of a slot repeat within a record, and are no other slot's
        numbers = random.integers(0, max(1, min(shapes[0][0] // slots, steps)), (steps, INVENTED_RECORDS, slots))
        table_rows = (numbers * slots + np.arange(slots)).astype(np.int32) * (weights[:, :, None] > 0)
        table_rows = table_rows.astype(np.int32)[:, records]
    return Batch(inputs[:, records], targets[:, records], weights[:, records], table_rows)
