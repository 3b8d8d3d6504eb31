"""Squared norms of per-record gradients in closed form, without the gradients.

A weight matrix that meets `a` [T, d] and whose output has loss gradient `δ` [T, k] has, for one record, the gradient
`aᵀδ`, and with a bias `[a, 1]ᵀδ`. Its squared norm is the sum of `(aaᵀ + 1) ∘ δδᵀ`, two T×T Gram matrices a record,
exactly (ghost norms: Li et al. 2022, arXiv 2110.05679; book-keeping: Bu et al. 2023, arXiv 2210.00038). An LSTM is one such
matrix: `a` is its input beside its *previous* state, zero before the first step, `δ` the gradient of its gates'
pre-activations. Its `aaᵀ` is then the input's Gram matrix and the states', one step later; and the states' serves the layer
above, too, whose input they are.

Every sum is float32 or wider: sums of T² signed terms cancel, and lower precision does not survive that. Numbers that are
bfloat16s already may be passed as such: their Gram matrices are float32, and as exact, and come in half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import tensorflow as tf

from linesmith.model.privacy.dp_sgd.weighted_sums import cut, scaled
from linesmith.model.tf_function import fused, once

Tensor = Any

CANCELLATION_THRESHOLD = 1e-3  # a Gram sum below this share of its terms' absolute sum has lost too many digits


class LayerOperands(NamedTuple):
    """A weight matrix and its bias, by what they meet in some records.

    Attributes:
        inputs: what the matrix, or its upper part, is multiplied with, [B, T, d].
        states: what its lower part is multiplied with one step later, [B, T, u]; None where there is none.
        delta: loss gradient of the product, 0 at padding, [B, T, k].
        looked_up: inputs are rows of a table, and δ is summed by row, then multiplied with the table.
    """

    inputs: Tensor
    states: Tensor | None
    delta: Tensor
    looked_up: bool = False


# Squared norms of some records' gradients, [B]; or, given a factor each, of what sums are made of (`weighted_sums.scaled`).
NormFunction = Callable[..., Tensor]


def affine_norms(
    layers: Sequence[LayerOperands], use: Callable[[NormFunction], Any] = lambda norms_of: norms_of()
) -> Any:
    """Squared norm of the gradient of all of some weight matrices and biases, for each record.

    Args:
        layers: whose gradient it is.
        use: what is to be done with what gives the norms.

    Returns:
        What `use` returns: if nothing else is said, [B]. Norms are at least 0, and not finite where the record's own numbers
        are not. Relative error below 1e-3.
    """
    steps = tf.shape(layers[0].delta)[1]
    widths = {id(x): x.shape[2] for layer in layers for x in layer[:3] if x is not None}
    gradients = sum(_rows(layer) * layer.delta.shape[2] for layer in layers)
    # Directly where a record's gradients take fewer operations than its Gram matrices; nothing cancels there.
    return tf.cond(
        gradients <= steps * sum(widths.values()),
        lambda: use(partial(direct_norms, layers)),
        lambda: use(GramNorms(layers)),
    )


def direct_norms(layers: Sequence[LayerOperands], factors: Tensor | None = None) -> Tensor:
    """`affine_norms` by forming each record's gradients."""
    ready = once(lambda x: x if factors is None else scaled(x, factors[:, None, None]))
    exact, rounded = [], []  # gradients that factors multiply, and those of operands that they have multiplied
    for layer in layers:
        exact.append(tf.reduce_sum(_wide(layer.delta), axis=1, keepdims=True))
        if layer.looked_up:
            exact.append(_product(layer.inputs, layer.delta))
        else:
            rounded.append(_product(ready(layer.inputs), layer.delta))
        if layer.states is not None:
            rounded.append(_product(ready(layer.states)[:, :-1], layer.delta[:, 1:]))
    of_exact, of_rounded = (
        tf.add_n([tf.reduce_sum(part * part, axis=[1, 2]) for part in parts]) for parts in (exact, rounded)
    )
    return of_rounded + (of_exact if factors is None else of_exact * factors * factors)


