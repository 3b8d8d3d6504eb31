"""Read arrays from a file of NumPy's zip format (.npz) whose headers are checked before any array is allocated.

Only what `linesmith.core.artifacts.checkpoints.save_arrays` writes is read: members that are stored and not compressed, so that
no array is larger than the file; of numbers, so that nothing is unpickled; and one member per name, none inside another.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from linesmith.core.artifacts.files import open_regular
from linesmith.core.errors import DataError
from linesmith.core.parsing import parse_json

STATE_NAME = "__state__"
_MAX_STATE_BYTES = 64 << 20
_MAX_MEMBERS = 10_000
_CHUNK_BYTES = 1 << 20
# What NumPy writes before the numbers of an array (format version 1.0). It is parsed here, since NumPy would evaluate it.
_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '([<|][biuf](?:1|2|4|8))', 'fortran_order': (False|True), "
    rb"'shape': \((\d{1,12},|(?:\d{1,12}, )+\d{1,12})?\), \} *\n"
)
_FORMAT_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    IndexError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class ArrayHeader:
    """What a file says of an array before its numbers.

    Attributes:
        shape: its axes.
        dtype: type of its numbers.
        fortran_order: the first axis changes fastest.
        member: name of its member of the zip file.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    member: str


Headers = Mapping[str, ArrayHeader]


def load_arrays(
    path: str | Path, check: Callable[[Headers], None] = lambda headers: None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays and the JSON state of a file.

    Args:
        path: of the file.
        check: called with the headers of the arrays, by name, before any array is allocated; raises to refuse them.

    Returns:
        The arrays, by name, and the state.

    Raises:
        DataError: LS214, the file is missing, damaged, or not one that `save_arrays` writes.
    """
    try:
        with open_regular(path) as content, zipfile.ZipFile(content) as stored:
            headers = _read_headers(stored, Path(path).stat().st_size)
            state_header = headers.pop(STATE_NAME)
            if prod(state_header.shape) > _MAX_STATE_BYTES:
                raise ValueError("the state is too long")
            check(headers)
            state = parse_json(_read_array(stored, state_header).tobytes())
            if not isinstance(state, dict):
                raise ValueError("no state")
            return {name: _read_array(stored, header) for name, header in headers.items()}, state
    except FileNotFoundError:
        raise DataError(
            "LS214", None, f"model file '{path}' is missing", "Train again, or restore the run directory."
        ) from None
    except DataError:
        raise
    except _FORMAT_ERRORS:
        raise DataError(
            "LS214", None, f"model file '{path}' is damaged or foreign", "Train again with --overwrite."
        ) from None


def _read_headers(stored: zipfile.ZipFile, file_bytes: int) -> dict[str, ArrayHeader]:
    members = stored.infolist()
    if len(members) > _MAX_MEMBERS or len(set(stored.namelist())) < len(members):
        raise ValueError("too many members, or two of one name")
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        raise ValueError("a member is compressed or encrypted")
    # More than the file has in all: members lie over one another.
    if any(member.file_size != member.compress_size for member in members) or (
        sum(member.file_size for member in members) > file_bytes
    ):
        raise ValueError("the members are larger than the file")
    headers = {}
    for member in members:
        if not member.filename.endswith(".npy"):
            raise ValueError("a member is no array")
        with stored.open(member) as content:
            header, length = _read_header(content, member.filename)
        if length + prod(header.shape) * header.dtype.itemsize != member.file_size:
            raise ValueError("a member is longer or shorter than its array")
        headers[member.filename.removesuffix(".npy").replace("|", "/")] = header
    return headers


def _read_header(content: IO[bytes], member: str) -> tuple[ArrayHeader, int]:
    """Return the header of an array and its number of bytes; the stream is at the first number afterwards."""
    start = content.read(len(_MAGIC) + 2)
    length = int.from_bytes(start[len(_MAGIC) :], "little")
    match = _HEADER.fullmatch(content.read(length)) if start.startswith(_MAGIC) else None
    if match is None:
        raise ValueError("not an array of numbers")
    shape = tuple(int(axis) for axis in (match[3] or b"").split(b",") if axis)
    return ArrayHeader(shape, np.dtype(match[1].decode()), match[2] == b"True", member), len(start) + length


def _read_array(stored: zipfile.ZipFile, header: ArrayHeader) -> np.ndarray:
    with stored.open(header.member) as content:
        _read_header(content, header.member)
        numbers = np.empty(prod(header.shape), header.dtype)
        unread = numbers.view(np.uint8)
        while len(unread):
            part = content.read(min(len(unread), _CHUNK_BYTES))
            if not part:
                raise EOFError
            unread[: len(part)] = np.frombuffer(part, np.uint8)
            unread = unread[len(part) :]
        content.read(1)  # at the end of a member its CRC is compared
    return numbers.reshape(header.shape, order="F" if header.fortran_order else "C")
