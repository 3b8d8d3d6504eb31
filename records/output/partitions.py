"""Hive-style partitions: the records with one value of a field are in a directory of their own, `country=CR/`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote

from linesmith.core.errors import DataError
from linesmith.records.output.layout import GeneratedRecord, RecordLayout

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
MAX_VALUE_BYTES = 200  # in the name of a directory; file systems allow 255
MAX_PARTITIONS = 4096  # in one shard
_MAX_HELD = 200_000  # records in memory at a time


def encode_partition_value(text: str) -> str:
    """Return the text of a field in the form that the name of a directory holds.

    Example:
        >>> encode_partition_value("a/b c"), encode_partition_value("")
        ('a%2Fb%20c', '__HIVE_DEFAULT_PARTITION__')
    """
    return quote(text, safe="") if text else NULL_PARTITION


def partition_directory(column: str, text: str) -> str:
    """Return the name of the directory for a value of a column."""
    return f"{quote(column, safe='')}={encode_partition_value(text)}"


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
