"""Train our model through the public API for a number of seconds, and measure it.

    python benchmarks/train_ours.py TRAIN HELDOUT WORK SECONDS BATCH PRECISION DELIMITER plain|private|private-defaults RESULT

Tokens are characters and lines are not split into fields, as for the peers. A step is the training loop's `run_step`: its time
includes forming the batch, but neither validation nor checkpoints.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.ours import ARCHITECTURE
from linesmith import TensorFlowConfig, generate_text, tokenizer_from_model_dir, train
from linesmith.core.artifacts.model_info import load_weights
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.model.training.settings import NetworkSettings
from linesmith.model.training.trainer import Trainer, build_model
from linesmith.records.fields import NEWLINE_ID

SAMPLES = 2_000
PRIVATE_ROW_TOKENS = 64  # tokens of a private row
# Private training uses the peer's defaults where they have the same meaning: expected records per step and noise multiplier.
# A larger draw still fits into one physical batch.
PRIVATE = {
    "dp": True,
    "dp_batch_size": 64,
    "dp_noise_multiplier": 1.5,
    "seq_length": PRIVATE_ROW_TOKENS,
    "batch_size": 256,
}
# Private training has a smaller network by default. `private` uses this one, of plain training; `private-defaults` the default.
NETWORK = {name: TensorFlowConfig.model_fields[name].default for name in ARCHITECTURE}
EPOCHS = 100_000  # more than fit into the time


class StepClock:
    """Clock of the steps of every trainer of a class, which it patches so that it stops after `seconds`."""

    def __init__(self, trainer: type[Any], seconds: float) -> None:
        self.times: list[tuple[float, float]] = []
        self.steps_per_epoch = 0
        self.trainer: Any = None
        run_step, begin_epoch, stop_reason = trainer.run_step, trainer.begin_epoch, trainer.stop_reason_before_step

        def begin(trainer_self: Any) -> int:
            self.trainer, self.steps_per_epoch = trainer_self, begin_epoch(trainer_self)
            return self.steps_per_epoch

        def run(trainer_self: Any, index: int) -> None:
            start = time.perf_counter()
            run_step(trainer_self, index)
            self.times.append((start, time.perf_counter() - start))

        def stop(trainer_self: Any) -> str | None:
            # Private training has no time limit of its own: its models depend on no clock. This one is not released.
            out_of_time = self.times and time.perf_counter() - self.times[0][0] >= seconds
            return "time" if out_of_time else stop_reason(trainer_self)

        trainer.begin_epoch, trainer.run_step, trainer.stop_reason_before_step = begin, run, stop

    def epochs_per_second(self, skip: float) -> float:
        """Return epochs per second, measured on the steps that began at least `skip` seconds after the first one."""
        first = self.times[0][0]
        steady = [length for start, length in self.times if start - first >= skip] or [self.times[-1][1]]
        return len(steady) / self.steps_per_epoch / sum(steady)


def heldout_bits(config: TensorFlowConfig, lines: list[str]) -> tuple[float, int]:
    """Return the bits and the characters of the lines, newlines included, each line from a zero state after a newline."""
    run_dir = str(config.checkpoint_dir)
    tokenizer = tokenizer_from_model_dir(run_dir)
    model = build_model(NetworkSettings.from_config(config), tokenizer.total_vocab_size)
    weights = load_weights(run_dir)
    for variable in model.trainable_variables:
        variable.assign(weights[variable.path])
    nats = 0.0
    for start in range(0, len(lines), 64):
        rows = [[NEWLINE_ID, *tokenizer.encode_to_ids(line), NEWLINE_ID] for line in lines[start : start + 64]]
        ids = np.zeros((max(map(len, rows)), len(rows)), np.int32)
        counted = np.zeros((len(ids) - 1, len(rows)), np.float32)
        for row, record in enumerate(rows):
            ids[: len(record), row] = record
            counted[: len(record) - 1, row] = 1
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[1:], model(ids[:-1]))
        nats += float(tf.reduce_sum(losses * counted))
    return nats / math.log(2), sum(map(len, lines)) + len(lines)


def valid_rate(config: TensorFlowConfig, delimiter: str, fields: int) -> float:
    """Return the share of raw samples that end with a newline and have all their fields."""
    attempts = generate_text(config, num_lines=SAMPLES, max_invalid=SAMPLES, parallelism=1)
    samples = list(itertools.islice(attempts, SAMPLES))
    complete = [sample.valid is not False and sample.text.count(delimiter) == fields - 1 for sample in samples]
    return sum(complete) / len(complete)


def main() -> None:
    source, heldout, work, seconds, batch, precision, delimiter, kind, result = sys.argv[1:]
    lines = Path(heldout).read_text("utf-8").splitlines()
    private = kind != "plain"
    config = TensorFlowConfig(
        input_data_path=source,
        checkpoint_dir=work,
        vocab_size=0,
        holdout_fraction=0.0,
        matmul_precision=precision,
        max_training_time_seconds=None if private else int(seconds),
        early_stopping=False,
        epochs=EPOCHS,
        overwrite=True,
        **(PRIVATE if private else {"batch_size": int(batch)}),
        **(NETWORK if kind == "private" else {}),
    )
    clock = StepClock(PrivateTrainer if private else Trainer, float(seconds))
    train(config)
    store = clock.trainer.train
    epochs = clock.epochs_per_second(skip=float(seconds) / 10)
    bits, characters = heldout_bits(config, lines)
    Path(result).write_text(
        json.dumps(
            {
                "characters_per_second": epochs * store.num_chars,
                "records_per_second": epochs * len(store),
                "heldout_bits_per_character": bits / characters,
                "heldout_characters": characters,
                "steps": len(clock.times),
                "architecture": [getattr(config, name) for name in ("rnn_units", "embedding_dim", "rnn_layers")],
                "vocab": clock.trainer.model.vocab_size,
                "epsilon": clock.trainer.state.history[-1].epsilon,
                "valid_rate": valid_rate(config, delimiter, lines[0].count(delimiter) + 1),
            }
        )
    )


if __name__ == "__main__":
    main()
