"""Train gretel-synthetics for a number of seconds and write records. Runs in gretel's own environment.

    python gretel_records.py TRAIN WORK SECONDS RECORDS FIELDS DELIMITER SYNTHETIC RESULT

It is trained as in `gretel_train.py`, with all defaults except the vocabulary, but time is its own CPU time (`cpu_clock.py`).
Records come from its own validation loop, with a validator that requires the right number of fields.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cpu_clock

cpu_clock.install()

import gretel_train  # noqa: E402
from gretel_synthetics.config import TensorFlowConfig  # noqa: E402
from gretel_synthetics.generate import generate_text  # noqa: E402
from gretel_synthetics.train import train  # noqa: E402


def main() -> None:
    source, work, seconds, records, fields, delimiter, synthetic, result = sys.argv[1:]
    config = TensorFlowConfig(input_data_path=source, checkpoint_dir=work, vocab_size=0, epochs=100_000, overwrite=True)
    config.gen_chars = 200  # without a limit a row may never end
    clock = gretel_train.StepClock(float(seconds))
    gretel_train.add_callback(clock)
    train(config)
    valid: list[str] = []
    attempts = 0
    for record in generate_text(
        config,
        line_validator=lambda line: line.count(delimiter) == int(fields) - 1,
        num_lines=int(records),
        max_invalid=50 * int(records),
    ):
        attempts += 1
        if record.valid:
            valid.append(record.text)
    Path(synthetic).write_text("".join(line + "\n" for line in valid), encoding="utf-8")
    Path(result).write_text(json.dumps({"steps": len(clock.times), "valid_rate": len(valid) / max(attempts, 1)}))


if __name__ == "__main__":
    main()
