"""Trains gretel-synthetics' character LSTM for so many seconds and measures it. Runs in gretel's own environment.

    python gretel_train.py TRAIN HELDOUT WORK SECONDS RESULT

Everything is its own default but the vocabulary (characters) and the clock. The clock of a step is Keras' own batch callbacks:
from the start of a training batch, the fetching of its rows included, to its end. Validation is not counted.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from gretel_synthetics.config import TensorFlowConfig
from gretel_synthetics.tensorflow.model import load_model
from gretel_synthetics.tokenizers import tokenizer_from_model_dir
from gretel_synthetics.train import train


class StepClock(tf.keras.callbacks.Callback):
    """Times every training step, and ends training after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.times = seconds, []
        self.began = self.step_began = 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        self.began = time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.step_began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        self.times.append((self.step_began - self.began, now - self.step_began))
        if now - self.began > self.seconds:
            self.model.stop_training = True


def fit_under(clock: StepClock) -> None:
    """Gretel takes no callbacks of its user's at a step: hand the clock to the fit it calls."""
    plain = tf.keras.Model.fit

    def fit(model: Any, *arguments: Any, callbacks: Any = (), **named: Any) -> Any:
        return plain(model, *arguments, callbacks=[*callbacks, clock], **named)

    tf.keras.Model.fit = fit


def heldout_bits(config: TensorFlowConfig, lines: list[str]) -> tuple[float, int]:
    """Bits of the lines, newlines included, each from a zero state after a newline, as it generates; and characters."""
    tokenizer = tokenizer_from_model_dir(config.checkpoint_dir)
    model = load_model(config, tokenizer)
    size, nats, characters = config.predict_batch_size, 0.0, 0
    for start in range(0, len(lines), size):
        rows = [tokenizer.encode_to_ids("\n" + line + "\n") for line in lines[start : start + size]]
        ids = np.zeros((size, max(map(len, rows))), np.int32)
        weights = np.zeros((size, ids.shape[1] - 1), np.float32)
        for row, record in enumerate(rows):
            ids[row, : len(record)] = record
            weights[row, : len(record) - 1] = 1
        model.reset_states()
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[:, 1:], model(ids[:, :-1], training=False))
        nats += float(tf.reduce_sum(losses * weights))
        characters += int(weights.sum())
    return nats / math.log(2), characters


def main() -> None:
    source, heldout, work, seconds, result = sys.argv[1:]
    config = TensorFlowConfig(input_data_path=source, checkpoint_dir=work, vocab_size=0, epochs=100_000, overwrite=True)
    clock = StepClock(float(seconds))
    fit_under(clock)
    train(config)
    bits, characters = heldout_bits(config, Path(heldout).read_text("utf-8").splitlines())
    # The first tenth of the time, with the tracing of the graph, is not steady.
    steady = [length for began, length in clock.times if began > clock.seconds / 10]
    Path(result).write_text(
        json.dumps(
            {
                "characters_per_second": len(steady) * config.batch_size * config.seq_length / sum(steady),
                "heldout_bits_per_character": bits / characters,
                "heldout_characters": characters,
                "steps": len(clock.times),
                "batch_size": config.batch_size,
                "seq_length": config.seq_length,
            }
        )
    )


if __name__ == "__main__":
    main()
