"""Faults on a real Flink cluster: what is killed, filled or stopped, and what comes of it. `make test-faults`.

    python tests/integration/flink_faults.py [--only NAME,NAME] [--lines 400000] [--records 60000]

Each fault must end with the records of an undisturbed run, or with a clear failure that the same command, given again,
completes; and nothing that is half written may look whole. The outcomes are printed as the rows of docs/reliability.md.
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
from linesmith.pipelines.train.stage import train
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
    until,
    write_airport_lines,
)
from tools.flink.cluster import Cluster


class Faults:
    """The undisturbed run that every other is compared with, and the faults.

    Args:
        cluster: is up.
        place: an empty directory.
        lines, records: enough work to be disturbed in the middle of it.
    """

    def __init__(self, cluster: Cluster, place: Path, lines: int, records: int) -> None:
        self.cluster, self.place, self.records = cluster, place, records
        self.source, self.many = place / "lines.txt", place / "many.txt"
        write_airport_lines(self.source, 2000)
        write_airport_lines(self.many, lines)
        self.run = place / "run"
        self.config = config_of(self.source, self.run, gen_lines=records)
        tokenize(self.config)
        train(self.config)
        generate(self.config)
        self.wanted = records_of(self.run)
        tokenize(config_of(self.many, place / "tokens"))
        self.tokens = data_digest(place / "tokens")

    def tokenize_loses_a_task_manager(self) -> str:
        """kill -9 of a TaskManager while shards of training data are written"""
        run, before = self.place / "tokenized", failures_of_jobs()
        with run_when(lambda: encoding_began(run), lambda: self.cluster.kill("taskmanager-1")):
            tokenize(config_of(self.many, run), self.cluster.beam_args)
        self._heal()
        _must(failures_of_jobs() > before, "the job did not fail")
        _must(data_digest(run) == self.tokens, "other training data")
        return "the job starts again on the other TaskManager; same training data as undisturbed"

    def generate_loses_a_task_manager(self) -> str:
        """kill -9 of a TaskManager when some units are done"""
        before = failures_of_jobs()
        with run_when(lambda: unit_files(self.run) >= 2, lambda: self.cluster.kill("taskmanager-1")):
            self._generate()
        self._heal()
        _must(failures_of_jobs() > before, "the job did not fail")
        self._same()
        return "finished units are kept, the others run on the other TaskManager; same bytes as undisturbed"

    def driver_is_killed(self) -> str:
        """kill -9 of the command that submitted generate, and the same command at once"""
        shutil.rmtree(self.run / "synthetic")
        driver = self._generate_command()
        until(lambda: unit_files(self.run) >= 2)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        _must(not looks_complete(self.run, "synthetic"), "an unfinished output looks whole")
        again = self._generate_command()  # the job of the first still runs on the cluster
        said, _ = again.communicate()
        _must(again.returncode == 0, said)
        self._same()
        return "no output that looks whole; the same command completes, same bytes; the old job's writes go nowhere"

    def driver_of_a_training_is_killed(self) -> str:
        """kill -9 of the command that submitted train, and the same command while the worker still trains"""
        run = self.place / "trained"
        shutil.copytree(self.run / "training_data", run / "training_data")
        shutil.copytree(self.run / "tokenizer", run / "tokenizer")
        words = ["train", "--output", str(run), "--input", str(self.source), "--field-delimiter", "|"]
        words += ["--vocab-size", "0", "--rnn-units", "64", "--rnn-layers", "1", "--epochs", "4000"]
        # The second command must begin within the time, on a busy machine too.
        words += ["--no-early-stopping", "--max-training-time-seconds", "100"]
        driver = command(words, self.cluster)
        until((run / "model_history.csv").is_file)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        again = command(words, self.cluster)
        said, _ = again.communicate()
        _must(again.returncode == 2 and "LS203" in said, f"a second training was let in: {said}")
        until(lambda: looks_complete(run, "model"))
        return "refused with LS203 while the worker trains on; the worker then leaves a whole model"

    def cluster_is_restarted(self) -> str:
        """all of Flink stopped while units are generated, started again, and the same command"""
        shutil.rmtree(self.run / "synthetic")
        with run_when(lambda: unit_files(self.run) >= 2, self.cluster.down):
            said, _ = self._generate_command().communicate()
        _must("LS407" in said and "Traceback" not in said, f"no LS407 alone but: {said}")
        _must(not looks_complete(self.run, "synthetic"), "an unfinished output looks whole")
        self.cluster.up()
        self._generate()
        self._same()
        return "the command ends with LS407, no output that looks whole; again: same bytes"

    def disk_of_the_workers_is_full(self) -> str:
        """a run directory on a disk of 3 MiB, made larger after the failure"""
        small = self.place / "small"
        with _small_disk(small, "3m"):
            run = small / "run"
            shutil.copytree(
                self.run, run, ignore=shutil.ignore_patterns("synthetic", "invalid", ".tmp", "training_data")
            )
            config = self.config.model_copy(update={"checkpoint_dir": str(run)})
            said = ""
            try:
                generate(config, self.cluster.beam_args)
            except LinesmithError as error:
                said = str(error)
            _must("LS209" in said, f"no LS209 but: {said or 'success'}")
            _must(not looks_complete(run, "synthetic"), "an unfinished output looks whole")
            subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
            generate(config, self.cluster.beam_args)
            _must(records_of(run) == self.wanted, "other records")
        return "LS209 names the directory, nothing looks whole; with room, the same command gives the same bytes"

    def disk_is_full_in_tokenize(self) -> str:
        """a run directory on a disk of 3 MiB while shards of training data are written, made larger after the failure"""
        small = self.place / "small_too"
        with _small_disk(small, "3m"):
            run, said = small / "run", ""
            try:
                tokenize(config_of(self.many, run), self.cluster.beam_args)
            except LinesmithError as error:
                said = str(error)
            _must("LS209" in said, f"no LS209 but: {said or 'success'}")
            _must(not looks_complete(run, "training_data"), "unfinished training data look whole")
            subprocess.run(["mount", "-o", "remount,size=512m", str(small)], check=True)
            tokenize(config_of(self.many, run), self.cluster.beam_args)
            _must(data_digest(run) == self.tokens, "other training data")
        return (
            "LS209 names the directory, nothing looks whole; with room, the same command gives the same training data"
        )

    def _generate(self) -> None:
        generate(self.config, self.cluster.beam_args)

    def _generate_command(self) -> subprocess.Popen:
        """The same as a process of its own."""
        words = ["generate", "--output", str(self.run), "--num-lines", str(self.records), "--unit-size", "512"]
        return command([*words, "--overwrite"], self.cluster)

    def _heal(self) -> None:
        """A new TaskManager in the place of the dead one."""
        self.cluster.start_task_manager(1)
        until(lambda: self.cluster.overview()["taskmanagers"] == 2, 60)

    def _same(self) -> None:
        _must(count_of(self.run) == self.records, "another number of records")
        _must(records_of(self.run) == self.wanted, "other records")


FAULTS: dict[str, Callable[[Faults], str]] = {
    name: function for name, function in vars(Faults).items() if callable(function) and not name.startswith("_")
}


@contextlib.contextmanager
def _small_disk(place: Path, size: str) -> Iterator[None]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _must(correct: bool, what: str) -> None:
    if not correct:
        raise AssertionError(what)


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--only", default=",".join(FAULTS), help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--lines", type=int, default=400_000)
    parser.add_argument("--records", type=int, default=60_000)
    parser.add_argument("--home", default=str(ROOT / ".flink"))
    given = parser.parse_args()
    cluster, failed = Cluster(given.home), 0
    cluster.down()
    cluster.up()
    try:
        with tempfile.TemporaryDirectory(prefix="linesmith-faults-") as place:
            faults = Faults(cluster, Path(place), given.lines, given.records)
            for name in given.only.split(","):
                begun = time.monotonic()
                try:
                    outcome = FAULTS[name](faults)
                except (AssertionError, TimeoutError, LinesmithError) as error:
                    outcome, failed = f"**FAILED**: {error}", failed + 1
                print(f"| {FAULTS[name].__doc__} | {outcome} | {time.monotonic() - begun:.0f} s |", flush=True)
    finally:
        cluster.down()
    print(f"faults: {len(given.only.split(',')) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
