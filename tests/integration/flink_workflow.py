"""Run every stage on a real Flink cluster on this machine, which this script starts and stops: `make test-flink`.

    python tests/integration/flink_workflow.py [--lines 2000] [--records 4000]

It runs tokenize, train, generate and evaluate on real lines and checks the exact counts, that the training data is equal to the
direct runner's, that the model is trained on a worker, and that the records are equal, byte for byte, to the direct runner's,
although a TaskManager is killed while they are generated. All the while it watches where the cluster, the workers and the driver
listen: on the loopback only. It takes minutes. Without Maven it prints so and exits with 0.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.evaluate.stage import EvaluationSettings, evaluate_run
from linesmith.pipelines.generate.stage import generate
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.pipelines.train.stage import train_model
from tests.helpers.flink_harness import (
    ROOT,
    config_of,
    count_of,
    data_digest,
    failures_of_jobs,
    records_of,
    run_when,
    unit_files,
    write_airport_lines,
)
from tests.helpers.listening_sockets import beyond_loopback, watch_sockets
from tools.flink.cluster import Cluster
from tools.flink.downloads import ClusterError


class Steps:
    """Printer of the finished steps and of the time that each took."""

    def __init__(self) -> None:
        self.passed = 0
        self._since = time.monotonic()

    def done(self, step: str, correct: bool = True) -> None:
        """Print a step; exit with 1 if its check failed."""
        now = time.monotonic()
        print(f"{'ok  ' if correct else 'FAIL'} {now - self._since:6.1f} s  {step}", flush=True)
        self._since = now
        if not correct:
            raise SystemExit(1)
        self.passed += 1


def check(cluster: Cluster, directory: Path, lines: int, records: int) -> int:
    """Run all stages; return the number of checks that passed."""
    steps = Steps()
    source = directory / "lines.txt"
    write_airport_lines(source, lines)
    config = config_of(source, directory / "run", gen_lines=records)
    tokenize(config_of(source, directory / "direct"))
    steps.done(f"{lines} lines tokenized by the direct runner")
    tokenize(config, cluster.beam_args)
    counts = (read_manifest(directory / "run" / "training_data") or {})["counts"]
    split = sum(part["records"] for part in counts["splits"].values())
    steps.done(f"tokenize on Flink: {counts['lines']} lines, {split} records", counts["lines"] == split == lines)
    same = data_digest(directory / "run") == data_digest(directory / "direct")
    steps.done("its training data is equal to the direct runner's", same)
    report = train_model(config, cluster.beam_args)
    steps.done(f"train on a worker: {report.counts['steps']} steps", (directory / "run/model/manifest.json").is_file())
    generate(config)
    expected = records_of(directory / "run")
    steps.done(f"{count_of(directory / 'run')} records by the direct runner", count_of(directory / "run") == records)
    _generate_through_a_failure(cluster, config, directory / "run", expected, steps)
    evaluate_run(config, cluster.beam_args, EvaluationSettings(overwrite=True))
    steps.done("evaluate on Flink", (directory / "run/report/index.html").stat().st_size > 10_000)
    return steps.passed


def _generate_through_a_failure(
    cluster: Cluster, config: TensorFlowConfig, run: Path, expected: dict[str, str], steps: Steps
) -> None:
    """Generate on Flink while the second TaskManager is killed after one unit; its work must be repeated."""
    shutil.rmtree(run / "synthetic")
    before = failures_of_jobs()
    with run_when(lambda: unit_files(run) >= 1, lambda: cluster.kill("taskmanager-1")):
        generate(config, cluster.beam_args)
    failures = failures_of_jobs() - before
    steps.done(
        f"generate on Flink went on after a TaskManager was killed ({failures} failures of the job)", failures >= 1
    )
    steps.done(f"exactly {count_of(run)} records", count_of(run) == config.gen_lines)
    steps.done("every shard is equal to the direct runner's, byte for byte", records_of(run) == expected)


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--home", default=str(ROOT / ".flink"), help="folder of the cluster's jars and logs")
    options = parser.parse_args()
    if shutil.which("mvn") is None:
        print(
            "skipped: Flink's jars are fetched by Maven (mvn), which is not installed here\n0 passed, 0 failed, 1 skipped"
        )
        return 0
    cluster = Cluster(options.home)
    cluster.down()
    start = time.monotonic()
    try:
        cluster.up()
    except ClusterError as error:
        print(f"the cluster did not start: {error}", file=sys.stderr)
        return 1
    print(f"     {time.monotonic() - start:6.1f} s  cluster is up", flush=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="linesmith-flink-") as directory,
            watch_sockets(os.getpid(), *cluster.running().values()) as listening,
        ):
            passed = check(cluster, Path(directory), options.lines, options.records)
        outside = beyond_loopback(listening)
        print(
            f"{'FAIL' if outside else 'ok  '}           {len(listening)} addresses listened, outside the loopback: {outside}"
        )
        if outside or len(listening) < 20:
            return 1
    finally:
        cluster.down()
    print(f"flink: {passed + 1} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
