"""Input files before anything reads them in earnest: what they are, how they are packed and encoded, whether they are text."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from dataclasses import dataclass
from typing import IO, Any, cast

from linesmith.core.errors import DataError

HEAD_BYTES = 1 << 16
_PACKED = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zst"}
_SUFFIXES = {".gz": "gz", ".bz2": "bz2", ".xz": "xz", ".zst": "zst"}
_BINARY = {
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
# Longest first: the mark of UTF-32-LE begins with that of UTF-16-LE.
_MARKS = (
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
        path: what to open.
        name: what messages, manifest and rejects call it.
        size: bytes as stored.
        packing: gz, bz2, xz, zst or None.
        encoding: the codec of its lines, byte order resolved.
        mark: bytes of the byte-order mark to skip.
    """

    path: str
    name: str
    size: int
    packing: str | None
    encoding: str
    mark: int

    @property
    def splittable(self) -> bool:
        """A reader may begin anywhere: newlines are one byte that is never part of another character."""
        return self.packing is None and not _wide(self.encoding)


def unpack(stream: IO[bytes], packing: str | None) -> IO[bytes]:
    """The plain content of a packed stream. A stream that is cut off raises one of DECOMPRESSION_ERRORS where it ends."""
    if packing is None:
        return stream
    if packing == "gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    if packing == "bz2":
        return cast("IO[bytes]", bz2.BZ2File(stream))
    if packing == "xz":
        return cast("IO[bytes]", lzma.LZMAFile(stream))
    return cast("IO[bytes]", _ZstdReader(stream))


class _ZstdReader:
    """Zstandard frames, one after the other; unlike the library's reader it notices a frame that is cut off."""

    def __init__(self, stream: IO[bytes]) -> None:
        import zstandard

        self._stream = stream
        self._start = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._pending = b""
        self._buffer = b""

    def read(self, size: int = -1) -> bytes:
        while (size < 0 or len(self._buffer) < size) and self._fill():
            pass
        end = len(self._buffer) if size < 0 else size
        content, self._buffer = self._buffer[:end], self._buffer[end:]
        return content

    def _fill(self) -> bool:
        data = self._pending or self._stream.read(1 << 16)
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


def inspect(path: str, name: str, size: int, stream: IO[bytes], encoding: str) -> InputFile:
    """What a file is, from its first 64 KiB.

    Args:
        stream: the stored bytes from their beginning.
        encoding: as the configuration names it.

    Raises:
        DataError: it is empty, packed but damaged, or no text in this encoding.
    """
    stored = stream.read(HEAD_BYTES)
    packing = next((kind for magic, kind in _PACKED.items() if stored.startswith(magic)), None)
    suffix = next((kind for end, kind in _SUFFIXES.items() if name.lower().endswith(end)), None)
    if suffix is not None and packing is None and stored:
        raise DataError(
            f"LS206: --input file '{name}' is named like {suffix} but its content is not; rename it or pack it again.",
            code="LS206",
        )
    head = stored
    if packing is not None:
        stream.seek(0)
        try:
            head = unpack(stream, packing).read(HEAD_BYTES)
        except DECOMPRESSION_ERRORS:
            raise damaged_file_error(name, packing) from None
    mark, codec = _resolve(head, encoding)
    if len(head) == mark:
        raise DataError(f"LS205: --input file '{name}' is empty; give a file with one record a line.", code="LS205")
    _refuse_binary(head[mark:], name, codec)
    return InputFile(path, name, size, packing, codec, mark)


def damaged_file_error(name: str, packing: str) -> DataError:
    """The error of a packed file that ends too early or is damaged."""
    return DataError(
        f"LS206: --input file '{name}' is damaged: its {packing} stream is cut off or broken. Copy or pack it again.",
        code="LS206",
    )


def _resolve(head: bytes, encoding: str) -> tuple[int, str]:
    """Length of the byte-order mark, and the codec without one."""
    codec = codecs.lookup(encoding).name
    if codec in ("utf-16", "utf-32"):
        mark, name = next(
            ((m, n) for m, n in _MARKS if head.startswith(m) and n.startswith(codec)), (b"", f"{codec}-le")
        )
        return len(mark), name
    if codec == "utf-8-sig":
        codec = "utf-8"
    own = next((m for m, n in _MARKS if n == codec and head.startswith(m)), b"")
    return len(own), codec


def _wide(encoding: str) -> bool:
    return len("\n".encode(encoding)) > 1


def _refuse_binary(head: bytes, name: str, codec: str) -> None:
    kind = next((what for magic, what in _BINARY.items() if head.startswith(magic)), None)
    if kind is not None and not head.count(0) and not _damage(head, codec):
        kind = None  # a record may well begin with GIF8
    if kind is None and not _wide(codec):
        # A few NULs or damaged lines are records or rejects; a file that is mostly such is not text.
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and head.count(0) > len(head) // 4:
            kind = "UTF-16 text (pass --encoding utf-16)"
        elif head.count(0) > len(head) // 10:
            kind = "binary data (many NUL bytes)"
        elif _damage(head, codec) > 0.3:
            kind = f"not {codec} text (most of its beginning cannot be decoded)"
    if kind is not None:
        raise DataError(
            f"LS207: --input file '{name}' is {kind}, not lines of {codec} text; "
            "convert it to text with one record a line, or pass its --encoding.",
            code="LS207",
        )


def _damage(head: bytes, codec: str) -> float:
    """Share of the first bytes that decode to nothing."""
    text = head.decode(codec, errors="replace")
    return text.count("�") / max(len(text), 1)
