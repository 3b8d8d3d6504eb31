"""Block sizes with which a record's numbers are the same bits in every row, proven on this machine when a sampler is opened.

A record must not depend on the rows beside it. Products are what can break that (`linesmith.model.row_invariance`), so each
product of a step is run on invented states for every block size that the sampler can use, with the threads of TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from linesmith.core.errors import ParameterError
from linesmith.model.row_invariance import INVENTED_RECORDS, agreeing_counts, invented_record_of_rows, row_signature
from linesmith.model.tf_function import graph

if TYPE_CHECKING:
    from linesmith.model.sampling.network import SamplingNetwork

# With several threads, TensorFlow shares out the terms of a sum among them, but not in products with as many rows as this: those
# have the bits that they have with one thread.
_UNSHARED_ROWS = 2064

_proven: dict[tuple[Any, ...], tuple[int, ...]] = {}  # of this process


def proven_block_sizes(network: SamplingNetwork, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of a block with which every row of a network has the same bits as with one thread.

    Results are kept for the process, by the shapes and types of the products.

    Args:
        network: whose products are tried.
        sizes: numbers of rows to choose from, at least one.

    Returns:
        Those that can be used, ascending; where none can, a larger one.

    Raises:
        ParameterError: LS130, no number of rows can be used.
    """
    key = (*network.product_shapes, *sizes)
    if key not in _proven:
        one_thread = tf.config.threading.get_intra_op_parallelism_threads() == 1
        tried = {*sizes, *([] if one_thread else [_UNSHARED_ROWS])}
        groups = agreeing_counts(sorted(tried), partial(_signature, network)).values()
        if not groups:
            raise ParameterError(
                "LS130",
                "--matmul-precision",
                "the products of this precision give a record other last bits in other rows of a block on this machine, for "
                "every number of rows that was tried, so text would depend on the other records",
                "Set the environment variable TF_NUM_INTRAOP_THREADS=1, or give another precision.",
            )
        agreeing = max(groups, key=max)
        _proven[key] = tuple(size for size in agreeing if size in sizes) or agreeing
    return _proven[key]


def _signature(network: SamplingNetwork, rows: int) -> bytes | None:
    """Return the `row_signature` of all products of a step, for invented states."""
    records = invented_record_of_rows(rows)
    random = np.random.default_rng(0)
    states = [random.uniform(-1, 1, (INVENTED_RECORDS, width)) for width, *_ in network.product_shapes]
    # As a graph, like the steps themselves: TensorFlow rewrites products in graphs.
    multiplied = graph(network.multiply_states)([tf.constant(state[records], tf.float32) for state in states])
    return row_signature([product.numpy() for product in multiplied], records)
