"""Read lines of the input as batches of records. Every pass over the input uses this reader, so all passes agree."""

from __future__ import annotations

import base64
import contextlib
import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from linesmith.core.config.input_format import TEXT
from linesmith.records.fields import FIELD_BREAK
from linesmith.records.input.input_ranges import FileRange, InputUnit
from linesmith.records.input.open_quotes import closes_below
from linesmith.records.input.record_format import (
    ENCODING,
    FIELD_COUNT,
    NO_USER,
    OPEN_QUOTE,
    REJECT_BYTES,
    DatasetSplitter,
    Digest,
    RecordFormat,
    record_digest,
    user_digest,
)
from linesmith.records.roles.column_cut import ColumnCut
from linesmith.records.table_format import TableFormat
from linesmith.transforms.range_lines import Line, RangeLines
from linesmith.transforms.source_lines import SourceLines

_BATCH_LINES = 2000
_BATCH_CHARS = 1 << 20
# text: the record, with FIELD_BREAK in place of the delimiters that separate fields, which have the form of the model
# (`ModelForm`); level: `Digest.sample_level`;
# num_chars: characters of the record as it was read; user_hash: 0 if records are protected one by one.
SCHEMA = pa.schema(
    [
        ("text", pa.large_string()),
        ("record_hash", pa.int64()),
        ("split", pa.int64()),
        ("level", pa.int64()),
        ("num_chars", pa.int64()),
        ("user_hash", pa.int64()),
    ]
)
_Row = tuple[str, int, int, int, int, int]


@dataclass(frozen=True)
class ReadSettings:
    """How input is read.

    Attributes:
        records: how lines become records.
        splitter: how records are split.
        header: the first line of each file is a header.
        field_count: records with another number of fields are rejected; None: any number.
        frequent: hashes of the texts whose occurrences are counted, and shared out by `FileRange.frequent`.
        table: how the rows of files that are not lines of text become records; None: all are lines.
        table_cut: columns of such files that the table leaves out, since they are not learned; None: there are none.
    """

    records: RecordFormat
    splitter: DatasetSplitter
    header: bool
    field_count: int | None = None
    frequent: frozenset[int] = frozenset()
    table: TableFormat | None = None
    table_cut: ColumnCut | None = None


@dataclass
class RangeCount:
    """Counts of a range.

    Attributes:
        file: name of the file.
        start: first byte of the range; with the file it identifies the range.
        lines: physical lines, including a header.
        headers: 1 if the first line is a header, else 0.
        accepted: records.
        rejected: lines that are not records, by reason.
        max_fields: most fields of a record.
        columns: fields of the header.
        damaged: the compressed stream is cut off or broken in this range.
        spanning: number within the range, from 1, of the first line whose quoted field ends on a later line; 0: there is none.
        frequent: pairs of the hash of a text of `ReadSettings.frequent` that occurs, and how often it does.
        skipped: lines of the file that precede its first range.
        unsampled: lines that are not in the sample; nothing else is known of them.
    """

    file: str
    start: int
    lines: int = 0
    headers: int = 0
    accepted: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    max_fields: int = 0
    columns: list[str] | None = None
    damaged: bool = False
    spanning: int = 0
    frequent: list[list[int]] = field(default_factory=list)
    skipped: int = 0
    unsampled: int = 0


