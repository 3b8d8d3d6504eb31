"""Equal seeds give equal bytes, on real networks: `make test-generate`, about five minutes.

A wide, untrained network, a plain one, one that knows fields and has a discriminator, and the latter in float32, writes text,
JSON lines, Avro and Parquet several times, each time in a new process: with 1, 2 and 4 workers, blocks of 48 to 1,008 rows, one
and two threads, every instruction set of the processor, in NumPy, and after a kill -9 in the middle of a unit. Every shard must
be the same, byte for byte; another seed must give different shards.
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
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

from linesmith.model.sampling.native import instruction_sets

RECORDS = 3_000
UNIT = 512
FORMATS = ["text", "jsonl", "avro", "parquet"]
# Variations that must not change any byte.
SAME: dict[str, dict[str, Any]] = {
    "two workers": {"workers": 2},
    "four workers": {"workers": 4},
    "blocks of 48 rows": {"block": 48, "records": 600},  # slow: a few shards are enough
    "blocks of 240 rows": {"block": 240},
    "blocks of 1,008 rows": {"block": 1008},
    "one thread": {"threads": 1},
    "two threads": {"threads": 2},
    **{f"instructions {name}": {"steps": name} for name in instruction_sets()},
    "NumPy": {"steps": "reference", "records": 600},
    "after a kill": {},
}


def write_run(run: Path, fields: int) -> None:
    """Write a run directory with a model of the default width, wide enough to split its matrix products over threads."""
    from tests.helpers.tiny_model import tiny_run

    tiny_run(run, units=256, cap=40, fields=fields)
    if fields:
        _add_discriminator(run)


def _add_discriminator(run: Path) -> None:
    """Learn what tells the model's records from the half of them that has most digits."""
    from linesmith.core.artifacts.model_info import read_model_info, write_model_info
    from linesmith.model.discriminator.discriminator import save_discriminator
    from linesmith.model.discriminator.fitting import fit_discriminator
    from linesmith.model.sampling.sampler import DrawSettings, Sampler, SampleRequest
    from linesmith.records.fields import FieldFormat

    requests = deque(SampleRequest(index, 0) for index in range(16_000))
    samples = sorted(Sampler(run).stream(requests, DrawSettings(seed=5)), key=lambda one: one.request.index)
    texts = [one.text for one in samples if one.finish_reason == "newline"]
    real = sorted(texts, key=lambda text: sum(map(str.isdigit, text)) / len(text))[len(texts) // 2 :]
    found = fit_discriminator(real, texts, FieldFormat(", "), seed=1)
    digest = save_discriminator(run / "model", found)
    write_model_info(run / "model", replace(read_model_info(run), discriminator=digest))
    print(f"a discriminator that keeps {found.kept_share(10):.2f}", flush=True)


def generate_once(run: Path, variation: dict[str, Any]) -> None:
    """Generate in this process; with `kill_at`, kill it when that many shards have been written."""
    from linesmith.core.library_logging import quiet_libraries

    quiet_libraries()
    from linesmith.core.artifacts.params import config_from_model_dir
    from linesmith.model.discriminator import trees
    from linesmith.model.generation import staging
    from linesmith.model.sampling import sampler as sampling
    from linesmith.pipelines.generate import stage

    if variation.get("steps") == "reference":
        trees.score_trees = lambda *arguments: None  # type: ignore[assignment]
    plain_options, plain_describe = stage.sampler_options, staging.describe_shard
    plain_init = sampling.Sampler.__init__
    changes = {"block_rows": variation.get("block"), "steps": variation.get("steps")}
    stage.sampler_options = lambda *arguments: replace(plain_options(*arguments), **changes)
    written = 0
    parallel_blocks: list[int] = []

    def describe_shard(*arguments: Any) -> Any:
        nonlocal written
        written += 1
        if written == variation.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        return plain_describe(*arguments)

    def init(sampler: Any, *arguments: Any, **named: Any) -> None:
        plain_init(sampler, *arguments, **named)
        parallel_blocks.append(sampler.parallel_blocks)

    staging.describe_shard, sampling.Sampler.__init__ = describe_shard, init  # type: ignore[method-assign]
    config = config_from_model_dir(run).replace(
        gen_lines=variation.get("records", RECORDS),
        unit_size=UNIT,
        columns=["a", "b", "c"],
        matmul_precision=variation["precision"],
        output_format=FORMATS,
        seed=variation.get("seed", 0),
        overwrite=True,
    )
    flags = {"workers": "--direct_num_workers", "threads": "--threads_per_worker"}
    report = stage.generate(config, [f"{flag}={variation[name]}" for name, flag in flags.items() if name in variation])
    if report.exit_code:
        raise SystemExit(f"generate ended with {report.exit_code}: {report.notices}")
    if "threads" in variation and parallel_blocks != [variation["threads"]]:
        raise SystemExit(f"parallel blocks were {parallel_blocks} instead of one per thread")


def shards(run: Path, variation: dict[str, Any]) -> dict[str, str]:
    """Generate in a child process; return the digests of the shards, by unit and format."""
    child = [
        sys.executable,
        "-m",
        "tests.integration.same_bytes",
        "--run",
        str(run),
        "--variation",
        json.dumps(variation),
    ]
    ended = subprocess.run(child, check=False).returncode
    expected = -signal.SIGKILL if "kill_at" in variation else 0
    if ended != expected:
        raise SystemExit(f"{variation}: the process ended with {ended} instead of {expected}")
    # File names contain the number of units, which depends on the number of records; only the content is compared.
    return {
        f"{path.name.split('-of-')[0]}{path.suffix}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((run / "synthetic").glob("part-*"))
    }


def compare(only: list[str], fields: int, precision: str) -> int:
    """Compare the variations with each other; return how many differ.

    Args:
        only: names of variations.
        fields: how many the network knows; 0: a plain network.
        precision: of its products.
    """
    faults = 0
    kind = f"a network that knows {fields} fields" if fields else "a plain network"
    print(f"{kind}, precision {precision}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        write_run(run, fields)
        base = {"precision": precision}
        first = shards(run, base)
        print(f"{len(first)} shards of {RECORDS:,} records", flush=True)
        for name in only:
            variation = SAME[name]
            if name == "after a kill":
                shards(run, {**base, "seed": 9})  # other records, which the killed run replaces only in part
                shards(run, {**base, "seed": 0, "kill_at": 7})
            found = shards(run, {**base, **variation})
            # With fewer records, the last unit differs, and so do sync markers, which depend on the number of units.
            names = [name for name in found if variation.get("records", RECORDS) == RECORDS or name.endswith("00.txt")]
            same = all(found[name] == first[name] for name in names) and len(names) > 0
            faults += not same
            print(f"{name}: {'the same' if same else 'DIFFERENT'} ({len(names)} shards)", flush=True)
        other = shards(run, {**base, "seed": 1})
        differ = not set(other.values()) & set(first.values())
        faults += not differ
        print(f"another seed: {'different' if differ else 'THE SAME'}", flush=True)
    return faults


def main(only: list[str]) -> int:
    in_workers = [name for name in only if SAME[name].keys() & {"workers", "threads"}]
    faults = compare(only, 0, "auto") + compare(only, 3, "auto") + compare(in_workers, 3, "float32")
    print("failed" if faults else "passed")
    return faults


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--variation", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument(
        "--only", nargs="*", choices=list(SAME), default=list(SAME), help="variations to run; default: all"
    )
    options = parser.parse_args()
    if options.run is None:
        sys.exit(main(options.only))
    generate_once(options.run, options.variation)
