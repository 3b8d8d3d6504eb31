"""Hive-style partitions: records of one value of a field lie in a directory of their own, `country=CR/`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote

from linesmith.core.errors import DataError
from linesmith.records.output.layout import Record, RecordLayout

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
MAX_VALUE_BYTES = 200  # of a directory's name; file systems allow 255
MAX_PARTITIONS = 4096  # in one shard
_GROUP = 200_000  # records that are held at a time


def encode_partition_value(text: str) -> str:
    """A field's text as part of a directory's name.

    Example:
        >>> encode_partition_value("a/b c"), encode_partition_value("")
        ('a%2Fb%20c', '__HIVE_DEFAULT_PARTITION__')
    """
    return quote(text, safe="") if text else NULL_PARTITION


def partition_directory(column: str, text: str) -> str:
    """The directory of a value."""
    return f"{quote(column, safe='')}={encode_partition_value(text)}"


def partition_value(directory: str) -> str:
    """The value of a directory's name; the inverse of `partition_directory`."""
    encoded = directory.partition("=")[2]
    return "" if encoded == NULL_PARTITION else unquote(encoded)


def group_by_partition(
    records: Iterable[Record], layout: RecordLayout, column: str
) -> Iterator[tuple[str, Iterable[Record]]]:
    """Records by the value of a column, values in order, records in theirs.

    Args:
        records: can be iterated any number of times; memory holds a part of them at a time, however many there are.

    Raises:
        DataError: LS212, there are more values than a shard can have directories.
    """
    place = layout.names.index(column)

    def value(record: Record) -> str:
        return layout.texts(record.text)[place]

    counts = Counter(map(value, records))
    if len(counts) > MAX_PARTITIONS:
        raise DataError(
            f"LS212: --partition-by (partition_by) '{column}' has more than {MAX_PARTITIONS} different values in one shard; "
            "choose a field with few values.",
            code="LS212",
        )
    for group in _groups(counts):
        if len(group) == 1:
            only = group[0]
            yield only, (record for record in records if value(record) == only)
            continue
        held: dict[str, list[Record]] = {one: [] for one in group}
        for record in records:
            found = held.get(value(record))
            if found is not None:
                found.append(record)
        yield from held.items()


def _groups(counts: Counter[str]) -> Iterator[list[str]]:
    """Values in order, as many together as may be held."""
    group: list[str] = []
    size = 0
    for value in sorted(counts):
        if group and size + counts[value] > _GROUP:
            yield group
            group, size = [], 0
        group.append(value)
        size += counts[value]
    if group:
        yield group
