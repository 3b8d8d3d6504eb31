"""Train mostlyai-engine's TabularARGN on a typed table and write rows. Runs in mostlyai-engine's own environment.

    python argn_records.py TRAIN WORK SECONDS RECORDS DELIMITER SYNTHETIC RESULT

All settings are its defaults except the time limit, which is its own CPU time (`cpu_clock.py`); it stops earlier by its own rule.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cpu_clock

cpu_clock.install()

import pandas as pd  # noqa: E402
from mostlyai import engine  # noqa: E402
from typed_table import read_table, write_rows  # noqa: E402


def main() -> None:
    source, work, seconds, records, delimiter, synthetic, result = sys.argv[1:]
    table = read_table(source, delimiter)
    engine.split(table, workspace_dir=work)
    engine.analyze(workspace_dir=work)
    engine.encode(workspace_dir=work)
    start = cpu_clock.cpu_seconds_per_core()
    engine.train(workspace_dir=work, max_training_time=float(seconds) / 60, device="cpu")
    spent = cpu_clock.cpu_seconds_per_core() - start
    engine.generate(sample_size=int(records), workspace_dir=work, device="cpu")
    made = pd.read_parquet(Path(work) / "SyntheticData")
    valid = write_rows(made, table, source, delimiter, synthetic, int(records))
    Path(result).write_text(json.dumps({"seconds of training": spent, "valid_rate": valid}))


if __name__ == "__main__":
    main()
