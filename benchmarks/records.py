"""Load the records that every tool is trained on, and the held-out records that none of them sees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DEFAULT_FILE = CHECKOUT.parent / "shared" / "data" / "uber_scooter_rides.csv"
MAX_RECORDS = 5_000
_HELDOUT_EVERY = 10


@dataclass(frozen=True)
class Records:
    """Two disjoint sets of lines.

    Attributes:
        source: name of their file, or `airports`.
        train: records that a tool is trained on; it may use some of them for its own validation.
        heldout: records for which bits per character are measured. None has a character that `train` lacks.
        fields: number of fields of a complete record.
        delimiter: string between two fields.
    """

    source: str
    train: list[str]
    heldout: list[str]
    fields: int
    delimiter: str


def load_records(file: Path | None) -> Records:
    """Return the first 5,000 lines of a file, every tenth held out. None: the scooter rides, or airports if they are missing.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    if file is None and DEFAULT_FILE.is_file():
        file = DEFAULT_FILE
    if file is None:
        from linesmith.cli.commands.demo import airport_lines

        return _split("airports", airport_lines(MAX_RECORDS), "|")
    with open(file, encoding="utf-8") as lines:
        first = [line.rstrip("\n") for line, _ in zip(lines, range(MAX_RECORDS), strict=False)]
    return _split(file.name, first, ", " if ", " in first[0] else ",")


def _split(source: str, lines: list[str], delimiter: str) -> Records:
    train = [line for number, line in enumerate(lines) if number % _HELDOUT_EVERY != _HELDOUT_EVERY - 1]
    known = set("".join(train))
    heldout = [line for line in lines[_HELDOUT_EVERY - 1 :: _HELDOUT_EVERY] if known.issuperset(line)]
    return Records(source, train, heldout, train[0].count(delimiter) + 1, delimiter)


def write_lines(path: Path, lines: list[str]) -> Path:
    """Write lines to a file, each followed by a newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path
