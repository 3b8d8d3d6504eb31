"""Cause faults on a real Flink cluster and check the outcome of each: `make test-faults`.

    python tests/integration/flink_faults.py [--only NAME,NAME] [--lines 400000] [--records 60000]

Each fault must end with the records of an undisturbed run, or with a clear failure after which the same command completes the
run. No output that is only partly written may look complete. The outcomes are printed as the table rows of
docs/reliability.md; the first column is the docstring of the fault's method.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from linesmith.core.errors import LinesmithError
from linesmith.pipelines.generate.stage import generate
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.pipelines.train.stage import train_model
from tests.helpers.flink_harness import (
    ROOT,
    command,
    config_of,
    count_of,
    data_digest,
    encoding_began,
    failures_of_jobs,
    looks_complete,
    records_of,
    run_when,
    unit_files,
    wait_until,
    write_airport_lines,
)
from tools.flink.cluster import Cluster


class Faults:
    """Undisturbed run that the others are compared with, and one method per fault.

    Args:
        cluster: a running cluster.
        directory: an empty directory.
        lines: number of input lines, enough that a fault happens in the middle of tokenize.
        records: number of records to generate, likewise.
    """

    def __init__(self, cluster: Cluster, directory: Path, lines: int, records: int) -> None:
        self.cluster, self.directory, self.records = cluster, directory, records
        self.source, self.large_source = directory / "lines.txt", directory / "large_source.txt"
        write_airport_lines(self.source, 2000)
        write_airport_lines(self.large_source, lines)
        self.run = directory / "run"
        self.config = config_of(self.source, self.run, gen_lines=records)
        tokenize(self.config)
        train_model(self.config)
        generate(self.config)
        self.expected = records_of(self.run)
        tokenize(config_of(self.large_source, directory / "tokens"))
        self.tokens = data_digest(directory / "tokens")

    def tokenize_loses_a_task_manager(self) -> str:
        """kill -9 of a TaskManager while shards of training data are written"""
        run, before = self.directory / "tokenized", failures_of_jobs()
        with run_when(lambda: encoding_began(run), lambda: self.cluster.kill("taskmanager-1")):
            tokenize(config_of(self.large_source, run), self.cluster.beam_args)
        self._heal()
        _require(failures_of_jobs() > before, "the job did not fail")
        _require(data_digest(run) == self.tokens, "other training data")
        return "the job starts again on the other TaskManager; same training data as undisturbed"

    def generate_loses_a_task_manager(self) -> str:
        """kill -9 of a TaskManager when some units are done"""
        before = failures_of_jobs()
        with run_when(lambda: unit_files(self.run) >= 2, lambda: self.cluster.kill("taskmanager-1")):
            self._generate()
        self._heal()
        _require(failures_of_jobs() > before, "the job did not fail")
        self._check_records()
        return "finished units are kept, the others run on the other TaskManager; same bytes as undisturbed"

    def driver_is_killed(self) -> str:
        """kill -9 of the command that submitted generate, and the same command at once"""
        shutil.rmtree(self.run / "synthetic")
        driver = self._generate_command()
        wait_until(lambda: unit_files(self.run) >= 2)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        _require(not looks_complete(self.run, "synthetic"), "an unfinished output looks complete")
        second_command = self._generate_command()  # the job of the first still runs on the cluster
        output, _ = second_command.communicate()
        _require(second_command.returncode == 0, output)
        self._check_records()
        return "no output that looks complete; the same command completes, same bytes; the old job's writes go nowhere"

    def driver_of_a_training_is_killed(self) -> str:
        """kill -9 of the command that submitted train, and the same command while the worker still trains"""
        run = self.directory / "trained"
        shutil.copytree(self.run / "training_data", run / "training_data")
        shutil.copytree(self.run / "tokenizer", run / "tokenizer")
        arguments = ["train", "--output", str(run), "--input", str(self.source), "--field-delimiter", "|"]
        arguments += ["--vocab-size", "0", "--rnn-units", "64", "--rnn-layers", "1", "--epochs", "4000"]
        # The second command must begin within the time, on a busy machine too.
        arguments += ["--no-early-stopping", "--max-training-time-seconds", "100"]
        driver = command(arguments, self.cluster)
        wait_until((run / "model_history.csv").is_file)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        second_command = command(arguments, self.cluster)
        output, _ = second_command.communicate()
        _require(second_command.returncode == 2 and "LS203" in output, f"a second training was let in: {output}")
        wait_until(lambda: looks_complete(run, "model"))
        return "refused with LS203 while the worker trains on; the worker then leaves a complete model"

    def cluster_is_restarted(self) -> str:
        """all of Flink stopped while units are generated, started again, and the same command"""
        shutil.rmtree(self.run / "synthetic")
        with run_when(lambda: unit_files(self.run) >= 2, self.cluster.down):
            output, _ = self._generate_command().communicate()
        _require("LS407" in output and "Traceback" not in output, f"no LS407 alone but: {output}")
        _require(not looks_complete(self.run, "synthetic"), "an unfinished output looks complete")
        self.cluster.up()
        self._generate()
        self._check_records()
        return "the command ends with LS407, no output that looks complete; repeated: same bytes"

    def disk_of_the_workers_is_full(self) -> str:
        """a run directory on a disk of 3 MiB, made larger after the failure"""
        small_disk = self.directory / "small_disk"
        with _small_disk(small_disk, "3m"):
            run = small_disk / "run"
            shutil.copytree(
                self.run, run, ignore=shutil.ignore_patterns("synthetic", "invalid", ".tmp", "training_data")
            )
            config = self.config.model_copy(update={"checkpoint_dir": str(run)})
            output = ""
            try:
                generate(config, self.cluster.beam_args)
            except LinesmithError as error:
                output = str(error)
            _require("LS209" in output, f"no LS209 but: {output or 'success'}")
            _require(not looks_complete(run, "synthetic"), "an unfinished output looks complete")
            subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
            generate(config, self.cluster.beam_args)
            _require(records_of(run) == self.expected, "other records")
        return "LS209 names the directory, nothing looks complete; with room, the same command gives the same bytes"

    def disk_is_full_in_tokenize(self) -> str:
        """a run directory on a disk of 3 MiB while shards of training data are written, made larger after the failure"""
        small_disk = self.directory / "small_too"
        with _small_disk(small_disk, "3m"):
            run, output = small_disk / "run", ""
            try:
                tokenize(config_of(self.large_source, run), self.cluster.beam_args)
            except LinesmithError as error:
                output = str(error)
            _require("LS209" in output, f"no LS209 but: {output or 'success'}")
            _require(not looks_complete(run, "training_data"), "unfinished training data look complete")
            subprocess.run(["mount", "-o", "remount,size=512m", str(small_disk)], check=True)
            tokenize(config_of(self.large_source, run), self.cluster.beam_args)
            _require(data_digest(run) == self.tokens, "other training data")
        return "LS209 names the directory, nothing looks complete; with room, the same command gives the same training data"

    def _generate(self) -> None:
        generate(self.config, self.cluster.beam_args)

    def _generate_command(self) -> subprocess.Popen:
        """Start the same generation in its own process."""
        arguments = ["generate", "--output", str(self.run), "--num-lines", str(self.records), "--unit-size", "512"]
        return command([*arguments, "--overwrite"], self.cluster)

    def _heal(self) -> None:
        """Start a TaskManager in place of the dead one."""
        self.cluster.start_task_manager(1)
        wait_until(lambda: self.cluster.overview()["taskmanagers"] == 2, 60)

    def _check_records(self) -> None:
        _require(count_of(self.run) == self.records, "another number of records")
        _require(records_of(self.run) == self.expected, "other records")


FAULTS: dict[str, Callable[[Faults], str]] = {
    name: function for name, function in vars(Faults).items() if callable(function) and not name.startswith("_")
}


@contextlib.contextmanager
def _small_disk(directory: Path, size: str) -> Iterator[None]:
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def _require(correct: bool, what: str) -> None:
    if not correct:
        raise AssertionError(what)


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--only", default=",".join(FAULTS), help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--lines", type=int, default=400_000)
    parser.add_argument("--records", type=int, default=60_000)
    parser.add_argument("--home", default=str(ROOT / ".flink"))
    options = parser.parse_args()
    cluster, failed = Cluster(options.home), 0
    cluster.down()
    cluster.up()
    try:
        with tempfile.TemporaryDirectory(prefix="linesmith-faults-") as directory:
            faults = Faults(cluster, Path(directory), options.lines, options.records)
            for name in options.only.split(","):
                start = time.monotonic()
                try:
                    outcome = FAULTS[name](faults)
                except (AssertionError, TimeoutError, LinesmithError) as error:
                    outcome, failed = f"**FAILED**: {error}", failed + 1
                print(f"| {FAULTS[name].__doc__} | {outcome} | {time.monotonic() - start:.0f} s |", flush=True)
    finally:
        cluster.down()
    print(f"faults: {len(options.only.split(',')) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
