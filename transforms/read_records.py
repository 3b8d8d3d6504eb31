"""Lines of the input as batches of records. Every pass over the input goes through here, so all passes agree."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from linesmith.records.fields import FIELD_BREAK, split_fields
from linesmith.records.input.input_files import DECOMPRESSION_ERRORS, unpack
from linesmith.records.input.input_ranges import FileRange, Unit
from linesmith.records.input.line_scanner import next_line, scan_lines
from linesmith.records.input.record_format import (
    ENCODING,
    NO_USER,
    REJECT_BYTES,
    DatasetSplitter,
    Digest,
    RecordFormat,
    digest_of,
    mark_field_breaks,
    user_digest,
)
from linesmith.transforms.find_inputs import open_raw

_BATCH_LINES = 2000
_BATCH_CHARS = 1 << 20
# text: the record, its structural delimiters replaced by FIELD_BREAK; num_chars: characters of the record as it was read;
# user_hash: whose record it is, 0 where records are protected one by one.
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
    """What a reader needs to know beside where to read."""

    records: RecordFormat
    splitter: DatasetSplitter
    header: bool


@dataclass
class RangeCount:
    """What was in a range.

    Attributes:
        file: name of the file.
        start: first byte of the range; with the file it identifies the range.
        lines: physical lines, a header included.
        headers: 1 where the first line is a header, else 0.
        accepted: records.
        rejected: lines that are none, by reason.
        max_fields: most fields of a record.
        columns: fields of the header.
        damaged: the packed stream broke off here.
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


class RangeReader:
    """Reads one range; `count` is complete when `batches` has been exhausted.

    Args:
        on_reject: told of every line that is no record, with where it is and its first 64 KiB.
    """

    def __init__(
        self, source: FileRange, settings: ReadSettings, on_reject: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        self.count = RangeCount(source.file.name, source.start)
        self._source = source
        self._settings = settings
        self._format = replace(settings.records, encoding=source.file.encoding)
        self._on_reject = on_reject

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Record batches of SCHEMA, in the order of the file."""
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

    def _batch(self, rows: list[_Row]) -> pa.RecordBatch:
        batch = pa.RecordBatch.from_arrays(
            [pa.array(column, kind.type) for column, kind in zip(zip(*rows, strict=True), SCHEMA, strict=True)],
            schema=SCHEMA,
        )
        breaks = pc.max(pc.count_substring(batch["text"], FIELD_BREAK)).as_py()
        self.count.max_fields = max(self.count.max_fields, breaks + 1)
        return batch

    def _rows(self) -> Iterator[_Row]:
        count, limit = self.count, self._source.limit
        delimiter, quoted = self._format.delimiter, self._format.quoted
        decode_line, side = self._format.decode_line, self._settings.splitter.side
        for offset, content, length in self._lines():
            if limit is not None and count.accepted >= limit:
                return
            count.lines += 1
            if self._settings.header and count.lines == 1 and self._source.starts_file:
                self._take_header(content, length)
                continue
            text, reason = decode_line(content, length)
            digest: Digest | None = None
            user: Digest | None = None
            if reason is None:
                digest, user, reason = self._whose(text)
            if digest is None:
                self._reject(offset, content, length, str(reason))
                continue
            count.accepted += 1
            # All records of a user fall on the user's side of the split.
            where = side(digest if user is None else user)
            who = 0 if user is None else user.record
            yield mark_field_breaks(text, delimiter, quoted), digest.record, where, digest.level, len(text), who

    def _whose(self, text: str) -> tuple[Digest | None, Digest | None, str | None]:
        """Digests of a record and of its user (None where records stand for themselves), or the reason why it is none."""
        form = self._format
        try:
            digest = digest_of(text.encode())
        except UnicodeEncodeError:  # half a surrogate pair, which some codecs let through
            return None, None, ENCODING
        if form.user_field is None or form.delimiter is None:
            return digest, None, None
        user = user_digest(text, form.user_field, form.delimiter, form.quoted)
        return (None, None, NO_USER) if user is None else (digest, user, None)

    def _lines(self) -> Iterator[tuple[int, bytes, int]]:
        source = self._source
        with open_raw(source.file.path) as stored:
            stream = unpack(stored, source.file.packing)
            offset: int | None = source.start
            if source.starts_file:
                stream.read(source.start)  # the byte-order mark
            else:
                end = source.end or source.file.size
                offset = next_line(stream, start=source.start, end=end, newline=self._format.newline)
            if offset is None:
                return
            lines = scan_lines(
                stream, offset=offset, end=source.end, newline=self._format.newline, keep=self._format.keep
            )
            try:
                yield from lines
            except DECOMPRESSION_ERRORS:
                if source.file.packing is None:
                    raise
                self.count.damaged = True

    def _take_header(self, content: bytes, length: int) -> None:
        self.count.headers = 1
        text, reason = self._format.decode_line(content, length)
        if reason is None:
            delimiter = self._format.delimiter
            names = [text] if delimiter is None else split_fields(text, delimiter, self._format.quoted)
            self.count.columns = [name.strip() for name in names]

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
            self._on_reject(row | _shown(content[:REJECT_BYTES], self._format.encoding))


def _shown(content: bytes, encoding: str) -> dict[str, str]:
    """The line as text, or in base64 where it is none."""
    try:
        text = content.decode(encoding)
        text.encode()
    except UnicodeError:
        return {"base64": base64.b64encode(content).decode("ascii")}
    return {"text": text}


class ReadRecords(beam.PTransform):
    """Units → record batches, and (tagged `counts`) one RangeCount a range.

    The units are spread over the workers; batches stream through whatever is fused behind, and are never grouped.
    """

    def __init__(self, units: Iterable[Unit], settings: ReadSettings) -> None:
        super().__init__()
        self._units = list(units)
        self._settings = settings

    def expand(self, root: beam.pvalue.PBegin) -> Any:
        return (
            root
            | "Units" >> beam.Create(self._units, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(read_unit, self._settings).with_outputs("counts", main="batches")
        )


def read_unit(unit: Unit, settings: ReadSettings) -> Iterator[Any]:
    """Batches of a unit's records, and a tagged RangeCount after each range."""
    for source in unit.ranges:
        reader = RangeReader(source, settings)
        yield from reader.batches()
        yield beam.pvalue.TaggedOutput("counts", reader.count)


def take_first(units: Iterable[Unit], settings: ReadSettings, max_lines: int) -> list[Unit]:
    """The units that hold the first `max_lines` accepted records, the last range with a limit.

    Reads no further than it must, on the driver: a count over the whole input would cost more than these lines do.
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
            taken.append(Unit(unit.index, tuple(ranges)))
    return taken


def total_rejected(counts: Iterable[RangeCount]) -> dict[str, int]:
    """Rejected lines by reason, over ranges."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count.rejected)
    return dict(sorted(total.items()))
