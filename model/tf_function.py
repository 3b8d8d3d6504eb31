"""Graphs of functions that say themselves what TensorFlow is to decide: loops and conditions are `tf.while_loop` and `tf.cond`.

AutoGraph, which would rewrite every function on the way for the sake of Python's own `if` and `for`, has nothing to find in
them, and takes seconds to look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def graph(function: Callable[..., Any], **settings: Any) -> Any:
    """`tf.function`, as the function is written.

    Args:
        function: to be traced.
        settings: as `tf.function` takes them.
    """
    return tf.function(function, autograph=False, **settings)


def fused(function: Callable[..., Any]) -> Any:
    """The function as one kernel, compiled by XLA once for each shape."""
    return graph(function, jit_compile=True)


def once(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function, computed once a tensor however often a graph asks for it."""
    known: dict[int, tuple[Any, Any]] = {}

    def ask(tensor: Any) -> Any:
        if id(tensor) not in known:
            known[id(tensor)] = tensor, function(tensor)  # kept, or its id could become another's
        return known[id(tensor)][1]

    return ask
