"""Train origami-ml on the rows of a table as JSON objects and write rows. Runs in origami's own environment.

    python origami_records.py TRAIN WORK SECONDS RECORDS DELIMITER SYNTHETIC RESULT

All settings are its defaults, except that numbers with many values are continuous (`numeric_mode="scale"`, its documented choice
for tables). Its learning rate falls over as many epochs as fit into the time limit, its own CPU time (`cpu_clock.py`),
by the time that the batches of a trial take; training is interrupted at the limit.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import cpu_clock
import pandas as pd
from origami import DataConfig, OrigamiConfig, OrigamiPipeline, TrainingConfig
from origami.training.callbacks import TrainerCallback
from typed_table import read_table, write_rows

_TRIAL_BATCHES = 60
_SLOWER_AT_FIRST = 20  # batches of the trial that are not counted


class Clock(TrainerCallback):
    """Interrupts training after a number of CPU seconds or batches."""

    def __init__(self, seconds: float, batches: float = math.inf) -> None:
        self.seconds, self.batches, self.times = seconds, batches, [cpu_clock.cpu_seconds_per_core()]

    def on_batch_end(self, trainer: Any, state: Any, payload: Any) -> None:
        self.times.append(cpu_clock.cpu_seconds_per_core())
        if self.times[-1] - self.times[0] > self.seconds or len(self.times) > self.batches:
            raise KeyboardInterrupt

    @property
    def batch_seconds(self) -> float:
        """CPU seconds of a batch, without the first ones."""
        later = self.times[_SLOWER_AT_FIRST:]
        return (later[-1] - later[0]) / (len(later) - 1)


def main() -> None:
    source, _, seconds, records, delimiter, synthetic, result = sys.argv[1:]
    table = read_table(source, delimiter)
    objects = [_as_object(row) for row in table.to_dict("records")]
    data = DataConfig(numeric_mode="scale")
    trial = Clock(math.inf, _TRIAL_BATCHES)
    OrigamiPipeline(OrigamiConfig(data=data)).fit(objects, epochs=100, callbacks=[trial])
    batches = math.ceil(len(objects) / TrainingConfig().batch_size)
    epochs = max(1, int(float(seconds) / (trial.batch_seconds * batches)))
    clock = Clock(float(seconds))
    pipeline = OrigamiPipeline(OrigamiConfig(data=data))
    pipeline.fit(objects, epochs=epochs, callbacks=[clock])
    made = pd.DataFrame(pipeline.generate(num_samples=int(records), batch_size=256, allow_complex_values=False))
    made = made.reindex(columns=table.columns)
    valid = write_rows(made, table, source, delimiter, synthetic, int(records))
    trained = {
        "epochs": epochs,
        "batches": len(clock.times) - 1,
        "seconds of training": clock.times[-1] - clock.times[0],
    }
    Path(result).write_text(json.dumps({**trained, "valid_rate": valid}))


def _as_object(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as a JSON object; what is missing is null, a date its text."""
    return {
        name: None if pd.isna(value) else str(value) if isinstance(value, pd.Timestamp) else value
        for name, value in row.items()
    }


if __name__ == "__main__":
    main()
