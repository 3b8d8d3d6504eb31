"""Generates with a model that gretel_train.py left, and measures it. Runs in gretel's own environment.

    python gretel_generate.py WORK RECORDS PARALLELISM BATCH RESULT

Timed from its first record to its last: loading is not counted, nor is the work on its first batch, in its favour.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from gretel_synthetics.config import config_from_model_dir
from gretel_synthetics.generate import generate_text


def main() -> None:
    work, records, parallelism, batch, result = sys.argv[1:]
    config = config_from_model_dir(work)
    config.predict_batch_size = int(batch)
    config.gen_chars = 200  # without a limit a row may never end
    characters, first = 0, 0.0
    for record in generate_text(config, num_lines=int(records), parallelism=int(parallelism)):
        first = first or time.perf_counter()
        characters += len(record.text) + 1
    seconds = time.perf_counter() - first
    Path(result).write_text(
        json.dumps({"characters_per_second": characters / seconds, "characters": characters, "seconds": seconds})
    )


if __name__ == "__main__":
    main()
