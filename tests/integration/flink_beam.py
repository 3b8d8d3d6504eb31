"""Run foreign pipelines, written with public names alone, on a real Flink cluster on this machine: `make test-flink-beam`.

    python -m tests.integration.flink_beam [--minutes 10] [--only batch|streaming]

The first turns numbered seeds into Parquet, and its rows are those of the command. The second turns the ticks of a clock into
records in streaming mode while a TaskManager is killed; each record is there once, by its number, and is that of a batch. Without
Maven it prints so and exits with 0.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import apache_beam as beam
import pyarrow.parquet as pq

import linesmith
from linesmith.core.artifacts.files import atomic_path
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.generate.stage import generate
from tests.helpers.conditioned_run import conditioned_run
from tests.helpers.flink_harness import ROOT, failures_of_jobs, run_when, wait_until
from tools.flink.cluster import Cluster
from tools.flink.downloads import ClusterError

SEED = 3
INTERVAL, PER_TICK = 0.2, 4


def batch(cluster: Cluster, run: Path, folder: Path) -> str:
    """Generate a row for each seed on Flink and with the command; return what was found equal."""
    seeds = [f"{number % 50}," for number in range(3000)]
    (folder / "seeds.txt").write_text("\n".join(seeds) + "\n")
    with beam.Pipeline(options=linesmith.beam.pipeline_options(cluster.beam_args)) as pipeline:
        rows = pipeline | beam.Create(list(enumerate(seeds))) | linesmith.beam.GenerateRecords(run, seed=SEED)
        _ = rows | beam.io.WriteToParquet(str(folder / "rows"))
    config = TensorFlowConfig(
        checkpoint_dir=run,
        start_strings_file=str(folder / "seeds.txt"),
        output_format=["parquet"],
        seed=SEED,
        overwrite=True,
    )
    generate(config)
    made, expected = rows_of(folder.glob("rows*")), rows_of((run / "synthetic").glob("*.parquet"))
    assert len(expected) == len(seeds) and made == expected, (
        f"{len(made)} rows on Flink, {len(expected)} of the command"
    )
    return f"{len(made)} rows of seeds, equal to those of the command"


def streaming(cluster: Cluster, run: Path, folder: Path, minutes: float) -> str:
    """Generate records at the ticks of a clock while a TaskManager is killed; return what was found."""
    ticks = int(60 * minutes / INTERVAL)
    start = int(time.time()) + 20
    more = ["--streaming", "--checkpointing_interval", "5000", "--parallelism", "2", "--sdk_worker_parallelism", "1"]
    before = failures_of_jobs()
    seen = folder / "stream"
    seen.mkdir()
    count = ticks * PER_TICK
    pipeline = beam.Pipeline(options=linesmith.beam.pipeline_options([*cluster.beam_args, *more]))
    _ = (
        pipeline
        | linesmith.beam.Ticks(INTERVAL, start, start + ticks * INTERVAL, per_tick=PER_TICK)
        | linesmith.beam.GenerateRecords(run, seed=SEED, index_column="number")
        | beam.Map(keep_row, str(seen))
    )
    with run_when(lambda: kept(seen) >= count // 8, lambda: lose_task_manager(cluster), 60 * minutes + 600):
        job = pipeline.run()
        try:
            wait_until(lambda: kept(seen) >= count, 60 * minutes + 900)
        finally:
            job.cancel()  # with checkpoints, Flink keeps a stream open after its last tick
    failures = failures_of_jobs() - before
    assert failures >= 1, "the job did not fail"
    found = Counter(path.read_text() for path in seen.glob("*.json"))
    again = sum(map(len, (path.read_text() for path in seen.glob("*.times")))) - count
    with beam.Pipeline(options=linesmith.beam.pipeline_options([])) as pipeline:
        _ = (
            pipeline
            | linesmith.beam.GenerateRecords(run, records=count, seed=SEED, index_column="number")
            | beam.Map(row_text)
            | beam.io.WriteToText(str(folder / "batch"))
        )
    expected = Counter(line for path in folder.glob("batch*") for line in path.read_text().splitlines())
    lost, other = expected - found, found - expected
    assert not lost and not other, f"{sum(lost.values())} records lost, {sum(other.values())} double or others"
    return f"{count} records of {ticks} ticks, each once and that of a batch; {failures} failures of the job, {again} made again"


def kept(folder: Path) -> int:
    return len(list(folder.glob("*.json")))


def row_text(row) -> str:
    return json.dumps(row._asdict())


def keep_row(row, folder: str) -> None:
    """Write a row to a file of its number, which a repetition writes again; count how often."""
    with atomic_path(Path(folder, f"{row.number}.json")) as temporary:
        temporary.write_text(row_text(row))
    with open(Path(folder, f"{row.number}.times"), "a") as times:
        times.write(".")


def lose_task_manager(cluster: Cluster) -> None:
    """Kill a TaskManager, and start another a little later."""
    cluster.kill("taskmanager-1")
    time.sleep(5)
    cluster.start_task_manager(1)
    wait_until(lambda: cluster.overview()["taskmanagers"] == 2, 120)


def rows_of(files) -> list[str]:
    return sorted(json.dumps(row) for path in files for row in pq.read_table(path).to_pylist())


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="of the stream")
    parser.add_argument("--only", choices=("batch", "streaming"))
    parser.add_argument("--home", default=str(ROOT / ".flink"), help="folder of the cluster's jars and logs")
    options = parser.parse_args()
    if shutil.which("mvn") is None:
        print("skipped: Flink's jars are fetched by Maven (mvn), which is not installed here")
        return 0
    cluster, passed = Cluster(options.home, streams=True), 0
    cluster.down()
    try:
        cluster.up()
    except ClusterError as error:
        print(f"the cluster did not start: {error}", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="linesmith-flink-") as name:
            folder = Path(name)
            run = conditioned_run(folder / "run")
            for check in (batch, streaming):
                if options.only not in (None, check.__name__):
                    continue
                begun = time.monotonic()
                more = (options.minutes,) if check is streaming else ()
                done = check(cluster, run, folder, *more)
                print(f"ok   {time.monotonic() - begun:6.1f} s  {check.__name__}: {done}", flush=True)
                passed += 1
    finally:
        cluster.down()
    print(f"flink: {passed} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