class RangeReader:
    """Reader of one range; `count` is complete once `batches` is exhausted.

    Args:
        source: the range.
        settings: how it is read.
        on_reject: called with every rejected line: its file, number, offset, reason, length, and, where no column is cut, first
            64 KiB.
        on_record: called with the whole text of every accepted record, before columns are cut.
    """

    def __init__(
        self,
        source: FileRange,
        settings: ReadSettings,
        on_reject: Callable[[dict[str, Any]], None] | None = None,
        on_record: Callable[[str], None] | None = None,
    ) -> None:
        self.count = RangeCount(source.file.name, source.start, skipped=len(source.file.skipped))
        self._source = source
        self._settings = settings
        self._format = replace(settings.records, encoding=source.file.encoding)
        self._on_reject = on_reject
        self._on_record = on_record
        self._before = dict(source.frequent)
        self._seen: Counter[int] = Counter()
        self._lines: RangeLines | SourceLines
        if source.file.format_name == TEXT or settings.table is None:
            self._lines = RangeLines(source, self._format.keep_bytes)
        else:  # the names of the columns are known, and no row is a header
            self._lines = SourceLines(source, settings.table, self._format, settings.table_cut)
            self._settings = replace(settings, header=False)
            if source.starts_file:
                names, cut = list(settings.table.field_names), self._format.cut
                self.count.columns = names if cut is None else cut.keep(names)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield record batches of SCHEMA, in the order of the file."""
        rows: list[_Row] = []
        size = 0
        for row in self._rows():
            rows.append(row)
            size += row[4]
            if len(rows) == _BATCH_LINES or size >= _BATCH_CHARS:
                yield self._batch(rows)
                rows, size = [], 0
        if rows:
            yield self._batch(rows)
        self.count.damaged = self._lines.damaged
        self.count.frequent = [[text, number] for text, number in sorted(self._seen.items())]

    def _batch(self, rows: list[_Row]) -> pa.RecordBatch:
        batch = pa.RecordBatch.from_arrays(
            [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)],
            schema=SCHEMA,
        )
        breaks = pc.max(pc.count_substring(batch["text"], FIELD_BREAK)).as_py()
        self.count.max_fields = max(self.count.max_fields, breaks + 1)
        return batch

    def _rows(self) -> Iterator[_Row]:
        count, limit, sample = self.count, self._source.limit, self._source.sample
        mark_fields, decode_line = self._format.mark_fields, self._format.decode_line
        field_count = self._settings.field_count
        for line in self._lines:
            if limit is not None and count.accepted >= limit:
                return
            offset, content, length = line
            count.lines += 1
            is_header = self._settings.header and count.lines == 1 and self._source.starts_file
            if sample is not None and not is_header and not sample.takes(offset):
                count.unsampled += 1
                continue
            reason = self._lines.reason
            text, reason = decode_line(content, length) if reason is None else ("", reason)
            if reason is None and self._format.fields.ends_inside_quotes(text):
                reason = OPEN_QUOTE
                self._look_below(line)
            if is_header:
                self._take_header(text, reason)
                continue
            digest: Digest | None = None
            user: Digest | None = None
            whole = text
            if reason is None:
                text, reason = self._format.cut_columns(whole)
            if reason is None:
                marked = mark_fields(text)
                if field_count is not None and marked.count(FIELD_BREAK) + 1 != field_count:
                    reason = FIELD_COUNT
                else:
                    digest, user, reason = self._digests(text, whole)
            if digest is None:
                self._reject(offset, content, length, str(reason))
                continue
            count.accepted += 1
            if self._on_record is not None:
                self._on_record(whole)
            user_hash = 0 if user is None else user.text_hash
            yield marked, digest.text_hash, self._side(digest, user), digest.sample_level, len(text), user_hash

    def _side(self, digest: Digest, user: Digest | None) -> int:
        """Return the side of a record: of all records of a user, of all occurrences of a text, or of one occurrence."""
        splitter, text = self._settings.splitter, digest.text_hash
        if user is not None:
            return splitter.split_of(user)
        if text not in self._settings.frequent:
            return splitter.split_of(digest)
        number = self._before.get(text, 0) + self._seen[text]
        self._seen[text] += 1
        return splitter.split_of_occurrence(digest, number)

    def _look_below(self, line: Line) -> None:
        """Note a line whose last field is closed on a line below: a record that spans several lines."""
        delimiter = self._format.fields.delimiter
        if self.count.spanning or delimiter is None:
            return
        below = (
            content.decode(self._format.encoding, "replace").rstrip("\r") for _, content, _ in self._lines.below(line)
        )
        if closes_below(below, delimiter, self._format.max_line_len):
            self.count.spanning = self.count.lines

    def _digests(self, text: str, whole: str) -> tuple[Digest | None, Digest | None, str | None]:
        """Return the digests of a record and of its user, if records are protected by user, or the reason of its rejection.

        Args:
            text: the record.
            whole: the record with the columns that were cut, one of which may name its user.
        """
        form = self._format
        try:
            digest = record_digest(text.encode())
        except UnicodeEncodeError:  # half a surrogate pair, which some codecs let through
            return None, None, ENCODING
        if form.user_field is None or form.fields.delimiter is None:
            return digest, None, None
        user = user_digest(whole, form.user_field, form.fields)
        return (None, None, NO_USER) if user is None else (digest, user, None)

    def _take_header(self, text: str, reason: str | None) -> None:
        self.count.headers = 1
        if reason is None:
            with contextlib.suppress(csv.Error):  # a name is longer than the csv module's limit
                names = [name.strip() for name in self._format.fields.split(text)]
                cut = self._format.cut
                self.count.columns = names if cut is None or len(names) != cut.count else cut.keep(names)

    def _reject(self, offset: int, content: bytes, length: int, reason: str) -> None:
        self.count.rejected[reason] = self.count.rejected.get(reason, 0) + 1
        if self._on_reject is not None:
            row = {
                "file": self._source.file.name,
                "line": self._source.first_line + self.count.lines - 1,
                "offset": offset,
                "reason": reason,
                "bytes": length,
            }
            # What cannot be split cannot be cut, either.
            if self._format.cut is None and self._settings.table_cut is None:
                row |= _rejected_content(content[:REJECT_BYTES], self._format.encoding)
            self._on_reject(row)


def _rejected_content(content: bytes, encoding: str) -> dict[str, str]:
    """Return a rejected line as text, or in base64 if it is not text."""
    try:
        text = content.decode(encoding)
        text.encode()
    except UnicodeError:
        return {"base64": base64.b64encode(content).decode("ascii")}
    return {"text": text}


class ReadRecords(beam.PTransform):
    """Input units → record batches of SCHEMA, and (tagged `counts`) one RangeCount per range.

    The units are spread over the workers. Batches stream into the next steps, which are fused with this one, and are never
    grouped.

    Args:
        units: the input.
        settings: how it is read.
    """

    def __init__(self, units: Iterable[InputUnit], settings: ReadSettings) -> None:
        super().__init__()
        self._units = list(units)
        self._settings = settings

    def expand(self, root: beam.pvalue.PBegin) -> Any:
        """Read all units; returns `batches` and `counts`."""
        return (
            root
            | "Units" >> beam.Create(self._units, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(read_unit, self._settings).with_outputs("counts", main="batches")
        )


def read_unit(unit: InputUnit, settings: ReadSettings) -> Iterator[Any]:
    """Yield batches of the records of a unit, and after each range its tagged RangeCount."""
    for source in unit.ranges:
        reader = RangeReader(source, settings)
        yield from reader.batches()
        yield beam.pvalue.TaggedOutput("counts", reader.count)


def take_first(units: Iterable[InputUnit], settings: ReadSettings, max_lines: int) -> list[InputUnit]:
    """Return the units that hold the first `max_lines` accepted records; the last range has a limit.

    Reads on the driver, and no more than it has to: a count over the whole input would cost more than these lines.
    """
    taken, missing = [], max_lines
    for unit in units:
        ranges = []
        for source in unit.ranges:
            if not missing:
                break
            reader = RangeReader(replace(source, limit=missing), settings)
            for _ in reader.batches():
                pass
            accepted = reader.count.accepted
            ranges.append(replace(source, limit=missing) if accepted == missing else source)
            missing -= accepted
        if ranges:
            taken.append(InputUnit(unit.index, tuple(ranges)))
    return taken


def total_rejected(counts: Iterable[RangeCount]) -> dict[str, int]:
    """Return the rejected lines of all ranges by reason, sorted by reason."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count.rejected)
    return dict(sorted(total.items()))
