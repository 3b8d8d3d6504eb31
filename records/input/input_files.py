"""Inspect input files before they are read: how they are compressed and encoded, and whether they hold text."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from dataclasses import dataclass
from typing import IO, Any, cast

from linesmith.core.config.input_format import AVRO, PARQUET, TEXT, InputFormat
from linesmith.core.errors import DataError
from linesmith.records.input.line_scanner import has_only_carriage_returns

HEAD_BYTES = 1 << 16
_COMPRESSED_MAGIC = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zst"}
_ZSTD_CHUNK_BYTES = 1 << 12
_SUFFIXES = {".gz": "gz", ".bz2": "bz2", ".xz": "xz", ".zst": "zst"}
_BINARY_MAGIC = {
    b"PK\x03\x04": "a ZIP archive (also xlsx, docx)",
    b"PAR1": "a Parquet file",
    b"Obj\x01": "an Avro file",
    b"%PDF-": "a PDF document",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"\x7fELF": "an ELF program",
    b"SQLite format 3\x00": "an SQLite database",
    b"ARROW1": "an Arrow file",
    b"\x89HDF": "an HDF5 file",
    b"\xd0\xcf\x11\xe0": "an Office document",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
}
_REMEDIES = {
    f"{what} file": f"Give --input-format {name}, and no option about lines."
    for what, name in (("a Parquet", PARQUET), ("an Avro", AVRO))
}
# Longest first: the byte-order mark of UTF-32-LE begins with that of UTF-16-LE.
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
DECOMPRESSION_ERRORS = (EOFError, OSError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class InputFile:
    """One file to read.

    Attributes:
        path: path or address to open.
        name: its name in messages, in the manifest and in rejects.
        size: bytes as stored.
        compression: gz, bz2, xz, zst or None.
        encoding: codec of its lines, byte order resolved.
        bom_length: bytes of the byte-order mark to skip, and of the lines in `skipped`.
        carriage_returns: lines end with a carriage return alone; the file has no line feed.
        skipped: what the lines are that precede header and records, for a message.
        format_name: what the file holds: lines of text, or the rows of another format.
        header: the first record of a CSV file names the columns.
        cuts: where ranges begin, in order: numbers of the row groups of a Parquet file, or bytes at which records of CSV
            begin; None: at any byte.
        origin: the table that a data file of Iceberg belongs to (`linesmith.records.sources.iceberg_rows`).
    """

    path: str
    name: str
    size: int
    compression: str | None
    encoding: str
    bom_length: int
    carriage_returns: bool = False
    skipped: tuple[str, ...] = ()
    format_name: InputFormat = TEXT
    header: bool = False
    cuts: tuple[int, ...] | None = None
    origin: object = None

    @property
    def newline(self) -> bytes:
        """The bytes that end a line."""
        return ("\r" if self.carriage_returns else "\n").encode(self.encoding)

    @property
    def splittable(self) -> bool:
        """Whether a reader may begin anywhere: a newline is one byte, which is never part of another character."""
        return self.compression is None and not _wide(self.encoding)


def decompress(stream: IO[bytes], compression: str | None) -> IO[bytes]:
    """Return the decompressed content of a stream.

    Reading it raises one of DECOMPRESSION_ERRORS where the stream is cut off or damaged.

    Args:
        stream: the bytes as stored.
        compression: gz, bz2, xz or zst; None returns the stream itself.
    """
    if compression is None:
        return stream
    if compression == "gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    if compression == "bz2":
        return cast("IO[bytes]", bz2.BZ2File(stream))
    if compression == "xz":
        return cast("IO[bytes]", lzma.LZMAFile(stream))
    return cast("IO[bytes]", _ZstdReader(stream))


class _ZstdReader:
    """Reader of consecutive Zstandard frames. Unlike the library's reader it notices a frame that is cut off."""

    def __init__(self, stream: IO[bytes]) -> None:
        import zstandard

        self._stream = stream
        self._start = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._pending = b""
        self._buffer = b""

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` decompressed bytes; all of them if it is negative."""
        while (size < 0 or len(self._buffer) < size) and self._fill():
            pass
        end = len(self._buffer) if size < 0 else size
        content, self._buffer = self._buffer[:end], self._buffer[end:]
        return content

    def _fill(self) -> bool:
        """Decompress some more into the buffer; return whether the stream went on."""
        # Little at a time: at most 2^17 bytes come out of three that go in, and no call of the library bounds what comes out.
        data = self._pending or self._stream.read(_ZSTD_CHUNK_BYTES)
        self._pending = b""
        if not data:
            if self._frame is not None:
                raise EOFError("the last frame is cut off")
            return False
        if self._frame is None:
            self._frame = self._start()
        try:
            self._buffer += self._frame.decompress(data)
        except Exception as error:  # zstandard.ZstdError, which is not importable where the package is absent
            raise OSError(str(error)) from None
        if self._frame.eof:
            self._pending, self._frame = self._frame.unused_data, None
        return True


def inspect_input_file(path: str, name: str, size: int, stream: IO[bytes], encoding: str) -> InputFile:
    """Find out what a file is from its first 64 KiB.

    Args:
        path: path or address of the file.
        name: its name in messages.
        size: its bytes as stored.
        stream: the stored bytes from their beginning, seekable.
        encoding: as the configuration names it.

    Raises:
        DataError: LS205, the file is empty; LS206, it is compressed but damaged; LS217, it is not text in this encoding.
    """
    stored = stream.read(HEAD_BYTES)
    compression = next((found for magic, found in _COMPRESSED_MAGIC.items() if stored.startswith(magic)), None)
    suffix = next((found for end, found in _SUFFIXES.items() if name.lower().endswith(end)), None)
    if suffix is not None and compression is None and stored:
        raise DataError(
            "LS206",
            f"--input '{name}'",
            f"named like {suffix}, but its content is not",
            "Rename the file or pack it again.",
        )
    head = stored
    if compression is not None:
        stream.seek(0)
        try:
            head = decompress(stream, compression).read(HEAD_BYTES)
        except DECOMPRESSION_ERRORS:
            raise damaged_file_error(name, compression) from None
    bom_length, codec = _resolve(head, encoding)
    if len(head) == bom_length:
        raise DataError("LS205", f"--input '{name}'", "the file is empty", "Give a file with one record per line.")
    _refuse_binary(head[bom_length:], name, codec)
    return InputFile(
        path, name, size, compression, codec, bom_length, _ends_with_carriage_returns(stream, compression, codec)
    )


def _ends_with_carriage_returns(stream: IO[bytes], compression: str | None, codec: str) -> bool:
    stream.seek(0)
    try:
        return has_only_carriage_returns(decompress(stream, compression), codec)
    except DECOMPRESSION_ERRORS:
        if compression is None:
            raise
        return False  # whoever reads the whole file reports the damage


def damaged_file_error(name: str, compression: str) -> DataError:
    """Return the error of a compressed file that ends too early or is damaged."""
    return DataError(
        "LS206", f"--input '{name}'", f"its {compression} stream is cut off or damaged", "Copy or pack the file again."
    )


def _resolve(head: bytes, encoding: str) -> tuple[int, str]:
    """Return the length of the byte-order mark, and the codec without one."""
    codec = codecs.lookup(encoding).name
    if codec in ("utf-16", "utf-32"):
        bom, name = next(((b, n) for b, n in _BOMS if head.startswith(b) and n.startswith(codec)), (b"", f"{codec}-le"))
        return len(bom), name
    if codec == "utf-8-sig":
        codec = "utf-8"
    bom = next((b for b, n in _BOMS if n == codec and head.startswith(b)), b"")
    return len(bom), codec


def _wide(encoding: str) -> bool:
    return len("\n".encode(encoding)) > 1


def _refuse_binary(head: bytes, name: str, codec: str) -> None:
    """Raise LS217 if the beginning of a file, after its byte-order mark, is not text."""
    found = next((what for magic, what in _BINARY_MAGIC.items() if head.startswith(magic)), None)
    if found is not None and not head.count(0) and not _undecodable_share(head, codec):
        found = None  # a record may well begin with GIF8
    if found is None and not _wide(codec):
        # A few NULs or damaged lines are records or rejects; a file that is mostly that is not text.
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and head.count(0) > len(head) // 4:
            found = "UTF-16 text (pass --encoding utf-16)"
        elif head.count(0) > len(head) // 10:
            found = "binary data (many NUL bytes)"
        elif _undecodable_share(head, codec) > 0.3:
            found = f"not {codec} text (most of its beginning cannot be decoded)"
    if found is not None:
        raise DataError(
            "LS217",
            f"--input '{name}'",
            f"{found}, not lines of {codec} text",
            _REMEDIES.get(found, "Convert it to text with one record per line, or give its --encoding."),
        )


def _undecodable_share(head: bytes, codec: str) -> float:
    """Return the share of characters that stand for bytes which cannot be decoded."""
    text = head.decode(codec, errors="replace")
    return text.count("�") / max(len(text), 1)
