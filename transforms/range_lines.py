"""Read the lines of a range of a file, and look at lines below the current one without taking them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from linesmith.records.input.input_files import DECOMPRESSION_ERRORS, decompress
from linesmith.records.input.input_ranges import FileRange
from linesmith.records.input.line_scanner import next_line, scan_lines
from linesmith.transforms.find_inputs import open_raw

Line = tuple[int, bytes, int]  # offset, content, length, as `scan_lines` yields them


class RangeLines:
    """Iterator over the lines of a range.

    Args:
        source: the range.
        keep_bytes: most bytes of a line to keep.

    Attributes:
        damaged: the compressed stream is cut off or broken in this range, and the lines ended early.
        reason: why the current line is rejected; None: no line is rejected here.
    """

    reason: str | None = None

    def __init__(self, source: FileRange, keep_bytes: int) -> None:
        self.damaged = False
        self._source = source
        self._keep_bytes = keep_bytes
        self._lines = self._read()
        self._ahead: deque[Line] = deque()  # lines that were looked at, and are yet to come

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        return self._ahead.popleft() if self._ahead else next(self._lines)

    def below(self, line: Line) -> Iterator[Line]:
        """Yield the lines below the current one, into the next ranges. All stay to be read.

        Args:
            line: the current line.
        """
        for position in range(len(self._ahead)):
            line = self._ahead[position]
            yield line
        for line in self._lines:
            self._ahead.append(line)
            yield line
        source = self._source
        if source.end is None:
            return
        offset, _, length = line
        start = offset + length + len(source.file.newline)
        with open_raw(source.file.path) as stream:
            stream.seek(start)
            yield from scan_lines(
                stream, offset=start, end=None, newline=source.file.newline, keep_bytes=self._keep_bytes
            )

    def _read(self) -> Iterator[Line]:
        source, newline = self._source, self._source.file.newline
        with open_raw(source.file.path) as stored:
            stream = decompress(stored, source.file.compression)
            offset: int | None = source.start
            if source.starts_file:
                stream.read(source.start)  # the byte-order mark, and lines that are skipped
            else:
                offset = next_line(stream, start=source.start, end=source.end or source.file.size, newline=newline)
            if offset is None:
                return
            try:
                yield from scan_lines(
                    stream, offset=offset, end=source.end, newline=newline, keep_bytes=self._keep_bytes
                )
            except DECOMPRESSION_ERRORS:
                if source.file.compression is None:
                    raise
                self.damaged = True
