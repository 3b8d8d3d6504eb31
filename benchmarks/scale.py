"""How time and memory grow with the work, and with the workers: `make bench-scale`, up to 40 minutes.

    python -m benchmarks.scale [--lines 10000,100000,1000000,10000000] [--records 10000,100000,1000000] [--only NAME,NAME]

Every figure is of one stage in a process of its own (`scale_part.py`), on the demo's airports, each line with a number of its
own. Rates are marginal: the difference in work between two sizes over the difference in seconds, so that starting workers and
building graphs stand apart. Prints a table, and writes benchmarks/results/scale.json after each measurement.
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
ON_FLINK = 10**6, 10**5  # most lines and records there
# A cluster starts a worker when it has work: below this, one of two, whose start-up then looks like work at the next size.
ALL_AT_WORK = 10**5, 10**4
_TRAIN_SECONDS = 40
_LIMIT_SECONDS = 900


@dataclass(frozen=True)
class Place:
    """Where a stage runs.

    Attributes:
        name: as the results call it.
        args: Beam's arguments.
        core: the process and all it starts stay on this core; None: on all.
        flink: needs the cluster.
    """

    name: str
    args: tuple[str, ...] = ()
    core: int | None = None
    flink: bool = False


@dataclass(frozen=True)
class Measured:
    """One run of a stage. `size` is lines or records."""

    stage: str
    place: str
    size: int
    seconds: float
    peak_bytes_a_worker: int


def places(flink_args: list[str]) -> list[Place]:
    """One worker on one core, two workers on two, one process that may use both, and Flink with 1, 2 and 4 tasks."""
    return [
        Place("direct-1-core", core=0),
        Place("direct-1"),
        Place("direct-2", ("--workers", "2")),
        *(Place(f"flink-{n}", (*flink_args, "--parallelism", str(n)), flink=True) for n in (1, 2, 4)),
    ]


def measure(stage: str, place: Place, size: int, settings: dict[str, object]) -> Measured:
    """Run a stage once.

    Raises:
        RuntimeError: it failed; the message ends with what it said.
    """
    words = [sys.executable, "-m", "benchmarks.scale_part", stage, "--settings", json.dumps(settings), *place.args]
    if place.core is not None:
        words = ["taskset", "-c", str(place.core), *words]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{stage} of {size} on {place.name} failed: {done.stderr[-1500:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Measured(stage, place.name, size, found["seconds"], found["peak_bytes_a_worker"])


def marginal_rate(
    runs: list[Measured], stage: str, place: str, largest: float = math.inf, smallest: int = 0
) -> float | None:
    """Lines or records a second between the smallest and the largest size, or None where there is one size only.

    Example:
        >>> marginal_rate([Measured("s", "p", 10, 5.0, 0), Measured("s", "p", 110, 7.0, 0)], "s", "p")
        50.0
    """
    own = sorted(
        (run for run in runs if (run.stage, run.place) == (stage, place) and smallest <= run.size <= largest),
        key=lambda run: run.size,
    )
    if len(own) < 2 or own[-1].seconds <= own[0].seconds:
        return None
    return (own[-1].size - own[0].size) / (own[-1].seconds - own[0].seconds)


def exponent(runs: list[Measured], stage: str, place: str) -> float | None:
    """Slope of log seconds over log size, the seconds of the smallest size taken off as start-up; None below three sizes.

    Example:
        >>> runs = [Measured("s", "p", n, 3.0 + n / 100, 0) for n in (1, 100, 1000, 10000)]
        >>> round(exponent(runs, "s", "p"), 2)
        1.0
    """
    own = sorted((run for run in runs if (run.stage, run.place) == (stage, place)), key=lambda run: run.size)
    points = [
        (math.log(run.size - own[0].size), math.log(run.seconds - own[0].seconds))
        for run in own[1:]
        if run.seconds > own[0].seconds
    ]
    if len(points) < 2:
        return None
    mean_x, mean_y = (sum(column) / len(points) for column in zip(*points, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def ratios(runs: list[Measured]) -> dict[str, float | None]:
    """The figures that the goals are about; None where a part was not run.

    `flink_vs_direct` is time on Flink over time on the direct runner, two workers each, at sizes that both ran and at which all
    workers have work.
    """

    def over(above: float | None, below: float | None) -> float | None:
        return None if above is None or below is None else above / below

    found: dict[str, float | None] = {}
    for stage, most, least in zip(("tokenize", "generate"), ON_FLINK, ALL_AT_WORK, strict=True):
        two = marginal_rate(runs, stage, "direct-2", most)
        found[f"{stage}_flink_vs_direct"] = over(
            *(marginal_rate(runs, stage, place, most, least) for place in ("direct-2", "flink-2"))
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


class Plan:
    """What is run, in order; each result is kept before the next begins."""

    def __init__(self, work: Path, given: argparse.Namespace) -> None:
        self.work, self.given = work, given
        self.runs: list[Measured] = []
        self.failed: list[str] = []
        if given.add and RESULTS.is_file():
            self.runs = [Measured(**run) for run in json.loads(RESULTS.read_text("utf-8"))["runs"]]

    def run(self) -> None:
        """Tokenize on every place, train once, generate on every place."""
        from tools.flink.cluster import Cluster

        cluster = Cluster(CHECKOUT / ".flink")
        everywhere = [one for one in places(cluster.beam_args) if one.name in self.given.only]
        self._train()
        for flink in (False, True):
            here = [one for one in everywhere if one.flink == flink]
            if not here:
                continue
            if flink:
                cluster.down()
                cluster.up()
            try:
                for place in here:
                    self._stages(place)
            finally:
                if flink:
                    cluster.down()

    def _stages(self, place: Place) -> None:
        if place.flink and self.given.lines:
            # The first job of a cluster loads classes and starts Python's workers: not what a size is compared by.
            self._keep("tokenize-first", place, self.given.lines[0], self._tokenizing(self.given.lines[0]))
        for size in self.given.lines:
            if place.name == "direct-2" or size <= ON_FLINK[0]:
                self._keep("tokenize", place, size, self._tokenizing(size))
        if place.name == "direct-2" and self.given.bpe:
            for size in [size for size in self.given.lines if 10**5 <= size <= ON_FLINK[0]]:
                self._keep("tokenize-bpe", place, size, {**self._tokenizing(size), "vocab_size": 4000})
        for size in self.given.records:
            if place.name == "direct-2" or size <= ON_FLINK[1]:
                self._keep("generate", place, size, self._generating(size))

    def _keep(self, name: str, place: Place, size: int, settings: dict[str, object]) -> None:
        try:
            found = measure(name.partition("-")[0], place, size, settings)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            self.failed.append(str(error)[:2000])
            return
        self.runs = [run for run in self.runs if (run.stage, run.place, run.size) != (name, place.name, size)]
        self.runs.append(Measured(name, place.name, size, found.seconds, found.peak_bytes_a_worker))
        print(f"{name} {place.name} {size:,}: {found.seconds:.1f} s", flush=True)
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
        if (self.work / "model" / "model" / "manifest.json").is_file() or not self.given.records:
            return
        here = {**_COMMON, "input_data_path": str(self._lines(20_000)), "checkpoint_dir": str(self.work / "model")}
        measure("tokenize", Place("direct-1"), 20_000, here)
        measure("train", Place("direct-1"), 20_000, {**here, "max_training_time_seconds": self.given.train_seconds})

    def _lines(self, size: int) -> Path:
        """The airports, over and over, each again with a number of its own."""
        from linesmith.cli.commands.demo import airport_lines

        path = self.work / f"lines-{size}.txt"
        if not path.is_file():
            found = airport_lines(min(size, 20_000))
            with open(path, "w", encoding="utf-8") as out:
                for number in range(size):
                    again, place = divmod(number, len(found))
                    out.write(f"{found[place]} {again}\n" if again else f"{found[place]}\n")
        return path


_COMMON: dict[str, object] = {"vocab_size": 0, "field_delimiter": "|", "report": False, "tensorboard": False}


def show(runs: list[Measured]) -> None:
    """A table of everything, and the ratios."""
    console, table = Console(), Table("stage", "where", "size", "seconds", "MB a worker, at most")
    for run in runs:
        peak = f"{run.peak_bytes_a_worker / 1e6:,.0f}"
        table.add_row(run.stage, run.place, f"{run.size:,}", f"{run.seconds:,.1f}", peak)
    console.print(table)
    for name, value in ratios(runs).items():
        console.print(f"{name}: {'not run' if value is None else f'{value:,.3g}' if value < 100 else f'{value:,.0f}'}")


def main() -> int:
    names = [one.name for one in places([])]
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--lines", type=_numbers, default=list(LINES))
    parser.add_argument("--records", type=_numbers, default=list(RECORDS))
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help=f"of {', '.join(names)}")
    parser.add_argument("--train-seconds", type=int, default=_TRAIN_SECONDS)
    parser.add_argument("--no-bpe", dest="bpe", action="store_false")
    parser.add_argument(
        "--add", action="store_true", help="keep the figures that are there, but for those measured again"
    )
    parser.add_argument("--work", default=None, help="a directory to work in and keep; by default one that is deleted")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="linesmith-scale-") as scratch:
        work = Path(given.work or scratch)
        work.mkdir(parents=True, exist_ok=True)
        plan = Plan(work, given)
        plan.run()
    show(plan.runs)
    for failure in plan.failed:
        print(f"not run: {failure}", file=sys.stderr)
    return 1 if plan.failed else 0


def _numbers(text: str) -> list[int]:
    return [int(float(number)) for number in text.split(",") if number]


if __name__ == "__main__":
    sys.exit(main())