def _rows(layer: LayerOperands) -> int:
    return layer.inputs.shape[2] + (0 if layer.states is None else layer.states.shape[2])


def _product(x: Tensor, delta: Tensor) -> Tensor:
    """`xᵀδ` of each record, in float32 or wider."""
    if x.dtype != tf.bfloat16:
        return tf.matmul(x, delta, transpose_a=True)
    # Transposed here and not in XLA, which would be many times as slow.
    return _short_product(tf.transpose(x, [0, 2, 1]), delta)


@fused
def _short_product(columns: Tensor, delta: Tensor) -> Tensor:
    return tf.matmul(columns, delta, output_type=tf.float32)


class GramNorms:
    """`affine_norms` by Gram matrices; records in which a sum cancels are done directly, one at a time.

    Args:
        layers: as `affine_norms` takes them.
    """

    def __init__(self, layers: Sequence[LayerOperands]) -> None:
        self._layers = layers
        self._short = layers[0].delta.dtype == tf.bfloat16
        # Of δ once only, however often the rest is scaled.
        grams = (_short_grams if self._short else _grams)([layer.delta for layer in layers])
        self._by_gram = [layer._replace(delta=gram) for layer, gram in zip(layers, grams, strict=True)]

    def __call__(self, factors: Tensor | None = None) -> Tensor:
        """Squared norms, [B]; given factors [B], of what sums of so scaled records are made of."""
        norms, cancelled = (_short_gram_sums if self._short else _gram_sums)(self._by_gram, factors)

        def repaired() -> Tensor:
            which = tf.where(cancelled)

            def exact(i: Tensor) -> Tensor:
                one = [_record(layer, i) for layer in self._layers]
                return direct_norms(one, None if factors is None else factors[i : i + 1])[0]

            found = tf.map_fn(exact, which[:, 0], fn_output_signature=norms.dtype)
            return tf.tensor_scatter_nd_update(norms, which, found)

        norms = tf.cond(tf.reduce_any(cancelled), repaired, lambda: norms)
        return tf.where(norms < 0, tf.zeros_like(norms), norms)


def _record(layer: LayerOperands, i: Tensor) -> LayerOperands:
    inputs, states, delta = (None if x is None else x[i : i + 1] for x in layer[:3])
    return LayerOperands(inputs, states, delta, layer.looked_up)


def _gram(x: Tensor) -> Tensor:
    return tf.matmul(x, x, transpose_b=True)


def _short_gram(x: Tensor) -> Tensor:
    """In float32; only within `fused`, since TensorFlow's own kernels would round it to bfloat16."""
    return tf.matmul(x, x, transpose_b=True, output_type=tf.float32)


def _grams(tensors: Sequence[Tensor]) -> list[Tensor]:
    return list(map(_gram, tensors))


@fused
def _short_grams(tensors: Sequence[Tensor]) -> list[Tensor]:
    return list(map(_short_gram, tensors))


def _gram_sums(
    layers: Sequence[LayerOperands], factors: Tensor | None, gram: Callable[[Tensor], Tensor] = _gram
) -> tuple[Tensor, Tensor]:
    """The sum of all terms, [B], and whether those of one layer cancel; of layers that hold Gram matrices of δ."""
    if factors is None:
        squares, of = 1.0, once(gram)
    else:
        squares = (factors * factors)[:, None, None]
        of = once(lambda x: gram(scaled(x, factors[:, None, None])))
    found = []
    for layer in layers:
        inputs = (gram if layer.looked_up else of)(layer.inputs)
        states = None if layer.states is None else of(layer.states)
        found.append(_terms(inputs, states, layer.delta, squares, layer.looked_up))
    cancelled = tf.reduce_any([total < CANCELLATION_THRESHOLD * absolute for total, absolute in found], axis=0)
    return tf.add_n([total for total, _ in found]), cancelled


@fused
def _short_gram_sums(layers: Sequence[LayerOperands], factors: Tensor | None) -> tuple[Tensor, Tensor]:
    return _gram_sums(layers, factors, _short_gram)


