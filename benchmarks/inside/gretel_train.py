"""Train gretel-synthetics' character LSTM for a number of seconds and measure it. Runs in gretel's own environment.

    python gretel_train.py TRAIN HELDOUT WORK SECONDS RESULT

All settings are its defaults except the vocabulary (characters) and the time limit. A step is timed by Keras' batch callbacks,
from the start of a training batch, including the fetching of its rows, to its end. Validation is not counted.
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
    """Callback that times every training step and ends training after a number of seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.times: list[tuple[float, float]] = []
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


def add_callback(clock: StepClock) -> None:
    """Add the clock to Keras' `fit` as a callback, since gretel accepts no callbacks for training steps."""
    original_fit = tf.keras.Model.fit

    def fit(model: Any, *arguments: Any, callbacks: Any = (), **named: Any) -> Any:
        return original_fit(model, *arguments, callbacks=[*callbacks, clock], **named)

    tf.keras.Model.fit = fit


class HeldOut:
    """Bits per character of the trained model on held-out lines, newlines included."""

    def __init__(self, config: TensorFlowConfig, lines: list[str]) -> None:
        self.tokenizer = tokenizer_from_model_dir(config.checkpoint_dir)
        self.model = load_model(config, self.tokenizer)
        self.lines, self.rows = lines, config.predict_batch_size
        self.characters = sum(map(len, lines)) + len(lines)

    def bits_from_zero_state(self) -> float:
        """Return bits per character with each line from a zero state after a newline, as in its generation."""
        nats = 0.0
        for start in range(0, len(self.lines), self.rows):
            records = [self.tokenizer.encode_to_ids(f"\n{line}\n") for line in self.lines[start : start + self.rows]]
            ids = np.zeros((self.rows, max(map(len, records))), np.int32)
            weights = np.zeros((self.rows, ids.shape[1] - 1), np.float32)
            for row, record in enumerate(records):
                ids[row, : len(record)] = record
                weights[row, : len(record) - 1] = 1
            self.model.reset_states()
            nats += self._nats(ids, weights)
        return nats / math.log(2) / self.characters

    def bits_with_carried_state(self) -> float:
        """Return bits per character with the state carried from line to line, as in its training."""
        text = self.tokenizer.encode_to_ids("\n" + "".join(line + "\n" for line in self.lines))
        width = (len(text) - 1) // self.rows
        ids = np.array([text[row * width : (row + 1) * width + 1] for row in range(self.rows)], np.int32)
        self.model.reset_states()
        nats = sum(
            self._nats(part := ids[:, at : at + 101], np.ones((self.rows, part.shape[1] - 1), np.float32))
            for at in range(0, width, 100)
        )
        return nats / math.log(2) / (self.rows * width)

    def _nats(self, ids: np.ndarray, weights: np.ndarray) -> float:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[:, 1:], self.model(ids[:, :-1], training=False))
        return float(tf.reduce_sum(losses * weights))


def main() -> None:
    source, heldout, work, seconds, result = sys.argv[1:]
    config = TensorFlowConfig(input_data_path=source, checkpoint_dir=work, vocab_size=0, epochs=100_000, overwrite=True)
    clock = StepClock(float(seconds))
    add_callback(clock)
    train(config)
    heldout_bits = HeldOut(config, Path(heldout).read_text("utf-8").splitlines())
    # The first tenth of the time, which includes tracing the graph, is left out.
    steady = [length for began, length in clock.times if began > clock.seconds / 10]
    Path(result).write_text(
        json.dumps(
            {
                "characters_per_second": len(steady) * config.batch_size * config.seq_length / sum(steady),
                "heldout_bits_per_character": heldout_bits.bits_from_zero_state(),
                "heldout_bits_running_on": heldout_bits.bits_with_carried_state(),
                "heldout_characters": heldout_bits.characters,
                "steps": len(clock.times),
                "batch_size": config.batch_size,
                "seq_length": config.seq_length,
            }
        )
    )


if __name__ == "__main__":
    main()
