"""Find out for each text file of an evaluation whether its first line names the fields.

A line that is taken wrongly for a header costs a record per file, and one that is taken wrongly for a record counts as one. So a
header is only assumed where that is unambiguous, and the stage's report says so.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.manifest import MANIFEST, read_manifest
from linesmith.core.artifacts.shard_list import iter_shards
from linesmith.core.errors import DataError
from linesmith.records.fields import FIELD_BREAK

if TYPE_CHECKING:
    from linesmith.pipelines.evaluate.input_units import TextFormat
    from linesmith.records.input.input_files import InputFile

_SHOWN_ROWS = 1000  # records of a file whose values are compared with its first line
_MIN_ROWS = 5  # fewer say nothing about a column
_MIN_SHARE = 0.9  # of the records that have as many fields as the first line
# What people write for a missing value of a column of numbers: such a text in the first line makes no header of it.
_MISSING = {"", "-", "--", "?", ".", "na", "n/a", "nan", "nil", "none", "null", "unknown", "missing", "undefined"}


@dataclass(frozen=True)
class FirstLines:
    """Beginning of a text file.

    Attributes:
        name: name of the file in messages and in its units.
        names: fields of its first line; None where that cannot be read.
        rows: fields of some of the lines after it.
        columns: names of the fields by Linesmith's manifest, if it wrote the file; None: it did not.
        header: whether the first line is a header; None as long as that is not known.
    """

    name: str
    names: tuple[str, ...] | None
    rows: Sequence[tuple[str, ...]]
    columns: tuple[str, ...] | None = None
    header: bool | None = None


@dataclass
class TextSet:
    """Text files of one set.

    Attributes:
        option: name of the set on the command line, for notes.
        files: their beginnings.
        given: what the command line says about their headers; None: nothing.
        for_this_set: whether it says so of this set alone.
    """

    option: str
    files: list[FirstLines] = field(default_factory=list)
    given: bool | None = None
    for_this_set: bool = False


def read_first_lines(inputs: Iterable[InputFile], text_format: TextFormat) -> list[FirstLines]:
    """Read the beginnings of text files.

    Args:
        inputs: the files.
        text_format: how their lines become records.
    """
    from linesmith.records.input.input_ranges import FileRange
    from linesmith.transforms.read_records import RangeReader

    found = []
    settings = text_format.read_settings(header=True)
    for file in inputs:
        reader = RangeReader(FileRange(file, file.bom_length, None, limit=_SHOWN_ROWS), settings)
        texts = [text for batch in islice(reader.batches(), 1) for text in batch["text"].to_pylist()]
        names = None if reader.count.columns is None else tuple(reader.count.columns)
        rows = [tuple(text.split(FIELD_BREAK)) for text in texts]
        manifest = _manifest_of(file.path)
        if manifest is None:
            found.append(FirstLines(file.name, names, rows))
        else:
            columns = tuple(map(str, manifest.get("columns") or ()))
            found.append(FirstLines(file.name, names, rows, columns, bool(manifest.get("header", False))))
    return found


def decide_headers(
    sets: Sequence[TextSet], known: Collection[tuple[str, ...]]
) -> tuple[list[dict[str, bool]], list[str]]:
    """Decide for every file of every set whether its first line is a header.

    Args:
        sets: the sets of text files.
        known: names of the fields that other sets or manifests give.

    Returns:
        For each set, whether each of its files has a header, by name; and notes about what was found out.
    """
    decided = [[_given_or_evident(file, one) for file in one.files] for one in sets]
    files_of_all = _flat(decided)
    names = {*known, *(file.columns for file in files_of_all if file.columns is not None)}
    names |= {file.names for file in files_of_all if file.header and file.names is not None}
    names |= _shared_first_lines(decided)
    headers, notes = [], []
    for one, files in zip(sets, decided, strict=True):
        has_header = {f.name: f.header if f.header is not None else f.names in names for f in files}
        headers.append(has_header)
        found = sum(has_header[f.name] for f in files if one.given is None and f.columns is None)
        if one.given and not one.for_this_set and _differ(files, files_of_all):
            notes.append(
                f"--{one.option}: the first line is taken as a header, as --header says, and is not that of the other sets; "
                f"--no-{one.option}-header takes it as a record"
            )
        if found:
            lines = "the first line is" if found == 1 else f"the first lines of {found:,} files are"
            notes.append(f"--{one.option}: {lines} taken as a header; --no-{one.option}-header takes it as a record")
    return headers, notes


def _given_or_evident(file: FirstLines, one: TextSet) -> FirstLines:
    """Return the file with what is known of its header from the command line, its manifest, or its own values."""
    if one.for_this_set and one.given is not None:
        return replace(file, header=one.given)
    if file.header is not None:
        return file
    if one.given is not None:
        return replace(file, header=one.given)
    return replace(file, header=True) if _names_columns_of_numbers(file) else file


def _differ(files: Sequence[FirstLines], others: Sequence[FirstLines]) -> bool:
    """Return whether a file of a set, and none of the others, begins with a line of its own."""
    own, all_sets = (Counter(file.names for file in some) for some in (files, others))
    return len(others) > len(files) and any(all_sets[names] == count for names, count in own.items())


def _flat(files: Iterable[Iterable[FirstLines]]) -> list[FirstLines]:
    return [file for some in files for file in some]


def _names_columns_of_numbers(file: FirstLines) -> bool:
    """Return whether the first line looks like names, and all other values of a column are numbers or times."""
    if file.names is None or not _may_be_names(file.names) or len(file.rows) < _MIN_ROWS:
        return False
    rows = [row for row in file.rows if len(row) == len(file.names)]
    if len(rows) < _MIN_SHARE * len(file.rows):
        return False
    for position in range(len(file.names)):
        values = [row[position] for row in rows if row[position]]
        if len(values) >= _MIN_ROWS and all(map(_is_value, values)):
            return True
    return False


def _shared_first_lines(decided: Sequence[Sequence[FirstLines]]) -> set[tuple[str, ...]]:
    """Return first lines that look like names, are those of undecided files of two sets, and occur nowhere else."""
    counts = Counter(
        names
        for files in decided
        for names in {file.names for file in files if file.header is None and file.names is not None}
    )
    rows = {row for file in _flat(decided) for row in file.rows}
    return {names for names, sets in counts.items() if sets > 1 and _may_be_names(names) and names not in rows}


def _may_be_names(names: Sequence[str]) -> bool:
    distinct = len(set(names)) == len(names)
    return distinct and not any(name.strip().lower() in _MISSING or _is_value(name) for name in names)


def _is_value(text: str) -> bool:
    """Return whether a text is a number, a date or a time."""
    text = text.strip().strip('"')
    try:
        return math.isfinite(float(text))
    except ValueError:
        pass
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _manifest_of(path: str) -> Mapping[str, Any] | None:
    """Return the manifest of the generation that wrote a file; None for another file."""
    folder = os.path.dirname(os.path.abspath(path))
    if "=" in os.path.basename(folder):  # a partition is a directory below the manifest's
        folder = os.path.dirname(folder)
    if not os.path.isfile(os.path.join(folder, MANIFEST)):
        return None
    manifest, names = _listed_files(folder, os.stat(os.path.join(folder, MANIFEST)).st_mtime_ns)
    return manifest if Path(os.path.relpath(os.path.abspath(path), folder)).as_posix() in names else None


@lru_cache(maxsize=4)  # it is asked for every file of a folder
def _listed_files(folder: str, _written: int) -> tuple[Mapping[str, Any] | None, frozenset[str]]:
    """Return the manifest of generated records in a folder, and the files that it lists; none for another manifest."""
    try:
        manifest = read_manifest(folder)
        if manifest is None or manifest.get("stage") != "generate":
            return None, frozenset()
        return manifest, frozenset(name for name, _ in iter_shards(folder, manifest))
    except DataError:  # another program's, or a newer one's
        return None, frozenset()
