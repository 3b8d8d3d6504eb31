"""The input files of a configuration, found and inspected on the driver before any pipeline starts."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from linesmith.core.artifacts.files import sha256_file
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.records.input.input_files import DECOMPRESSION_ERRORS, InputFile, damaged_file_error, inspect, unpack
from linesmith.transforms.storage.addresses import check_address, is_bucket
from linesmith.transforms.storage.clients import check_reachable
from linesmith.transforms.storage.reader import open_object
from linesmith.transforms.storage.retries import with_retries

_WILD = ("*", "?", "[")
_TIMEOUT_SECONDS = 60
# Packed files up to this size are unpacked once on the driver, so that damage is found before any work is done; in larger
# ones the reader finds it.
_CHECKED_BYTES = 64 << 20


def open_raw(path: str) -> IO[bytes]:
    """The stored bytes of a file, seekable, wherever it lies."""
    if is_bucket(path):
        return open_object(path)
    stream: IO[bytes] = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return stream


def find_inputs(config: TensorFlowConfig, scratch: Path) -> list[InputFile]:
    """Every input file once, sorted by name.

    Args:
        scratch: where http(s) inputs are copied to.

    Raises:
        ParameterError: `input_data_path` is not set.
        DataError: an input is missing, matches nothing, is a directory, empty, damaged, or not text.
    """
    files = []
    for name, listed in sorted(_listed(config).items()):
        path, size = _fetch(name, scratch) if listed is None else (listed.path, listed.size_in_bytes)
        with open_raw(path) as stream:
            file = inspect(path, name, size, stream, config.encoding)
        if file.packing is not None and size <= _CHECKED_BYTES:
            _check_packed(file)
        files.append(file)
    return files


def input_digests(config: TensorFlowConfig) -> dict[str, str]:
    """What tells by name whether an input is the same as before, without fetching or inspecting it.

    SHA-256 of a local file's content; the store's own checksum and the size in a bucket; for http(s) the address itself.

    Raises:
        ParameterError: `input_data_path` is not set.
        DataError: an input is missing, or a directory.
    """
    digests = {}
    for name, listed in sorted(_listed(config).items()):
        if listed is None:
            digests[name] = f"address:{name}"
        elif "://" in listed.path:
            digests[name] = f"store:{_checksum(listed.path)}:{listed.size_in_bytes}"
        else:
            digests[name] = f"sha256:{sha256_file(listed.path)}"
    return digests


def _listed(config: TensorFlowConfig) -> dict[str, FileMetadata | None]:
    """Every input file by name; None for an address that is yet to be fetched."""
    found: dict[str, FileMetadata | None] = {}
    for given in _given(config):
        if _is_http(given):
            found[given] = None
        else:
            found.update((item.path, item) for item in _match(given))
    return found


def _given(config: TensorFlowConfig) -> list[str]:
    given = config.input_data_path
    if given is None or given in ([], ""):
        raise ParameterError("LS205: --input (input_data_path) is not set; give a file of lines.", code="LS205")
    return [given] if isinstance(given, str) else list(given)


def _is_http(given: str) -> bool:
    return urllib.parse.urlsplit(given).scheme in ("http", "https")


def _match(given: str) -> list[FileMetadata]:
    """Files that a path or a glob names. A path that exists is taken literally, even with glob characters in its name."""
    if "://" not in given:
        if os.path.isdir(given):
            raise DataError(
                f"LS205: --input '{given}' is a directory; give its files, for example '{given.rstrip('/')}/*.csv'.",
                code="LS205",
            )
        if os.path.exists(given):
            return [_readable(given)]
    wild = any(character in given for character in _WILD)
    try:
        if is_bucket(given):
            matched = match_objects(given, "--input")
        elif "://" in given:
            matched = list(FileSystems.match([given])[0].metadata_list)
        else:
            names = glob.glob(given, recursive=True) if wild else []
            matched = [_readable(name) for name in names if not os.path.isdir(name)]
    except (BeamIOError, ValueError) as error:
        raise DataError(
            f"LS205: --input '{given}' cannot be listed ({type(error).__name__}); check the address and its permissions.",
            code="LS205",
        ) from None
    if not matched:
        found = "matches no file" if wild else "does not exist"
        raise DataError(f"LS205: --input '{given}' {found}; give an existing path or a glob in quotes.", code="LS205")
    return matched


def match_objects(given: str, option: str) -> list[FileMetadata]:
    """The objects of a bucket that an address or a glob names.

    Raises:
        ParameterError: LS106, LS213, the address cannot be reached with what is installed.
        DataError: LS213, the store says no or cannot be reached.
    """
    check_address(given, option)
    check_reachable(given)
    found = with_retries(lambda: list(FileSystems.match([given])[0].metadata_list), given, "listed")
    return [item for item in found if not item.path.endswith("/")]


def _checksum(path: str) -> str:
    return str(with_retries(lambda: FileSystems.checksum(path), path, "read"))


def _readable(path: str) -> FileMetadata:
    if not os.access(path, os.R_OK):
        raise DataError(f"LS205: --input '{path}' cannot be read; check its permissions.", code="LS205")
    if not os.path.isfile(path):
        raise DataError(
            f"LS205: --input '{path}' is not a regular file, and the input is read twice; save it to a file first.",
            code="LS205",
        )
    return FileMetadata(path, os.path.getsize(path))


def _fetch(address: str, scratch: Path) -> tuple[str, int]:
    """Copy an http(s) input once, and check its length against what the server announced."""
    name = os.path.basename(urllib.parse.urlsplit(address).path) or "input"
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}-{name}"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as reply, open(target, "wb") as copy:
            shutil.copyfileobj(reply, copy)
            announced = reply.headers.get("Content-Length")
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "code", None) or getattr(error, "reason", None) or type(error).__name__
        raise DataError(
            f"LS205: --input '{address}' cannot be fetched ({reason}); check the address.", code="LS205"
        ) from None
    size = target.stat().st_size
    if announced is not None and int(announced) != size:
        raise DataError(
            f"LS206: --input '{address}' was cut off: {size} of {announced} bytes arrived; run the command again.",
            code="LS206",
        )
    return str(target), size


def _check_packed(file: InputFile) -> None:
    with open_raw(file.path) as stored:
        content = unpack(stored, file.packing)
        try:
            while content.read(1 << 20):
                pass
        except DECOMPRESSION_ERRORS:
            raise damaged_file_error(file.name, str(file.packing)) from None