@fused
def _terms(
    inputs: Tensor, states: Tensor | None, delta: Tensor, squares: Tensor | float, looked_up: bool
) -> tuple[Tensor, Tensor]:
    """Sum and absolute sum of a layer's terms, [B] each, in one pass over Gram matrices [B, T, T].

    The inputs' is that of what they were scaled to, or where they are looked up of what they were.
    """
    inputs = (inputs + 1) * squares if looked_up else inputs + squares
    if states is not None:
        inputs += tf.pad(states[:, :-1, :-1], [[0, 0], [1, 0], [1, 0]])
    terms = inputs * delta
    steps = tf.shape(terms)[1]
    # A product with ones takes half the time of XLA's own sum over rows.
    rows = tf.matmul(tf.reshape(tf.stack([terms, tf.abs(terms)]), [-1, steps]), tf.ones([steps, 1], terms.dtype))
    total, absolute = tf.unstack(tf.reduce_sum(tf.reshape(rows, [2, -1, steps]), axis=2))
    return total, absolute


def embedding_norms(tokens: Tensor, delta: Tensor, back: Tensor) -> Tensor:
    """Squared gradient norm of the embedding table, for each record.

    A token that occurs several times in a record has one row in the table, so its gradients are added before they are
    squared: what an equal-token mask on the gradients' Gram matrix gives, with nothing to cancel. They are added before
    they are projected, too: a record has far fewer different tokens than tokens.

    Args:
        tokens: ids, [B, T].
        delta: loss gradient of what the looked-up vectors are projected to, 0 at padding, [B, T, k].
        back: the projection, transposed, [k, d], in the type of δ.

    Returns:
        [B]; not finite where the record's gradient is not.
    """
    names = token_indices(tokens)
    width = (tf.reduce_max(names) // 8 + 1) * 8  # few shapes
    if delta.dtype == tf.bfloat16:
        return _short_embedding_norms(names, tf.range(width), delta, back)
    # As a product, which takes all cores; a segment sum takes one.
    sums = tf.matmul(tf.one_hot(names, width, dtype=delta.dtype), delta, transpose_a=True)
    rows = tf.matmul(tf.reshape(sums, [-1, delta.shape[2]]), back)
    return tf.reduce_sum(tf.reshape(rows * rows, [tf.shape(tokens)[0], width * back.shape[1]]), axis=1)


@fused
def _short_embedding_norms(names: Tensor, every: Tensor, delta: Tensor, back: Tensor) -> Tensor:
    """`embedding_norms` of bfloat16 numbers, for tokens by their names and all names that there are."""
    sums = tf.matmul(tf.cast(names[:, None, :] == every[:, None], tf.bfloat16), delta, output_type=tf.float32)
    sums = tf.reshape(sums, [-1, delta.shape[2]])
    upper = cut(sums)
    # Two parts of a sum, eight bits each: what is left out is a 65,536th of it, and nothing cancels any more.
    parts = tf.cast(tf.concat([upper, sums - upper], axis=0), tf.bfloat16)
    rows = tf.add(*tf.split(tf.matmul(parts, back, output_type=tf.float32), 2))
    return tf.reduce_sum(tf.reshape(rows * rows, [tf.shape(names)[0], -1]), axis=1)


@fused
def token_indices(tokens: Tensor) -> Tensor:
    """Numbers a record's different tokens from 0, in the order in which they first occur, [B, T].

    Example:
        >>> token_indices(tf.constant([[7, 3, 7, 9, 3]])).numpy().tolist()
        [[0, 1, 0, 2, 1]]
    """
    steps = tf.shape(tokens)[1]
    at = tf.range(steps)
    equal = tokens[:, :, None] == tokens[:, None, :]
    first = tf.reduce_min(tf.where(equal, at, steps), axis=2)
    new = first == at
    return tf.reduce_sum(tf.cast(new[:, None, :] & (at < first[:, :, None]), tf.int32), axis=2)


def _wide(x: Tensor) -> Tensor:
    return tf.cast(x, tf.float32) if x.dtype == tf.bfloat16 else x
