"""Train mostlyai-engine's LSTM for a number of seconds and write records. Runs in mostlyai-engine's own environment.

    python mostlyai_records.py TRAIN WORK SECONDS RECORDS FIELDS DELIMITER SYNTHETIC RESULT

It is trained as in `mostlyai_train.py`, with each line as one text, but time is its own CPU time (`cpu_clock.py`). It has no
validator: more records than needed are generated, and the first ones with the right number of fields are kept.
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
