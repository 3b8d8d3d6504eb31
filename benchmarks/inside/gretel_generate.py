"""Generate with a model that gretel_train.py has trained, and measure it. Runs in gretel's own environment.

    python gretel_generate.py WORK RECORDS PARALLELISM BATCH RESULT

Loading is not measured: the time starts when as many records have arrived as the workers' first batches hold, and only later
records count.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from gretel_synthetics.config import config_from_model_dir
from gretel_synthetics.generate import generate_text
from gretel_synthetics.generate_parallel import get_num_workers


def main() -> None:
    work, records, parallelism, batch, result = sys.argv[1:]
    config = config_from_model_dir(work)
    config.predict_batch_size = int(batch)
    config.gen_chars = 200  # without a limit a row may never end
    workers = get_num_workers(int(parallelism), int(records))
    characters, began = 0, 0.0
    for number, record in enumerate(generate_text(config, num_lines=int(records), parallelism=int(parallelism))):
        if began:
            characters += len(record.text) + 1
        elif number + 1 >= workers * config.predict_batch_size:
            began = time.perf_counter()
    seconds = time.perf_counter() - began
    Path(result).write_text(
        json.dumps({"characters_per_second": characters / seconds, "characters": characters, "seconds": seconds})
    )


if __name__ == "__main__":
    main()
