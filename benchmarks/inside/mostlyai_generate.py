"""Generate with a model that mostlyai_train.py has trained, and measure it. Runs in mostlyai-engine's own environment.

    python mostlyai_generate.py WORK RECORDS BATCH RESULT

The time is from the end of its first batch to the end of its last one, by its progress callback: loading is not counted.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
from mostlyai import engine


class BatchClock:
    """Progress callback that records when each batch was done, and its number of records."""

    def __init__(self) -> None:
        self.done: list[tuple[float, int]] = []

    def __call__(self, advance: int | None = None, **_: Any) -> None:
        if advance:
            self.done.append((time.perf_counter(), advance))


def main() -> None:
    work, records, batch, result = sys.argv[1:]
    clock = BatchClock()
    engine.generate(
        sample_size=int(records), batch_size=int(batch), workspace_dir=work, device="cpu", update_progress=clock
    )
    lines = pd.read_parquet(Path(work) / "SyntheticData")["line"].fillna("")
    characters = int(lines.str.len().sum()) + len(lines)
    seconds = clock.done[-1][0] - clock.done[0][0]
    timed = sum(count for _, count in clock.done[1:])
    Path(result).write_text(
        json.dumps(
            {
                "characters_per_second": characters * timed / len(lines) / seconds,
                "characters": characters,
                "seconds": seconds,
            }
        )
    )


if __name__ == "__main__":
    main()
