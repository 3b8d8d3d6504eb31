"""The language model: Embedding → (LSTM → Dropout) × layers → Dense, next-token logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from linesmith.model.fields.embedding import summed_rows
from linesmith.model.fields.layout import FieldLayout
from linesmith.model.training.lstm import LSTM

# Rows of tokens and places begin within ±2: with ±0.05, as in plain networks, a network that knows fields takes twice as many
# steps to learn the same. All others begin near zero: what is rarely looked up should add little.
_ROW_SCALE, _OTHER_ROW_SCALE = 2.0, 0.05


@keras.saving.register_keras_serializable("linesmith")
class LanguageModel(keras.Model):
    """Keras model that gives next-token logits for whole records.

    A network that knows fields has a table with more rows than there are tokens in the place of the embedding; the sum of a few
    of its rows is the input of a step (`linesmith.model.fields`).

    Call it with `inputs` [T, B] token ids, one record per row, and dropout masks where there are any; it returns logits
    [T, B, vocab_size]. Time comes first throughout: a step of the recurrence is then one contiguous slice. On a CPU, training
    and evaluation take the same variables through `linesmith.model.training.backpropagation`, which is faster.

    Args:
        vocab_size: number of token ids.
        embedding_dim: width of the token embedding.
        units: units of each LSTM layer.
        layers: number of LSTM layers.
        recurrent_initializer: Keras initializer of the recurrent weights.
        seed: makes the initial weights repeatable.
        layout: what the network looks up beside its last token; None for a plain network.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 256,
        units: int = 256,
        layers: int = 2,
        recurrent_initializer: str = "glorot_uniform",
        seed: int = 0,
        layout: FieldLayout | None = None,
        **kwargs: Any,
    ):
        # A fixed name: variables are saved by path, and Keras numbers the models of a process otherwise.
        super().__init__(**{"name": "language_model", **kwargs})
        self.vocab_size = vocab_size
        self.layout = layout
        # Keras takes 32-bit seeds: a 64-bit one is folded, with room above it for the offsets that give each layer its own.
        base = (seed ^ (seed >> 31)) % (2**31 - 100)
        self.embedding = keras.layers.Embedding(
            vocab_size if layout is None else layout.rows,
            embedding_dim,
            embeddings_initializer=keras.initializers.RandomUniform(seed=base)
            if layout is None
            else _row_initializer(layout, base),
            name="embedding",
        )
        self.lstms = [
            LSTM(units, recurrent_initializer, seed=base + 10 + 2 * i, name=f"lstm_{i}") for i in range(layers)
        ]
        self.logits = keras.layers.Dense(
            vocab_size, kernel_initializer=keras.initializers.GlorotUniform(seed=base + 1), name="logits"
        )
        self.build((None, None))

    @property
    def slots(self) -> int:
        """Number of rows of the table that make up an input; 0 in a plain network."""
        return 0 if self.layout is None else self.layout.slots

    def build(self, ids_shape: Any) -> None:
        """Create every variable; a first call would too, but run the network for it.

        Args:
            ids_shape: not used: the widths are the constructor's.
        """
        self.embedding.build((None, None))
        width = self.embedding.output_dim
        for lstm in self.lstms:
            lstm.build((None, None, width))
            if self.layout is None:
                # All biases begin at 0, as they have from the first version on, and not at the forget gate's 1 of `LSTM.build`:
                # a model's first call built its layers in a graph that was never run. Ones would change every trained model.
                lstm.bias.assign(tf.zeros_like(lstm.bias))
            width = lstm.units
        self.logits.build((None, None, width))

    def call(
        self, inputs: tf.Tensor, masks: Sequence[tf.Tensor | None] | None = None, rows: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return logits [T, B, vocab_size] for ids [T, B], or for rows [T, B, slots]; masks as in `sum_token_losses`."""
        # Masks come from outside, so that plain and private training control their seeds; no Keras Dropout layer is needed.
        x = self.embedding(inputs) if rows is None else summed_rows(self.embedding.embeddings.value, rows)
        masks = list(masks or [None] * len(self.lstms))
        if len(masks) > len(self.lstms):  # the first is of the input
            input_mask = masks.pop(0)
            x = x if input_mask is None else x * input_mask
        for lstm, mask in zip(self.lstms, masks, strict=True):
            x = lstm(x) if mask is None else lstm(x) * mask
        return self.logits(x)


def _row_initializer(layout: FieldLayout, seed: int) -> Callable[..., tf.Tensor]:
    large = layout.vocab_size + sum(layout.inputs.positions)
    scales = tf.where(tf.range(layout.rows) < large, _ROW_SCALE, _OTHER_ROW_SCALE)

    def initial(shape: Any, dtype: Any = None) -> tf.Tensor:
        return keras.initializers.RandomUniform(-1.0, 1.0, seed=seed)(shape, dtype) * scales[:, None]

    return initial


def sum_token_losses(
    model: LanguageModel, batch: Mapping[str, tf.Tensor], masks: Sequence[tf.Tensor | None] | None = None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Compute loss in nats, correct predictions and number of tokens, summed over the tokens to predict in a batch.

    Args:
        model: the model.
        batch: inputs, targets [T, B] int32; weights [T, B] float32, 1 at a token to predict and 0 at padding; rows, where the
            network knows fields.
        masks: dropout mask of each LSTM's output, [T, B, units]; None for no dropout; first that of the input, if any.
    """
    logits = model(batch["inputs"], masks, rows=batch.get("rows"))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["targets"], logits)
    correct = tf.cast(tf.equal(tf.argmax(logits, axis=2, output_type=tf.int32), batch["targets"]), tf.float32)
    weights = batch["weights"]
    return tf.reduce_sum(losses * weights), tf.reduce_sum(correct * weights), tf.reduce_sum(weights)
