"""What stands in a column with a role: a function of the run seed, the column, and the number of the record, of nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from linesmith.core.config.fake_providers import fake_text
from linesmith.core.config.key_pattern import KeyPattern
from linesmith.core.errors import ParameterError
from linesmith.records.fields import FieldFormat
from linesmith.records.roles.permutation import DomainPermutation
from linesmith.records.roles.source_keys import SourceKeys
from linesmith.records.roles.table_roles import column_text, type_words
from linesmith.records.table_columns import TableColumn, escape_text


class ValueSource(Protocol):
    """A source of the values of a column."""

    def value(self, index: int) -> str:
        """Return the value of a record, as text without quotes."""
        ...


@lru_cache(maxsize=64)
def column_key(seed: int, column: str, purpose: bytes) -> bytes:
    """Return 32 bytes that depend on the run seed, the column and the purpose (at most 16 bytes)."""
    key = seed.to_bytes(8, "big")
    return hashlib.blake2b(column.encode(errors="surrogatepass"), key=key, person=purpose, digest_size=32).digest()


def _number(key: bytes, index: int) -> int:
    """Return 128 bits for a record."""
    return int.from_bytes(hashlib.blake2b(index.to_bytes(8, "big"), key=key, digest_size=16).digest(), "big")


@dataclass(frozen=True)
class ConstantSource:
    """The same value in every record."""

    text: str

    def value(self, index: int) -> str:
        """Return the value."""
        return self.text


@dataclass(frozen=True)
class KeySource:
    """Keys of a pattern, no two alike.

    Attributes:
        column: name of the column.
        pattern: of its keys.
        seed: of the run.
        avoided: file of the keys that no record may have (`source_keys`); None: there is none.
    """

    column: str
    pattern: KeyPattern
    seed: int
    avoided: str | None = None

    @property
    def capacity(self) -> int:
        """Number of texts of the pattern, without those that are avoided."""
        return self.pattern.size - (0 if self.avoided is None else len(_source_keys(self.avoided)))

    def value(self, index: int) -> str:
        """Return the key of a record.

        Raises:
            ParameterError: LS140, there are not so many keys.
        """
        capacity = self.capacity
        if index >= capacity:
            raise capacity_error(self.column, capacity, index + 1)
        permutation = _permutation(self.pattern.size, column_key(self.seed, self.column, b"linesmith.key"))
        number = permutation(index)
        if self.avoided is not None:
            # The position of an avoided key leads to a position past the capacity, each to another: the walk ends, and no two
            # records end at the same key.
            while (rank := _source_keys(self.avoided).rank(number)) is not None:
                number = permutation(capacity + rank)
        return self.pattern.text(number)


# Outside of the sources, which travel to workers: neither can be pickled.
_permutation = lru_cache(maxsize=16)(DomainPermutation)
_source_keys = lru_cache(maxsize=16)(SourceKeys)


def capacity_error(column: str, capacity: int, records: int) -> ParameterError:
    """Return the error for more records than a pattern has keys."""
    return ParameterError(
        "LS140",
        f"--column-role {column}=key",
        f"its pattern has {capacity:,} different keys, and {records:,} records are asked for",
        "Give a longer pattern, for example key:AA-000000, or ask for fewer records.",
    )


@dataclass(frozen=True)
class FakeSource:
    """Values of a provider of Faker.

    Attributes:
        column: name of the column.
        provider, locale: as `linesmith.core.config.fake_providers` takes them.
        seed: of the run.
        fields: how a record is split: where nothing is quoted, no value holds the delimiter.
    """

    column: str
    provider: str
    locale: str
    seed: int
    fields: FieldFormat

    def value(self, index: int) -> str:
        """Return the value of a record."""
        key = column_key(self.seed, self.column, b"linesmith.fake")
        text = fake_text(self.provider, self.locale, _number(key, index)).replace("\r", " ")
        delimiter = self.fields.delimiter
        if delimiter is None or self.fields.quoted:
            return text
        return text.replace(delimiter, "_" if delimiter.isspace() else " ")


@dataclass(frozen=True)
class ReferenceSource:
    """Values of a list, each equally likely.

    Attributes:
        column: name of the column.
        path: Arrow file with one column of texts, which driver and workers reach.
        seed: of the run.
    """

    column: str
    path: str
    seed: int

    def value(self, index: int) -> str:
        """Return the value of a record."""
        values = _values(self.path)
        return str(values[_number(column_key(self.seed, self.column, b"linesmith.ref"), index) % len(values)])


def write_values(path: str, values: Any) -> None:
    """Write the file of a `ReferenceSource`.

    Args:
        path: of the file.
        values: Arrow array of texts, without nulls.
    """
    import pyarrow as pa

    table = pa.table({"value": values.cast(pa.large_string())}).combine_chunks()
    with pa.OSFile(path, "wb") as out, pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)


@lru_cache(maxsize=16)
def _values(path: str) -> Sequence[Any]:
    """Return the values of a file; they are mapped into memory, not read."""
    import pyarrow as pa

    column: Sequence[Any] = pa.ipc.open_file(pa.memory_map(path)).read_all().column(0)
    return column


@dataclass(frozen=True)
class EscapedSource:
    """Values as the fields of a table hold them (`linesmith.records.table_columns`).

    Attributes:
        inner: source of the plain values.
        column: the column that they stand in; None: one of any texts.
    """

    inner: ValueSource
    column: TableColumn | None = None

    def value(self, index: int) -> str:
        """Return the value of a record.

        Raises:
            ParameterError: LS140, the column cannot hold it.
        """
        value = self.inner.value(index)
        if self.column is None:
            return escape_text(value)
        try:
            return column_text(self.column, value)
        except ValueError:
            raise misfit_error(self.column, "a value that is given in its place is none of these") from None


def check_values(column: TableColumn, values: Iterable[str]) -> None:
    """Refuse values that a column cannot hold.

    Raises:
        ParameterError: LS140.
    """
    for value in values:
        try:
            column_text(column, value)
        except ValueError:
            raise misfit_error(column, "what would stand in it is none of these") from None


def misfit_error(column: TableColumn, found: str) -> ParameterError:
    """Return the error for a role whose values a column cannot hold; `found` says so without a value."""
    return ParameterError(
        "LS140",
        f"--column-role {column.name}",
        f"the column holds {type_words(column)}, and {found}",
        "Give values that it can hold as constant or ref, a provider that makes such, or drop.",
    )
