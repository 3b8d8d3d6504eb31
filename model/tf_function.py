"""`tf.function` without AutoGraph, XLA-compiled kernels, and reuse of results within one graph.

The functions of this package write their loops and conditions as `tf.while_loop` and `tf.cond`. AutoGraph, which rewrites
Python's own `if` and `for`, would find nothing to do in them and take seconds to look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def graph(function: Callable[..., Any], **settings: Any) -> Any:
    """Return the function as a `tf.function` that AutoGraph leaves as it is.

    Args:
        function: to be traced; its loops and conditions are TensorFlow operations.
        settings: passed on to `tf.function`.
    """
    return tf.function(function, autograph=False, **settings)


def fused(function: Callable[..., Any]) -> Any:
    """Return the function as one kernel that XLA compiles once for each combination of argument shapes."""
    return graph(function, jit_compile=True)


def cached_by_tensor(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function with its results cached, so that a graph computes it once for each tensor object.

    The cache lives as long as the returned function. It compares tensors by identity, not by value.
    """
    results: dict[int, tuple[tf.Tensor, tf.Tensor]] = {}

    def cached(tensor: tf.Tensor) -> tf.Tensor:
        if id(tensor) not in results:
            # The argument is kept too: were it freed, another tensor could get its id.
            results[id(tensor)] = tensor, function(tensor)
        return results[id(tensor)][1]

    return cached
