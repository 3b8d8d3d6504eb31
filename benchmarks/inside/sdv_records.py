"""Train SDV's GaussianCopula or TVAE on a typed table and write rows. Runs in SDV's own environment.

    python sdv_records.py TRAIN WORK SECONDS RECORDS DELIMITER SYNTHETIC RESULT copula|tvae

All settings are its defaults, except that TVAE ends at the time limit, its own CPU time (`cpu_clock.py`), and not after 300
epochs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cpu_clock
from ctgan.synthesizers import tvae
from sdv.single_table import GaussianCopulaSynthesizer, TVAESynthesizer
from typed_table import read_table, sdv_metadata, write_rows


def main() -> None:
    source, _, seconds, records, delimiter, synthetic, result, kind = sys.argv[1:]
    table = read_table(source, delimiter)
    metadata = sdv_metadata(table)
    epochs = 0
    start = cpu_clock.cpu_seconds_per_core()

    def until_time_is_up(*_: Any, **__: Any) -> Iterator[int]:
        nonlocal epochs
        while cpu_clock.cpu_seconds_per_core() - start < float(seconds):
            yield epochs
            epochs += 1

    tvae.tqdm = until_time_is_up
    model = GaussianCopulaSynthesizer(metadata) if kind == "copula" else TVAESynthesizer(metadata, enable_gpu=False)
    model.fit({"table": table})
    spent = cpu_clock.cpu_seconds_per_core() - start
    made = model.sample(num_rows=int(records))["table"]
    valid = write_rows(made, table, source, delimiter, synthetic, int(records))
    Path(result).write_text(json.dumps({"epochs": epochs, "seconds of training": spent, "valid_rate": valid}))


if __name__ == "__main__":
    main()
