"""Trains mostlyai-engine's LSTM for so many seconds and writes records. Runs in its own environment.

    python mostlyai_records.py TRAIN WORK SECONDS RECORDS FIELDS DELIMITER SYNTHETIC RESULT

As `mostlyai_train.py` trains it, each line as one text, on the clock of its own work (`cpu_clock.py`). It has no validator:
records are made in excess, and the first that have the right number of fields are kept, as for the others.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cpu_clock

cpu_clock.install()

import mostlyai_train  # noqa: E402
import pandas as pd  # noqa: E402
from mostlyai import engine  # noqa: E402

_EXCESS = 1.3


def main() -> None:
    source, work, seconds, records, fields, delimiter, synthetic, result = sys.argv[1:]
    clock = mostlyai_train.RecordClock()
    clock.watch(mostlyai_train.LSTMFromScratchLMHeadModel)
    mostlyai_train.train(Path(source).read_text("utf-8").splitlines(), work, float(seconds), private=False)
    seen = sum(count for _, count, _, training in clock.calls if training)
    engine.generate(sample_size=int(int(records) * _EXCESS), batch_size=512, workspace_dir=work, device="cpu")
    made = pd.read_parquet(Path(work) / "SyntheticData")["line"].fillna("").tolist()
    valid = [line for line in made if line.count(delimiter) == int(fields) - 1 and "\n" not in line]
    Path(synthetic).write_text("".join(line + "\n" for line in valid[: int(records)]), encoding="utf-8")
    Path(result).write_text(json.dumps({"records_seen": seen, "valid_rate": len(valid) / max(len(made), 1)}))


if __name__ == "__main__":
    main()
