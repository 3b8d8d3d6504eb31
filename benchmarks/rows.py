"""Compare layouts of training rows at equal training time: one record per row, packed records, or rows cut from one stream.

    .venv/bin/python benchmarks/rows.py DATA.csv [--seconds 60] [--layouts one packed-100 packed-400 carried]

Every layout trains the same network with the same simple recurrence, which can reset its state inside a row; only the layout
differs. Held-out bits per character and samples start each record from a zero state, as generation does. Prints a table; the
last measurement is in docs/training.md.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

DELIMITER, FIELDS, LINES = ", ", 6, 5000
NEWLINE_ID, DELIMITER_ID = 0, 1
UNITS, LAYERS, TOKENS, RATE, DROPOUT = 256, 2, 6400, 0.01, 0.2
SAMPLES, LONGEST = 1000, 120
Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # inputs, targets, weights, keep_state: each [T, B]


class Network:
    """Embedding, LSTM layers with dropout, and logits; the state is reset where `keep_state` is 0."""

    def __init__(self, vocab: int) -> None:
        glorot, width = keras.initializers.GlorotUniform(seed=0), UNITS
        self.embedding = tf.Variable(tf.random.stateless_uniform([vocab, width], [0, 1], -0.05, 0.05))
        self.kernels = [tf.Variable(glorot([width + UNITS, 4 * UNITS])) for _ in range(LAYERS)]
        bias = np.zeros(4 * UNITS, np.float32)
        bias[UNITS : 2 * UNITS] = 1
        self.biases = [tf.Variable(bias) for _ in range(LAYERS)]
        self.head, self.head_bias = tf.Variable(glorot([UNITS, vocab])), tf.Variable(tf.zeros([vocab]))
        self.variables = [self.embedding, *self.kernels, *self.biases, self.head, self.head_bias]

    def __call__(self, inputs: Any, keep_state: Any, state: Any, training: bool) -> tuple[Any, Any]:
        """Return the logits [T, B, V] and the last state [L, 2, B, U]."""
        x, last = tf.gather(self.embedding, inputs), []
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            projected = tf.tensordot(x, kernel[:UNITS], 1) + bias
            x, h, c = _recur(projected, kernel[UNITS:], keep_state, state[layer, 0], state[layer, 1])
            last.append(tf.stack([h, c]))
            x = tf.nn.dropout(x, DROPOUT) if training else x
        return tf.tensordot(x, self.head, 1) + self.head_bias, tf.stack(last)


@tf.function(reduce_retracing=True)
def _recur(projected: Any, kernel: Any, keep_state: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
    steps = tf.shape(projected)[0]
    out = tf.TensorArray(tf.float32, steps, element_shape=[None, UNITS])
    for t in tf.range(steps):
        keep = keep_state[t][:, None]
        h, c = h * keep, c * keep
        i, f, g, o = tf.split(projected[t] + tf.matmul(h, kernel), 4, 1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        out = out.write(t, h)
    return tf.ensure_shape(out.stack(), [None, None, UNITS]), h, c


def zero_state(batch: int) -> Any:
    return tf.zeros([LAYERS, 2, batch, UNITS])


def one_per_row(records: list[np.ndarray], epoch: int) -> Iterator[Rows]:
    """Yield batches of 64 complete records of similar length, one per row."""
    yield from _batches([[record] for record in _shuffled(records, epoch)], TOKENS // 100, epoch, None)


def packed(records: list[np.ndarray], epoch: int, width: int) -> Iterator[Rows]:
    """Yield batches of rows of a fixed width, each filled with complete records as long as the next one fits."""
    rows: list[list[np.ndarray]] = [[]]
    room = width
    for record in _shuffled(records, epoch):
        if len(record) - 1 > room:
            rows.append([])
            room = width
        rows[-1].append(record)
        room -= len(record) - 1
    yield from _batches(rows, TOKENS // width, epoch, width)


def carried(records: list[np.ndarray], epoch: int) -> Iterator[Rows]:
    """Yield batches of all records as one text, cut into 64 parallel streams; the state is carried from batch to batch."""
    stream = np.concatenate([record[1:] for record in _shuffled(records, epoch)])
    count = TOKENS // 100
    width = (len(stream) - 1) // count
    inputs = stream[: count * width].reshape(count, width).T
    targets = stream[1 : count * width + 1].reshape(count, width).T
    for start in range(0, width, 100):
        part = slice(start, start + 100)
        ones = np.ones(inputs[part].shape, np.float32)
        keep_state = ones.copy()
        if start == 0:
            keep_state[0] = 0
        yield inputs[part], targets[part], ones, keep_state


def _shuffled(records: list[np.ndarray], epoch: int) -> list[np.ndarray]:
    return [records[i] for i in np.random.default_rng(epoch).permutation(len(records))]


def _batches(rows: list[list[np.ndarray]], count: int, epoch: int, width: int | None) -> Iterator[Rows]:
    """Yield rows of records as arrays; without a fixed width, rows of similar length form a batch."""
    if width is None:
        rows = sorted(rows, key=lambda row: -sum(map(len, row)))
    batches = [rows[start : start + count] for start in range(0, len(rows), count)]
    for number in np.random.default_rng(epoch).permutation(len(batches)):
        batch = batches[number]
        steps = max(sum(len(record) - 1 for record in row) for row in batch) if width is None else width
        inputs, targets = np.zeros((steps, len(batch)), np.int32), np.zeros((steps, len(batch)), np.int32)
        weights, keep_state = np.zeros((steps, len(batch)), np.float32), np.ones((steps, len(batch)), np.float32)
        for column, row in enumerate(batch):
            at = 0
            for record in row:
                end = at + len(record) - 1
                inputs[at:end, column], targets[at:end, column] = record[:-1], record[1:]
                weights[at:end, column], keep_state[at, column] = 1, 0
                at = end
        yield inputs, targets, weights, keep_state


LAYOUTS: dict[str, Callable[[list[np.ndarray], int], Iterator[Rows]]] = {
    "one": one_per_row,
    "packed-100": lambda records, epoch: packed(records, epoch, 100),
    "packed-400": lambda records, epoch: packed(records, epoch, 400),
    "carried": carried,
}


def train_for(layout: str, records: list[np.ndarray], vocab: int, seconds: float) -> tuple[Network, float, float]:
    """Train a network for some seconds; return it, the number of epochs, and its real tokens per second."""
    network, optimizer = Network(vocab), keras.optimizers.Adam(RATE)
    optimizer.build(network.variables)

    @tf.function(reduce_retracing=True)
    def step(inputs: Any, targets: Any, weights: Any, keep_state: Any, state: Any) -> Any:
        with tf.GradientTape() as tape:
            logits, last = network(inputs, keep_state, state, True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits) * weights
            loss = tf.reduce_sum(losses) / tf.reduce_sum(weights)
        optimizer.apply(tape.gradient(loss, network.variables), network.variables)
        return last

    saved = [variable.numpy() for variable in network.variables]
    # Trace the graphs before the time starts; the weights are restored afterwards.
    for rows in list(LAYOUTS[layout](records, 0))[:3]:
        step(*map(tf.constant, rows), zero_state(rows[0].shape[1]))
    for variable, array in zip(network.variables, saved, strict=True):
        variable.assign(array)
    for variable in optimizer.variables:
        variable.assign(tf.zeros_like(variable.value))
    tokens, epoch, start = 0.0, 0, time.monotonic()
    while True:
        state = None
        for rows in LAYOUTS[layout](records, epoch):
            spent = (time.monotonic() - start) / seconds
            if spent >= 1:
                return network, tokens / sum(len(r) - 1 for r in records), tokens / seconds
            optimizer.learning_rate = RATE * max(1 - spent, 0.001)
            if state is None or layout != "carried":
                state = zero_state(rows[0].shape[1])
            state = step(*map(tf.constant, rows), state)
            tokens += rows[2].sum()
        epoch += 1


def bits_per_character(network: Network, records: list[np.ndarray], chars: int) -> float:
    nats = 0.0
    for inputs, targets, weights, keep_state in one_per_row(records, 0):
        logits, _ = network(inputs, keep_state, zero_state(inputs.shape[1]), False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        nats += float(tf.reduce_sum(losses * weights))
    return nats / math.log(2) / chars


def valid_rate(network: Network) -> float:
    """Return the share of raw samples that end within the limit and have six fields."""
    random = np.random.default_rng(1)
    inputs, state = np.zeros((1, SAMPLES), np.int32), zero_state(SAMPLES)
    delimiters, ended = np.zeros(SAMPLES, int), np.zeros(SAMPLES, bool)
    for step in range(LONGEST):
        logits, state = network(inputs, np.full((1, SAMPLES), float(step > 0), np.float32), state, False)
        cumulative = np.cumsum(tf.nn.softmax(logits[0]).numpy().astype(np.float64), axis=1)
        drawn = (cumulative < random.random((SAMPLES, 1)) * cumulative[:, -1:]).sum(axis=1)
        delimiters += (drawn == DELIMITER_ID) & ~ended
        ended |= drawn == NEWLINE_ID
        inputs = drawn.astype(np.int32)[None]
    return float(np.mean(ended & (delimiters == FIELDS - 1)))


def read(path: Path) -> tuple[list[np.ndarray], list[str], int]:
    """Return the records as ids, each from newline to newline, their texts, and the size of the vocabulary."""
    texts = path.read_text("utf-8").splitlines()[:LINES]
    letters = {letter: i + 2 for i, letter in enumerate(sorted(set("".join(texts))))}
    records = []
    for text in texts:
        ids = [NEWLINE_ID]
        for number, field in enumerate(text.split(DELIMITER)):
            ids += [DELIMITER_ID] * (number > 0) + [letters[letter] for letter in field]
        records.append(np.array([*ids, NEWLINE_ID], np.int32))
    return records, texts, -(-(len(letters) + 2) // 16) * 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--layouts", nargs="+", choices=list(LAYOUTS), default=list(LAYOUTS))
    options = parser.parse_args()
    records, texts, vocab = read(options.data)
    heldout = [i for i in range(len(records)) if i % 5 == 4]
    train = [record for i, record in enumerate(records) if i % 5 != 4]
    chars = sum(len(texts[i]) + 1 for i in heldout)
    table = Table("rows", "epochs", "real tokens per second", "held-out bits per character", "valid rate")
    for layout in options.layouts:
        network, epochs, rate = train_for(layout, train, vocab, options.seconds)
        bits = bits_per_character(network, [records[i] for i in heldout], chars)
        table.add_row(layout, f"{epochs:.1f}", f"{rate:,.0f}", f"{bits:.3f}", f"{valid_rate(network):.3f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
