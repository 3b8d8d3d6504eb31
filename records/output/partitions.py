"""Hive-style partitions: the records with one value of a field are in a directory of their own, `country=CR/`.

No two values share a directory, also on a file system that takes `A` and `a` for one name: capitals are written there as `%41`,
which every reader of Hive partitions understands.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from linesmith.core.errors import DataError, ParameterError
from linesmith.records.output.layout import GeneratedRecord, RecordLayout

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
MAX_VALUE_BYTES = 200  # in the name of a directory
_MAX_NAME_BYTES = 255  # of a directory, in most file systems
_MIN_VALUE_BYTES = 64  # a column whose name leaves less than this for its values is refused
MAX_PARTITIONS = 4096  # in one shard
_MAX_HELD = 200_000  # records in memory at a time


def encode_partition_value(text: str, ignores_case: bool = False) -> str:
    """Return the text of a field in the form that the name of a directory holds.

    Args:
        text: the field.
        ignores_case: the file system takes capitals and small letters for the same.

    Example:
        >>> encode_partition_value("a/b c"), encode_partition_value("")
        ('a%2Fb%20c', '__HIVE_DEFAULT_PARTITION__')
        >>> encode_partition_value("__HIVE_DEFAULT_PARTITION__"), encode_partition_value("Rome", ignores_case=True)
        ('%5F_HIVE_DEFAULT_PARTITION__', '%52ome')
    """
    if not text:
        return NULL_PARTITION
    encoded = quote(text, safe="")
    if ignores_case:
        # Escapes stay as they are: their digits are capitals in every name, so two names differ beyond case.
        encoded = re.sub(
            r"%..|[A-Z]", lambda found: found[0] if len(found[0]) > 1 else f"%{ord(found[0]):02X}", encoded
        )
    # The text of this name is not the missing value that the name stands for.
    return f"%5F{encoded[1:]}" if encoded == NULL_PARTITION else encoded


def max_partition_value_bytes(column: str) -> int:
    """Return the most bytes that the encoded value of a column may have in the name of a directory."""
    return min(MAX_VALUE_BYTES, _MAX_NAME_BYTES - len(quote(column, safe="")) - 1)


def check_partition_column(column: str) -> None:
    """Refuse a column whose name leaves no room for its values in the name of a directory.

    Raises:
        ParameterError: LS134.
    """
    if max_partition_value_bytes(column) < _MIN_VALUE_BYTES:
        raise ParameterError(
            "LS134",
            f"--partition-by (partition_by) '{column}'",
            "the name is too long for names of directories, which hold it and a value",
            "Give the columns shorter names with --columns, or choose another one.",
        )


def ignores_case(directory: Path) -> bool:
    """Return whether the file system of a directory takes capitals and small letters for the same.

    Args:
        directory: an existing directory that may be written to.
    """
    with tempfile.NamedTemporaryFile(prefix="case-", dir=directory) as probe:
        return Path(probe.name).with_name(Path(probe.name).name.upper()).exists()


def partition_directory(column: str, text: str, ignores_case: bool = False) -> str:
    """Return the name of the directory for a value of a column."""
    return f"{quote(column, safe='')}={encode_partition_value(text, ignores_case)}"


def partition_value(directory: str) -> str:
    """Return the value in the name of a directory; the inverse of `partition_directory`."""
    encoded = directory.partition("=")[2]
    return "" if encoded == NULL_PARTITION else unquote(encoded)


def group_by_partition(
    records: Iterable[GeneratedRecord], layout: RecordLayout, column: str
) -> Iterator[tuple[str, Iterable[GeneratedRecord]]]:
    """Yield each value of a column with its records; values in ascending order, records in the order given.

    Args:
        records: iterable any number of times. Only a part of them is in memory at a time, however many there are.
        layout: how a record is split.
        column: name of the column.

    Raises:
        DataError: LS212, there are more values than a shard can have directories.
    """
    position = layout.names.index(column)

    def value(record: GeneratedRecord) -> str:
        return layout.field_texts(record.text)[position]

    counts = Counter(map(value, records))
    if len(counts) > MAX_PARTITIONS:
        raise DataError(
            "LS212",
            f"--partition-by (partition_by) '{column}'",
            f"more than {MAX_PARTITIONS} different values in one shard",
            "Choose a field with few values.",
        )
    for group in _groups(counts):
        if len(group) == 1:
            single = group[0]  # may have any number of records, so they are streamed
            yield single, (record for record in records if value(record) == single)
            continue
        held: dict[str, list[GeneratedRecord]] = {name: [] for name in group}
        for record in records:
            same_value = held.get(value(record))
            if same_value is not None:
                same_value.append(record)
        yield from held.items()


def _groups(counts: Counter[str]) -> Iterator[list[str]]:
    """Yield the values in order, in groups whose records fit into memory together."""
    group: list[str] = []
    size = 0
    for value in sorted(counts):
        if group and size + counts[value] > _MAX_HELD:
            yield group
            group, size = [], 0
        group.append(value)
        size += counts[value]
    if group:
        yield group
