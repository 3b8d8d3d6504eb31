"""Measure how time and memory grow with the amount of work and with the workers: `make bench-scale`, up to 40 minutes.

    python -m benchmarks.scale [--lines 10000,100000,1000000,10000000] [--records 10000,100000,1000000] [--only NAME,NAME]

Every figure is of one stage in its own process (`scale_part.py`), on the demo's airports with numbers that make the lines
unique. Rates are marginal: the difference in work between two sizes divided by the difference in seconds, which excludes the
time of starting workers and building graphs. Prints a table, and writes benchmarks/results/scale.json after each measurement.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

CHECKOUT = Path(__file__).resolve().parent.parent
RESULTS = CHECKOUT / "benchmarks" / "results" / "scale.json"
LINES, RECORDS = (10**4, 10**5, 10**6, 10**7), (10**4, 10**5, 10**6)
ON_FLINK = 10**6, 10**5  # largest numbers of lines and of records on Flink
# Smallest sizes that keep all workers busy. A cluster starts a worker when there is work for it: below these sizes only one of
# two starts, and the start-up of the other would count as work of the next size.
ALL_AT_WORK = 10**5, 10**4
_TRAIN_SECONDS = 40
_LIMIT_SECONDS = 900


@dataclass(frozen=True)
class RunnerSetup:
    """Runner and workers of a stage.

    Attributes:
        name: name in the results.
        args: arguments for Beam.
        core: the only core that the process and its children use; None: all cores.
        flink: whether it needs the cluster.
    """

    name: str
    args: tuple[str, ...] = ()
    core: int | None = None
    flink: bool = False


@dataclass(frozen=True)
class Measurement:
    """Time and memory of one run of a stage. `size` is the number of lines or records."""

    stage: str
    runner: str
    size: int
    seconds: float
    peak_bytes_per_worker: int


def runner_setups(flink_args: list[str]) -> list[RunnerSetup]:
    """Return the setups: one worker on one core, one process on all cores, two workers, and Flink with 1, 2 and 4 tasks."""
    return [
        RunnerSetup("direct-1-core", core=0),
        RunnerSetup("direct-1"),
        RunnerSetup("direct-2", ("--workers", "2")),
        *(RunnerSetup(f"flink-{n}", (*flink_args, "--parallelism", str(n)), flink=True) for n in (1, 2, 4)),
    ]


def measure(stage: str, runner: RunnerSetup, size: int, settings: dict[str, object]) -> Measurement:
    """Run a stage once and measure it.

    Raises:
        RuntimeError: it failed; the message ends with its error output.
    """
    command = [sys.executable, "-m", "benchmarks.scale_part", stage, "--settings", json.dumps(settings), *runner.args]
    if runner.core is not None:
        command = ["taskset", "-c", str(runner.core), *command]
    process = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False)
    if process.returncode:
        raise RuntimeError(f"{stage} of {size} on {runner.name} failed: {process.stderr[-1500:]}")
    found = json.loads(process.stdout.splitlines()[-1])
    return Measurement(stage, runner.name, size, found["seconds"], found["peak_bytes_per_worker"])


def marginal_rate(
    runs: list[Measurement], stage: str, runner: str, largest: float = math.inf, smallest: int = 0
) -> float | None:
    """Return lines or records per second between the smallest and the largest size, or None if there is only one size.

    Example:
        >>> marginal_rate([Measurement("s", "p", 10, 5.0, 0), Measurement("s", "p", 110, 7.0, 0)], "s", "p")
        50.0
    """
    own = sorted(
        (run for run in runs if (run.stage, run.runner) == (stage, runner) and smallest <= run.size <= largest),
        key=lambda run: run.size,
    )
    if len(own) < 2 or own[-1].seconds <= own[0].seconds:
        return None
    return (own[-1].size - own[0].size) / (own[-1].seconds - own[0].seconds)


def exponent(runs: list[Measurement], stage: str, runner: str) -> float | None:
    """Return the slope of log seconds over log size; None for fewer than three sizes.

    The seconds of the smallest size are subtracted as start-up time.

    Example:
        >>> runs = [Measurement("s", "p", n, 3.0 + n / 100, 0) for n in (1, 100, 1000, 10000)]
        >>> round(exponent(runs, "s", "p"), 2)
        1.0
    """
    own = sorted((run for run in runs if (run.stage, run.runner) == (stage, runner)), key=lambda run: run.size)
    points = [
        (math.log(run.size - own[0].size), math.log(run.seconds - own[0].seconds))
        for run in own[1:]
        if run.seconds > own[0].seconds
    ]
    if len(points) < 2:
        return None
    mean_x, mean_y = (sum(column) / len(points) for column in zip(*points, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def ratios(runs: list[Measurement]) -> dict[str, float | None]:
    """Return the figures that have goals; None where a part was not run.

    `flink_vs_direct` is the time on Flink divided by the time on the direct runner, two workers each, at sizes that both ran
    and that keep all workers busy.
    """

    def over(numerator: float | None, denominator: float | None) -> float | None:
        return None if numerator is None or denominator is None else numerator / denominator

    found: dict[str, float | None] = {}
    for stage, most, least in zip(("tokenize", "generate"), ON_FLINK, ALL_AT_WORK, strict=True):
        two = marginal_rate(runs, stage, "direct-2", most)
        found[f"{stage}_flink_vs_direct"] = over(
            *(marginal_rate(runs, stage, runner, most, least) for runner in ("direct-2", "flink-2"))
        )
        found[f"{stage}_two_workers_vs_one"] = over(two, marginal_rate(runs, stage, "direct-1-core", most))
        rate = "lines" if stage == "tokenize" else "records"
        found[f"{stage}_{rate}_per_second"] = marginal_rate(runs, stage, "direct-2")
        found[f"{stage}_exponent"] = exponent(runs, stage, "direct-2")
    found["tokenize_bpe_lines_per_second"] = marginal_rate(runs, "tokenize-bpe", "direct-2")
    slower = [found[f"{stage}_flink_vs_direct"] for stage in ("tokenize", "generate")]
    found["flink_vs_direct"] = None if None in slower else max(value for value in slower if value is not None)
    gains = [found[f"{stage}_two_workers_vs_one"] for stage in ("tokenize", "generate")]
    found["two_workers_vs_one"] = None if None in gains else min(value for value in gains if value is not None)
    return found


class ScaleBenchmark:
    """All measurements, in order; each result is saved before the next measurement begins."""

    def __init__(self, work: Path, options: argparse.Namespace) -> None:
        self.work, self.options = work, options
        self.runs: list[Measurement] = []
        self.failed: list[str] = []
        if options.add and RESULTS.is_file():
            self.runs = [Measurement(**run) for run in json.loads(RESULTS.read_text("utf-8"))["runs"]]

    def run(self) -> None:
        """Train once, then tokenize and generate with every setup."""
        from tools.flink.cluster import Cluster

        cluster = Cluster(CHECKOUT / ".flink")
        selected = [setup for setup in runner_setups(cluster.beam_args) if setup.name in self.options.only]
        self._train()
        for flink in (False, True):
            setups = [setup for setup in selected if setup.flink == flink]
            if not setups:
                continue
            if flink:
                cluster.down()
                cluster.up()
            try:
                for runner in setups:
                    self._stages(runner)
            finally:
                if flink:
                    cluster.down()

    def _stages(self, runner: RunnerSetup) -> None:
        if runner.flink and self.options.lines:
            # The first job of a cluster also loads classes and starts Python workers: it is not compared with other sizes.
            self._keep("tokenize-first", runner, self.options.lines[0], self._tokenizing(self.options.lines[0]))
        for size in self.options.lines:
            if runner.name == "direct-2" or size <= ON_FLINK[0]:
                self._keep("tokenize", runner, size, self._tokenizing(size))
        if runner.name == "direct-2" and self.options.bpe:
            for size in [size for size in self.options.lines if 10**5 <= size <= ON_FLINK[0]]:
                self._keep("tokenize-bpe", runner, size, {**self._tokenizing(size), "vocab_size": 4000})
        for size in self.options.records:
            if runner.name == "direct-2" or size <= ON_FLINK[1]:
                self._keep("generate", runner, size, self._generating(size))

    def _keep(self, name: str, runner: RunnerSetup, size: int, settings: dict[str, object]) -> None:
        try:
            found = measure(name.partition("-")[0], runner, size, settings)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            self.failed.append(str(error)[:2000])
            return
        self.runs = [run for run in self.runs if (run.stage, run.runner, run.size) != (name, runner.name, size)]
        self.runs.append(Measurement(name, runner.name, size, found.seconds, found.peak_bytes_per_worker))
        print(f"{name} {runner.name} {size:,}: {found.seconds:.1f} s", flush=True)
        self.save()

    def save(self) -> None:
        body = {
            "when": time.strftime("%Y-%m-%d %H:%M"),
            "cores": os.cpu_count(),
            "runs": [asdict(run) for run in self.runs],
            "ratios": ratios(self.runs),
            "failed": self.failed,
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(body, indent=2) + "\n", "utf-8")

    def _tokenizing(self, size: int) -> dict[str, object]:
        shutil.rmtree(self.work / "tokenized", ignore_errors=True)
        return {**_COMMON, "input_data_path": str(self._lines(size)), "checkpoint_dir": str(self.work / "tokenized")}

    def _generating(self, size: int) -> dict[str, object]:
        return {**_COMMON, "checkpoint_dir": str(self.work / "model"), "gen_lines": size, "overwrite": True}

    def _train(self) -> None:
        if (self.work / "model" / "model" / "manifest.json").is_file() or not self.options.records:
            return
        settings = {**_COMMON, "input_data_path": str(self._lines(20_000)), "checkpoint_dir": str(self.work / "model")}
        measure("tokenize", RunnerSetup("direct-1"), 20_000, settings)
        measure(
            "train",
            RunnerSetup("direct-1"),
            20_000,
            {**settings, "max_training_time_seconds": self.options.train_seconds},
        )

    def _lines(self, size: int) -> Path:
        """Write a file of airports, repeated with the number of the repetition at the end; return its path."""
        from linesmith.cli.commands.demo import airport_lines

        path = self.work / f"lines-{size}.txt"
        if not path.is_file():
            found = airport_lines(min(size, 20_000))
            with open(path, "w", encoding="utf-8") as out:
                for number in range(size):
                    repetition, index = divmod(number, len(found))
                    out.write(f"{found[index]} {repetition}\n" if repetition else f"{found[index]}\n")
        return path


_COMMON: dict[str, object] = {"vocab_size": 0, "field_delimiter": "|", "report": False, "tensorboard": False}


def show(runs: list[Measurement]) -> None:
    """Print a table of all measurements, and the ratios."""
    console, table = Console(), Table("stage", "runner", "size", "seconds", "peak MB per worker")
    for run in runs:
        peak = f"{run.peak_bytes_per_worker / 1e6:,.0f}"
        table.add_row(run.stage, run.runner, f"{run.size:,}", f"{run.seconds:,.1f}", peak)
    console.print(table)
    for name, value in ratios(runs).items():
        console.print(f"{name}: {'not run' if value is None else f'{value:,.3g}' if value < 100 else f'{value:,.0f}'}")


def main() -> int:
    names = [setup.name for setup in runner_setups([])]
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--lines", type=_numbers, default=list(LINES))
    parser.add_argument("--records", type=_numbers, default=list(RECORDS))
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help=f"of {', '.join(names)}")
    parser.add_argument("--train-seconds", type=int, default=_TRAIN_SECONDS)
    parser.add_argument("--no-bpe", dest="bpe", action="store_false")
    parser.add_argument(
        "--add", action="store_true", help="keep the earlier figures except those that are measured again"
    )
    parser.add_argument("--work", default=None, help="working directory, which is kept; by default a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="linesmith-scale-") as scratch:
        work = Path(options.work or scratch)
        work.mkdir(parents=True, exist_ok=True)
        benchmark = ScaleBenchmark(work, options)
        benchmark.run()
    show(benchmark.runs)
    for failure in benchmark.failed:
        print(f"not run: {failure}", file=sys.stderr)
    return 1 if benchmark.failed else 0


def _numbers(text: str) -> list[int]:
    return [int(float(number)) for number in text.split(",") if number]


if __name__ == "__main__":
    sys.exit(main())
