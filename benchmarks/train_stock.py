"""Train the same architecture, built of stock Keras layers, for a number of seconds and measure it.

    python benchmarks/train_stock.py TRAIN HELDOUT WORK SECONDS BATCH keras|tf_keras RESULT

The training procedure is ours: one record per row from a zero state, Adam with a learning rate that falls linearly from 0.01
over the time, and the weights of the epoch with the best validation loss. The limit includes the time of validation. Only the
layers differ.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from linesmith.core.config.tensorflow_config import TensorFlowConfig

_VALIDATION_EVERY = 5  # a fifth of the records, as for the other tools
Rows = tuple[np.ndarray, np.ndarray]


def network(library: Any, vocab: int) -> Any:
    """Return a network of Embedding, (LSTM, Dropout) × 2 and Dense layers of the default sizes."""
    config, layers = TensorFlowConfig(), library.layers
    chain = [layers.Input(shape=(None,), dtype="int32"), layers.Embedding(vocab, config.embedding_dim)]
    for _ in range(config.rnn_layers):
        chain += [layers.LSTM(config.rnn_units, return_sequences=True), layers.Dropout(config.dropout_rate)]
    return library.Sequential([*chain, layers.Dense(vocab)])


def rows_of(lines: list[str], ids_of_characters: dict[str, int]) -> Rows:
    """Return the ids [records, longest + 2] with a newline at both ends of each record, and the length of each record."""
    lengths = np.array([len(line) + 2 for line in lines])
    ids = np.zeros((len(lines), lengths.max()), np.int32)
    for row, line in enumerate(lines):
        ids[row, 1 : len(line) + 1] = [ids_of_characters[character] for character in line]
    return ids, lengths


class Stock:
    """Network with its training step."""

    def __init__(self, library: Any, vocab: int) -> None:
        self.model = network(library, vocab)
        self.optimizer = library.optimizers.Adam(TensorFlowConfig().learning_rate)
        self.train_step = tf.function(self._step, reduce_retracing=True)
        self.measure = tf.function(lambda ids, real: self._nats(ids, real, training=False), reduce_retracing=True)

    def _nats(self, ids: Any, real: Any, training: bool) -> Any:
        logits = self.model(ids[:, :-1], training=training)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[:, 1:], logits)
        return tf.reduce_sum(losses * tf.sequence_mask(real - 1, tf.shape(losses)[1], losses.dtype))

    def _step(self, ids: Any, real: Any) -> None:
        with tf.GradientTape() as tape:
            loss = self._nats(ids, real, training=True) / tf.cast(tf.reduce_sum(real - 1), tf.float32)
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    def nats(self, rows: Rows) -> float:
        """Return the loss of all rows in nats, without dropout."""
        return sum(
            float(self.measure(*_batch(rows, range(at, min(at + 256, len(rows[1]))))))
            for at in range(0, len(rows[1]), 256)
        )


def fit(stock: Stock, train: Rows, validation: Rows, batch: int, seconds: float) -> list[tuple[float, float, int]]:
    """Train, load the best epoch's weights into the network, and return each step's start, length and characters."""
    random, rate = np.random.default_rng(0), TensorFlowConfig().learning_rate
    best, weights, steps, began = math.inf, stock.model.get_weights(), [], time.perf_counter()
    while time.perf_counter() - began < seconds:
        order = random.permutation(len(train[1]))
        for at in range(0, len(order), batch):
            start = time.perf_counter()
            if start - began >= seconds:
                break
            stock.optimizer.learning_rate = rate * max(1 - (start - began) / seconds, 0.001)
            ids, real = _batch(train, order[at : at + batch])
            stock.train_step(ids, real)
            steps.append((start - began, time.perf_counter() - start, int((real - 1).numpy().sum())))
        loss = stock.nats(validation)
        if loss < best:
            best, weights = loss, stock.model.get_weights()
    stock.model.set_weights(weights)
    return steps


def _batch(rows: Rows, indexes: Any) -> tuple[tf.Tensor, tf.Tensor]:
    ids, lengths = rows[0][list(indexes)], rows[1][list(indexes)]
    return tf.constant(ids[:, : lengths.max()]), tf.constant(lengths, tf.int32)


def main() -> None:
    source, heldout, _, seconds, batch, library, result = sys.argv[1:]
    lines = Path(source).read_text("utf-8").splitlines()
    ids_of_characters = {character: number for number, character in enumerate(sorted(set("".join(lines))), start=1)}
    parts = [
        [
            line
            for number, line in enumerate(lines)
            if (number % _VALIDATION_EVERY == _VALIDATION_EVERY - 1) == is_validation
        ]
        for is_validation in (False, True)
    ]
    train, validation = (rows_of(part, ids_of_characters) for part in parts)
    stock = Stock(importlib.import_module(library), len(ids_of_characters) + 1)
    steps = fit(stock, train, validation, int(batch), float(seconds))
    steady = [(length, characters) for start, length, characters in steps if start > float(seconds) / 10]
    steady = steady or [steps[-1][1:]]
    heldout_rows = rows_of(Path(heldout).read_text("utf-8").splitlines(), ids_of_characters)
    characters = int((heldout_rows[1] - 1).sum())
    Path(result).write_text(
        json.dumps(
            {
                "characters_per_second": sum(c for _, c in steady) / sum(length for length, _ in steady),
                "heldout_bits_per_character": stock.nats(heldout_rows) / math.log(2) / characters,
                "heldout_characters": characters,
                "steps": len(steps),
            }
        )
    )


if __name__ == "__main__":
    main()
