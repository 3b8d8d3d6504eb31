"""Sample from our trained weights with a naive loop: a batch of records, one token per call, until the longest has ended.

    python benchmarks/generate_naive.py WORK RECORDS RESULT

This is a correct implementation without attention to speed: the state is carried from token to token, the step is compiled,
and a batch is as large as the peers' and ends with its longest record.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from linesmith.core.artifacts.model_info import load_weights, read_model_info
from linesmith.model.tokenizers import tokenizer_from_model_dir
from linesmith.records.fields import NEWLINE_ID

BATCH = 64


class Loop:
    """The network, evaluated one token per call."""

    def __init__(self, work: Path) -> None:
        self.info, self.tokenizer = read_model_info(work), tokenizer_from_model_dir(work)
        self.weights = {path.split("/", 1)[-1]: tf.constant(array) for path, array in load_weights(work).items()}
        self.forbidden = np.zeros(self.info.vocab_size, np.float32)
        self.forbidden[list(self.tokenizer.never_sampled)] = -np.inf
        self.step = tf.function(self._step)

    def _step(self, tokens: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        below, after = tf.gather(self.weights["embedding/embeddings"], tokens), []
        for layer in range(self.info.rnn_layers):
            kernel, recurrent, bias = (
                self.weights[f"lstm_{layer}/{name}"] for name in ("kernel", "recurrent_kernel", "bias")
            )
            h, c = state[2 * layer : 2 * layer + 2]
            i, f, g, o = tf.split(tf.matmul(below, kernel) + tf.matmul(h, recurrent) + bias, 4, axis=1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            below = tf.sigmoid(o) * tf.tanh(c)
            after += [below, c]
        logits = tf.matmul(below, self.weights["logits/kernel"]) + self.weights["logits/bias"] + self.forbidden
        return tf.random.categorical(logits, 1, dtype=tf.int32)[:, 0], after

    def batch(self) -> list[str]:
        """Return the texts of a batch of records."""
        state = [tf.zeros([BATCH, self.info.rnn_units])] * (2 * self.info.rnn_layers)
        ids: list[np.ndarray] = []
        tokens, ended = tf.fill([BATCH], NEWLINE_ID), np.zeros(BATCH, bool)
        while not ended.all() and len(ids) < self.info.length_cap_tokens:
            tokens, state = self.step(tokens, state)
            ids.append(tokens.numpy())
            ended |= ids[-1] == NEWLINE_ID
        rows = [[*row.tolist(), NEWLINE_ID] for row in np.stack(ids, axis=1)]
        return [self.tokenizer.decode_from_ids(row[: row.index(NEWLINE_ID)]) for row in rows]


def main() -> None:
    work, records, result = sys.argv[1:]
    loop = Loop(Path(work))
    loop.batch()
    start, characters = time.perf_counter(), 0
    for _ in range(0, int(records), BATCH):
        characters += sum(len(text) + 1 for text in loop.batch())
    seconds = time.perf_counter() - start
    Path(result).write_text(json.dumps({"characters_per_second": characters / seconds, "seconds": seconds}))


if __name__ == "__main__":
    main()
