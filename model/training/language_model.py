"""The language model: Embedding → (LSTM → Dropout) × layers → Dense, next-token logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from linesmith.model.training.lstm import LSTM

Tensor = Any


@keras.saving.register_keras_serializable("linesmith")
class LanguageModel(keras.Model):
    """Next-token logits for whole rows of records.

    Call it with `inputs` [T, B] token ids, one record a row, and dropout masks where there are any; it returns logits
    [T, B, vocab_size]. Time comes first throughout: a step of the recurrence is then one contiguous slice. On a CPU,
    training and evaluation take the same variables through `linesmith.model.training.backpropagation`, which is faster.

    Args:
        vocab_size: number of token ids.
        embedding_dim, units, layers: shape of the network.
        recurrent_initializer: Keras initializer of the recurrent weights.
        seed: makes the initial weights repeatable.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 256,
        units: int = 256,
        layers: int = 2,
        recurrent_initializer: str = "glorot_uniform",
        seed: int = 0,
        **kwargs: Any,
    ):
        # A fixed name: variables are saved by path, and Keras numbers the models of a process otherwise.
        super().__init__(**{"name": "language_model", **kwargs})
        self.vocab_size = vocab_size
        # Keras takes 32-bit seeds; each layer draws from its own.
        base = (seed ^ (seed >> 31)) % (2**31 - 100)
        self.embedding = keras.layers.Embedding(
            vocab_size,
            embedding_dim,
            embeddings_initializer=keras.initializers.RandomUniform(seed=base),
            name="embedding",
        )
        self.lstms = [
            LSTM(units, recurrent_initializer, seed=base + 10 + 2 * i, name=f"lstm_{i}") for i in range(layers)
        ]
        self.logits = keras.layers.Dense(
            vocab_size, kernel_initializer=keras.initializers.GlorotUniform(seed=base + 1), name="logits"
        )
        self(tf.zeros([1, 1], tf.int32))  # creates every variable

    def call(self, inputs: Tensor, masks: Sequence[Tensor | None] | None = None) -> Tensor:
        x = self.embedding(inputs)
        for lstm, mask in zip(self.lstms, masks or [None] * len(self.lstms), strict=True):
            x = lstm(x) if mask is None else lstm(x) * mask
        return self.logits(x)


def token_losses(
    model: LanguageModel, rows: dict[str, Tensor], masks: Sequence[Tensor | None] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over the real tokens of a batch: loss in nats, right predictions, tokens.

    Args:
        model: the model.
        rows: inputs, targets [T, B] int32; weights [T, B] float32, 0 at padding.
        masks: of dropout, one a layer, [T, B, units]; None for none.
    """
    logits = model(rows["inputs"], masks)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(rows["targets"], logits)
    right = tf.cast(tf.equal(tf.argmax(logits, axis=2, output_type=tf.int32), rows["targets"]), tf.float32)
    weights = rows["weights"]
    return tf.reduce_sum(losses * weights), tf.reduce_sum(right * weights), tf.reduce_sum(weights)
