"""The records that every tool learns from, and those that none of them sees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
FILE = CHECKOUT.parent / "shared" / "data" / "uber_scooter_rides.csv"
COUNT = 5_000
_ONE_IN = 10


@dataclass(frozen=True)
class Records:
    """Two disjoint sets of lines.

    Attributes:
        source: where they come from.
        train: what a tool is given; it may set some of them aside for its own validation.
        heldout: what bits a character are measured on. None has a character that `train` lacks.
        fields: delimited fields of a whole record.
        delimiter: what stands between them.
    """

    source: str
    train: list[str]
    heldout: list[str]
    fields: int
    delimiter: str


def records(file: Path | None) -> Records:
    """The first 5,000 lines of a file, every tenth held out. None: the scooter rides, or where they are not, airports.

    Raises:
        FileNotFoundError: a file was named and is not there.
    """
    if file is None and FILE.is_file():
        file = FILE
    if file is None:
        from linesmith.cli.commands.demo import airport_lines

        return _split("airports", airport_lines(COUNT), "|")
    with open(file, encoding="utf-8") as lines:
        first = [line.rstrip("\n") for line, _ in zip(lines, range(COUNT), strict=False)]
    return _split(file.name, first, ", " if ", " in first[0] else ",")


def _split(source: str, lines: list[str], delimiter: str) -> Records:
    train = [line for number, line in enumerate(lines) if number % _ONE_IN != _ONE_IN - 1]
    known = set("".join(train))
    heldout = [line for line in lines[_ONE_IN - 1 :: _ONE_IN] if known.issuperset(line)]
    return Records(source, train, heldout, train[0].count(delimiter) + 1, delimiter)


def write_lines(path: Path, lines: list[str]) -> Path:
    """Write lines to a file, each with its newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path
