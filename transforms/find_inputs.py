"""Find and inspect input files on the driver, before any pipeline starts."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from linesmith.core.addresses import redact_address
from linesmith.core.artifacts.files import sha256_file
from linesmith.core.config.input_format import AVRO, ICEBERG, JSONL, PARQUET
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.records.fields import FieldFormat
from linesmith.records.input.file_patterns import find_local_files, has_wildcard, match_local_files
from linesmith.records.input.input_files import (
    DECOMPRESSION_ERRORS,
    HEAD_BYTES,
    InputFile,
    damaged_file_error,
    decompress,
    inspect_input_file,
)
from linesmith.records.input.line_scanner import scan_lines
from linesmith.records.input.preamble import find_preamble
from linesmith.records.sources.files import inspect_source_file
from linesmith.records.sources.iceberg_rows import IcebergOrigin, iceberg_files
from linesmith.transforms.storage.addresses import check_address, is_bucket
from linesmith.transforms.storage.clients import check_reachable
from linesmith.transforms.storage.reader import open_object
from linesmith.transforms.storage.retries import with_retries

_TIMEOUT_SECONDS = 60
# Compressed files up to this size are decompressed once on the driver, so that damage is found before any work is done. In
# larger ones the reader finds it.
_CHECKED_BYTES = 64 << 20


def open_raw(path: str) -> IO[bytes]:
    """Open the bytes of a local file or an object as they are stored; the stream is seekable."""
    if is_bucket(path):
        return open_object(path)
    stream: IO[bytes] = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return stream


def find_inputs(config: TensorFlowConfig, scratch: Path) -> list[InputFile]:
    """Return every input file once, sorted by name.

    Args:
        config: names the input.
        scratch: directory to which http(s) inputs are copied.

    Raises:
        ParameterError: LS205, `input_data_path` is not set.
        DataError: an input is missing, matches nothing, is a directory, empty, damaged, or not text.
    """
    if config.input_format == ICEBERG:
        return _iceberg_files(config)
    files = []
    for name, listed in sorted(_listed(config).items()):
        path, size = _fetch(listed, scratch) if isinstance(listed, str) else (listed.path, listed.size_in_bytes)
        with open_raw(path) as stream:
            if config.input_format in (AVRO, PARQUET):
                files.append(inspect_source_file(path, name, size, stream, config.input_format))
                continue
            file = inspect_input_file(path, name, size, stream, config.encoding)
            if config.input_format != JSONL:
                file = _without_preamble(file, stream, config)
            file = replace(file, format_name=config.input_format, header=config.header)
        if file.compression is not None and size <= _CHECKED_BYTES:
            _check_packed(file)
        files.append(file)
    return files


def _iceberg_files(config: TensorFlowConfig) -> list[InputFile]:
    return iceberg_files(_input_patterns(config), config.input_catalog, config.columns, config.input_row_filter)


def _without_preamble(file: InputFile, stream: IO[bytes], config: TensorFlowConfig) -> InputFile:
    """Return the file without the lines above its header and records; with `dp`, only a `sep=` line can be one of them.

    Whether a line is a comment is seen by the lines below it, and with `dp` what a line is must not depend on a record.

    Args:
        file: the file.
        stream: its stored bytes, seekable.
        config: how lines are split, and whether a header is expected.
    """
    stream.seek(0)
    head = decompress(stream, file.compression).read(HEAD_BYTES)
    content = io.BytesIO(head[file.bom_length :])
    found = list(scan_lines(content, offset=file.bom_length, end=None, newline=file.newline, keep_bytes=HEAD_BYTES))
    if len(head) == HEAD_BYTES:
        found.pop()  # it may go on behind the head
    lines = [line.decode(file.encoding, "replace").rstrip("\r") for _, line, _ in found]
    fields = FieldFormat(config.field_delimiter, config.quoted)
    skipped = find_preamble(lines, fields, config.header and not config.dp)
    if not skipped:
        return file
    offset, _, length = found[len(skipped) - 1]
    below = offset + length + len(file.newline)  # beyond the file if its last line has no end
    return replace(file, bom_length=min(below, file.size) if file.compression is None else below, skipped=skipped)


def input_digests(config: TensorFlowConfig, files: Sequence[InputFile] | None = None) -> dict[str, str]:
    """Return, by name, a digest that tells whether an input has changed, without fetching or inspecting it.

    Args:
        config: names the input.
        files: of Iceberg tables, the files of the snapshot that is read; None: those of the newest one.

    It is the SHA-256 of a local file's content, the store's checksum and the size of an object, the redacted address of
    an http(s) input, which holds a digest of the whole one, and the snapshot of an Iceberg table.

    Raises:
        ParameterError: `input_data_path` is not set.
        DataError: an input is missing, or a directory.
    """
    if config.input_format == ICEBERG:
        files = files or _iceberg_files(config)
        return {file.name: file.origin.digest for file in files if isinstance(file.origin, IcebergOrigin)}
    digests = {}
    for name, listed in sorted(_listed(config).items()):
        if isinstance(listed, str):
            digests[name] = f"address:{name}"
        elif "://" in listed.path:
            digests[name] = f"store:{_checksum(listed.path)}:{listed.size_in_bytes}"
        else:
            digests[name] = f"sha256:{sha256_file(listed.path)}"
    return digests


def first_bytes(config: TensorFlowConfig, count: int) -> bytes:
    """Return the first bytes of the first input file; none of one that has yet to be fetched.

    Raises:
        ParameterError: as `find_inputs`.
        DataError: an input is missing, a directory, or cannot be read.
    """
    listed = next((found for _, found in sorted(_listed(config).items())), "")
    if isinstance(listed, str):
        return b""
    with open_raw(listed.path) as stream:
        return stream.read(count)


def _listed(config: TensorFlowConfig) -> dict[str, FileMetadata | str]:
    """Return every input file by its name, which may be stored and shown; the address of one that has yet to be fetched."""
    found: dict[str, FileMetadata | str] = {}
    for pattern in _input_patterns(config):
        if pattern.lower().startswith(("http://", "https://")):
            found[redact_address(pattern)] = pattern
        else:
            found.update((redact_address(item.path), item) for item in _match_input(pattern))
    return found


def _input_patterns(config: TensorFlowConfig) -> list[str]:
    patterns = config.input_data_path
    if patterns is None or patterns in ([], ""):
        raise ParameterError("LS205", "--input (input_data_path)", "not set", "Give a file of lines.")
    return [patterns] if isinstance(patterns, str) else list(patterns)


def _match_input(pattern: str) -> list[FileMetadata]:
    """Return the files that one entry of the input names, with their sizes; refuses what cannot be read."""
    if "://" not in pattern:
        return [FileMetadata(path, os.path.getsize(path)) for path in find_local_files(pattern, "--input")]
    shown = redact_address(pattern)
    try:
        if is_bucket(pattern):
            matched = _match_objects(pattern, "--input")
        else:
            matched = list(FileSystems.match([pattern])[0].metadata_list)
    except (BeamIOError, ValueError) as error:
        raise DataError(
            "LS205",
            f"--input '{shown}'",
            f"cannot be listed ({type(error).__name__})",
            "Check the address and its permissions.",
        ) from None
    if not matched:
        found = "matches no file" if has_wildcard(pattern) else "does not exist"
        raise DataError("LS205", f"--input '{shown}'", found, "Give an existing path or a glob in quotes.")
    return matched


def match_files(pattern: str, option: str) -> list[str]:
    """Return the files or objects that a path, a glob or a bucket address names, sorted by name; may be empty.

    Raises:
        ParameterError: LS106, LS127, the address cannot be used with what is installed.
        DataError: LS213, the store refuses or cannot be reached.
    """
    if "://" in pattern:
        return sorted(item.path for item in _match_objects(pattern, option))
    return match_local_files(pattern)


def _match_objects(pattern: str, option: str) -> list[FileMetadata]:
    """Return the objects of a bucket that an address or a glob names.

    Raises:
        ParameterError: LS106, LS127, the address cannot be used with what is installed.
        DataError: LS213, the store refuses or cannot be reached.
    """
    check_address(pattern, option)
    check_reachable(pattern)
    found = with_retries(lambda: list(FileSystems.match([pattern])[0].metadata_list), pattern, "listed")
    return [item for item in found if not item.path.endswith("/")]


def _checksum(path: str) -> str:
    return str(with_retries(lambda: FileSystems.checksum(path), path, "read"))


def _fetch(address: str, scratch: Path) -> tuple[str, int]:
    """Copy an http(s) input, and check its length against what the server announced; return its path and size."""
    shown = redact_address(address)
    name = shown.partition("?")[0].rpartition("/")[2] or "input"
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / f"{hashlib.sha256(shown.encode()).hexdigest()[:16]}-{name}"
    try:
        request = _request(address)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as reply, open(target, "wb") as copy:
            shutil.copyfileobj(reply, copy)
            announced = reply.headers.get("Content-Length")
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise DataError(
            "LS205", f"--input '{shown}'", f"cannot be fetched ({_reason(error)})", "Check the address."
        ) from None
    size = target.stat().st_size
    if announced is not None and int(announced) != size:
        raise DataError(
            "LS206",
            f"--input '{shown}'",
            f"was cut off: {size} of {announced} bytes arrived",
            "Run the command again.",
        )
    return str(target), size


def _request(address: str) -> urllib.request.Request:
    """Return the request for an address; its user and password become a header, which a redirection does not pass on."""
    parts = urllib.parse.urlsplit(address)
    credentials, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urllib.parse.urlunsplit(parts._replace(netloc=host, fragment="")))
    if at:
        user, colon, password = credentials.partition(":")
        plain = urllib.parse.unquote_to_bytes(user) + colon.encode() + urllib.parse.unquote_to_bytes(password)
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(plain).decode('ascii')}")
    return request


def _reason(error: Exception) -> str:
    """Return why an address could not be fetched. Only texts of the system and numbers are repeated: others may quote it."""
    status, cause = getattr(error, "code", None), getattr(error, "reason", None)
    if isinstance(status, int):
        return str(status)
    return str(cause) if isinstance(cause, OSError) else type(error).__name__


def _check_packed(file: InputFile) -> None:
    with open_raw(file.path) as stored:
        content = decompress(stored, file.compression)
        try:
            while content.read(1 << 20):
                pass
        except DECOMPRESSION_ERRORS:
            raise damaged_file_error(file.name, str(file.compression)) from None
