"""Put values in the place of the columns that were cut, for every output alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from linesmith.records.fields import FIELD_BREAK, FieldFormat
from linesmith.records.roles.table_roles import OptionalStruct
from linesmith.records.roles.value_sources import (
    EscapedSource,
    KeySource,
    ReferenceSource,
    ValueSource,
    capacity_error,
)


@dataclass(frozen=True)
class RecordFiller:
    """Completes generated records.

    Attributes:
        fields: how the text of a record is split.
        sources: for each column of the output what stands in it; None: the next field that the model drew.
        structs: structs that a record may lack: nothing stands then in the columns inside of them.

    Example:
        >>> from linesmith.records.roles.value_sources import ConstantSource
        >>> filler = RecordFiller(FieldFormat(",", quoted=True), (None, ConstantSource("a,b"), None))
        >>> filler.text(0, '"1,2",x')
        '"1,2","a,b",x'
    """

    fields: FieldFormat
    sources: tuple[ValueSource | None, ...]
    structs: tuple[OptionalStruct, ...] = ()

    def values(self, index: int, learned: Sequence[str]) -> list[str]:
        """Return the fields of a complete record.

        Args:
            index: number of the record in the run.
            learned: the fields that the model drew, as many as there are columns without a source.

        Raises:
            ValueError: there are more or fewer.
            ParameterError: LS140, a key has a pattern with too few keys.
        """
        return self._filled(index, learned, learned)

    def _filled(self, index: int, learned: Sequence[str], unquoted: Sequence[str]) -> list[str]:
        if len(learned) != self.sources.count(None):
            raise ValueError("a record has another number of fields than columns were learned")
        empty = {number for struct in self.structs if struct.is_missing(unquoted) for number in struct.filled}
        drawn = iter(learned)
        return [
            next(drawn) if source is None else "" if number in empty else source.value(index)
            for number, source in enumerate(self.sources)
        ]

    def text(self, index: int, text: str) -> str:
        """Return the text of a complete record; what the model drew keeps its quotes.

        Args:
            index: number of the record in the run.
            text: the record as the model drew it.
        """
        drawn = self.fields.mark_breaks(text).split(FIELD_BREAK)
        values = self._filled(index, drawn, self.fields.split(text) if self.structs else drawn)
        parts = [
            value if source is None else self.fields.quote(value)
            for source, value in zip(self.sources, values, strict=True)
        ]
        return (self.fields.delimiter or "").join(parts)

    def check_capacity(self, records: int) -> None:
        """Refuse a run of more records than there are keys.

        Raises:
            ParameterError: LS140.
        """
        for source in self.key_sources:
            if records > source.capacity:
                raise capacity_error(source.column, source.capacity, records)

    @property
    def paths(self) -> list[str]:
        """The files that workers read."""
        plain = [source.inner if isinstance(source, EscapedSource) else source for source in self.sources]
        references = [source.path for source in plain if isinstance(source, ReferenceSource)]
        return [*references, *(source.avoided for source in self.key_sources if source.avoided is not None)]

    @property
    def key_sources(self) -> Iterable[KeySource]:
        """The sources of keys."""
        return [source for source in self.sources if isinstance(source, KeySource)]
