"""The weights of the old network, arranged as ours: the same logits for the same text.

Both are Embedding → LSTM → LSTM → Dense with Keras's kernels and its order of gates (i, f, c, o), so that arrays are taken as
they are, with the rows and columns of tokens in the order of our ids. One thing differs. With SentencePiece, the old network
begins a record with two inputs, the added space and `<n>`; ours begins it with one, `<n>`, from a zero state. So our `<n>` gets
the row of the added space, which it may, since it is never another input, and a marker follows that has the row of the old
`<n>`. That the marker follows is certain: one more unit in each layer is on after the first input, off after any other, and
decides on the marker alone. All other logits are those of the old network.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from linesmith.pipelines.import_gretel.folder import OldParams
from linesmith.pipelines.import_gretel.vocabulary import Vocabulary
from linesmith.records.fields import NEWLINE_ID

LAYERS = 2
MARKER_ID = 2
Array = npt.NDArray[np.float32]
# A gate at ±_GATE is fully open or shut. A unit that is on has tanh(1) = 0.76 or more than half of that.
_GATE, _ON = 30.0, 3000.0
_NEVER = -1000.0  # e to this power is 0 in float32


def old_shapes(params: OldParams, vocabulary: Vocabulary) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the old network's arrays, by the names that the checkpoint has for them."""
    size, width, units = vocabulary.old_size, params.embedding_dim, params.rnn_units
    shapes: dict[str, tuple[int, ...]] = {"layer_with_weights-0/embeddings": (size, width)}
    for layer in range(LAYERS):
        cell = f"layer_with_weights-{layer + 1}/cell"
        shapes[f"{cell}/kernel"] = (units if layer else width, 4 * units)
        shapes[f"{cell}/recurrent_kernel"] = (units, 4 * units)
        shapes[f"{cell}/bias"] = (4 * units,)
    return {**shapes, "layer_with_weights-3/kernel": (units, size), "layer_with_weights-3/bias": (size,)}


def has_marker(vocabulary: Vocabulary) -> bool:
    """Return whether a record begins with two inputs, so that the network needs one more unit in each layer."""
    return len(vocabulary.old_start) > 1


def arranged_weights(arrays: Mapping[str, Array], vocabulary: Vocabulary) -> dict[str, Array]:
    """Return our weights, by path without the name of the network.

    Args:
        arrays: of the old network, with the names and shapes of `old_shapes`.
        vocabulary: the new ids; the old network begins with one or two of its own.
    """
    old_ids = np.array(vocabulary.old_ids)
    exists = old_ids >= 0
    embeddings = np.where(exists[:, None], arrays["layer_with_weights-0/embeddings"][old_ids], 0)
    kernel = np.where(exists, arrays["layer_with_weights-3/kernel"][:, old_ids], 0)
    bias = np.where(exists, arrays["layer_with_weights-3/bias"][old_ids], _NEVER)
    weights = {"embedding/embeddings": embeddings, "logits/kernel": kernel, "logits/bias": bias}
    for layer in range(LAYERS):
        for name in ("kernel", "recurrent_kernel", "bias"):
            weights[f"lstm_{layer}/{name}"] = arrays[f"layer_with_weights-{layer + 1}/cell/{name}"]
    if has_marker(vocabulary):
        old_rows = arrays["layer_with_weights-0/embeddings"][list(vocabulary.old_start)]
        embeddings[NEWLINE_ID], embeddings[MARKER_ID] = old_rows
        weights = _with_start_unit(weights)
    return {path: np.ascontiguousarray(array, np.float32) for path, array in weights.items()}


def _with_start_unit(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Return weights with one more column of the embedding and one more unit in each layer, which is on after the first input."""
    table = np.pad(weights["embedding/embeddings"], ((0, 0), (0, 1)))
    table[NEWLINE_ID, -1] = 1
    widened = {"embedding/embeddings": table}
    for layer in range(LAYERS):
        kernel = _with_unit(weights[f"lstm_{layer}/kernel"], rows=1)
        # What the layer below says goes to the candidate alone: the 1 of the embedding, or tanh(1) of a unit that is on.
        kernel[-1, 2, -1] = _GATE
        bias = _with_unit(weights[f"lstm_{layer}/bias"])
        bias[:, -1] = _GATE, -_GATE, 0, _GATE  # input, forget, candidate, output: the unit remembers nothing
        recurrent = _with_unit(weights[f"lstm_{layer}/recurrent_kernel"], rows=1)
        for name, array in (("kernel", kernel), ("recurrent_kernel", recurrent), ("bias", bias)):
            widened[f"lstm_{layer}/{name}"] = array.reshape(*array.shape[:-2], -1)
    logits = np.pad(weights["logits/kernel"], ((0, 1), (0, 0)))
    logits[-1, MARKER_ID] = _ON
    return {**widened, "logits/kernel": logits, "logits/bias": weights["logits/bias"]}


def _with_unit(array: Array, rows: int = 0) -> Array:
    """Return a [.., 4u] array as [.., 4, u + 1], with so many rows more; what is new is 0."""
    gates = array.reshape(*array.shape[:-1], 4, -1)
    before = [(0, rows)] * (gates.ndim - 2)
    return np.pad(gates, [*before, (0, 0), (0, 1)])
