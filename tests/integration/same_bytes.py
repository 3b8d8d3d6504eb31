"""Equal seeds give equal bytes, on a real network: `make test-generate`, about five minutes.

A wide, untrained model writes text, JSON lines, Avro and Parquet again and again, each time in processes of their own: with
1, 2 and 4 workers, blocks of 48 to 4,128 rows, one thread of TensorFlow and two, and once more after a kill -9 in the
middle of a unit. Every shard must be the same to the last bit; another seed must give others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

RECORDS = 3_000
UNIT = 512
FORMATS = ["text", "jsonl", "avro", "parquet"]
# Workers, blocks and threads differ; bytes must not.
SAME: dict[str, dict[str, Any]] = {
    "two workers": {"workers": 2},
    "four workers": {"workers": 4},
    "blocks of 48 rows": {"block": 48, "records": 600},  # slow: a few shards are enough
    "blocks of 240 rows": {"block": 240},
    "blocks of 4,128 rows": {"block": 4128},
    "one thread": {"threads": 1},
    "two threads": {"threads": 2},
    "after a kill": {},
}


def write_run(run: Path) -> None:
    """A run directory with a model as wide as the default one, so that its products are worth splitting over threads."""
    from tests.helpers.tiny_model import tiny_run

    tiny_run(run, units=256, cap=40)


def generate_once(run: Path, asked: dict[str, Any]) -> None:
    """Generate; with `kill_at`, end this process when so many shards have been written."""
    from linesmith.core.library_logging import quiet_libraries

    quiet_libraries()
    from linesmith.core.artifacts.params import config_from_model_dir
    from linesmith.model.generation import staging
    from linesmith.model.sampling import sampler as sampling
    from linesmith.pipelines.generate import stage

    plain_options, plain_describe = stage.sampler_options, staging.describe_shard
    plain_blocks = sampling._parallel_blocks_for
    stage.sampler_options = lambda *given: replace(plain_options(*given), block_rows=asked.get("block"))
    written = 0
    parallel_blocks: list[int] = []

    def describe_shard(*given: Any) -> Any:
        nonlocal written
        written += 1
        if written == asked.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        return plain_describe(*given)

    def parallel_blocks_for(threads: int) -> int:
        parallel_blocks.append(plain_blocks(threads))
        return parallel_blocks[-1]

    staging.describe_shard, sampling._parallel_blocks_for = describe_shard, parallel_blocks_for
    config = config_from_model_dir(run).replace(
        gen_lines=asked.get("records", RECORDS),
        unit_size=UNIT,
        columns=["a", "b", "c"],
        output_format=FORMATS,
        seed=asked.get("seed", 0),
        overwrite=True,
    )
    flags = {"workers": "--direct_num_workers", "threads": "--threads_per_worker"}
    report = stage.generate(config, [f"{flag}={asked[name]}" for name, flag in flags.items() if name in asked])
    if report.exit_code:
        raise SystemExit(f"generate ended with {report.exit_code}: {report.notices}")
    if "threads" in asked and parallel_blocks != [asked["threads"]]:
        raise SystemExit(f"blocks side by side were {parallel_blocks} instead of one per thread")


def shards(run: Path, asked: dict[str, Any]) -> dict[str, str]:
    """Digests of the shards that a run in a process of its own leaves, by unit and format."""
    child = [sys.executable, "-m", "tests.integration.same_bytes", "--run", str(run), "--asked", json.dumps(asked)]
    ended = subprocess.run(child, check=False).returncode
    expected = -signal.SIGKILL if "kill_at" in asked else 0
    if ended != expected:
        raise SystemExit(f"{asked}: the process ended with {ended} instead of {expected}")
    # The number of units stands in the name and differs with the number of records; what is compared is the content.
    return {
        f"{path.name.split('-of-')[0]}{path.suffix}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((run / "synthetic").glob("part-*"))
    }


def main(only: list[str]) -> int:
    faults = 0
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        write_run(run)
        first = shards(run, {})
        print(f"{len(first)} shards of {RECORDS:,} records", flush=True)
        for name in only:
            asked = SAME[name]
            if name == "after a kill":
                shards(run, {"seed": 9})  # what a kill leaves in the place of the new records
                shards(run, {"seed": 0, "kill_at": 7})
            found = shards(run, asked)
            # The last unit of fewer records is another unit, and a shard's sync marker knows how many units there are.
            names = [one for one in found if asked.get("records", RECORDS) == RECORDS or one.endswith("00.txt")]
            same = all(found[one] == first[one] for one in names) and len(names) > 0
            faults += not same
            print(f"{name}: {'the same' if same else 'OTHER'} ({len(names)} shards)", flush=True)
        other = shards(run, {"seed": 1})
        differ = not set(other.values()) & set(first.values())
        faults += not differ
        print(f"another seed: {'others' if differ else 'THE SAME'}", flush=True)
    print("failed" if faults else "passed")
    return faults


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--asked", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", choices=list(SAME), default=list(SAME), help="what to vary; default: all")
    given = parser.parse_args()
    if given.run is None:
        sys.exit(main(given.only))
    generate_once(given.run, given.asked)
