"""Files of arrays: what is read back, and hostile files that are refused before an array is allocated."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from linesmith.core.artifacts.checkpoints import save_arrays
from linesmith.core.artifacts.stored_arrays import load_arrays
from linesmith.core.errors import DataError

ARRAYS = {
    "a/b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
    "scalar": np.float32(2.5),
    "empty": np.empty((0, 3), np.uint8),
    "flags": np.array([True, False]),
}


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def packed(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as out:
        for name, data in [*members, ("__state__.npy", npy(np.frombuffer(b"{}", np.uint8)))]:
            out.writestr(name, data)
    return content.getvalue()


def overlapping() -> bytes:
    """Return a file whose central directory lists one member a hundred times, under a hundred names of equal length."""
    content = packed([("000.npy", npy(np.zeros(1000, np.float32)))])
    start = content.index(b"PK\x01\x02")
    length = content.index(b"PK\x01\x02", start + 1) - start
    entry, rest, end = content[start : start + length], content[start + length : -22], bytearray(content[-22:])
    entries = b"".join(entry.replace(b"000.npy", f"{number:03d}.npy".encode()) for number in range(100))
    struct.pack_into("<HHI", end, 8, 101, 101, len(entries) + len(rest))
    return content[:start] + entries + rest + bytes(end)


def test_arrays_are_read_back_and_can_be_written_to(tmp_path: Path) -> None:
    save_arrays(tmp_path / "x.npz", ARRAYS, {"epoch": 3})
    arrays, state = load_arrays(tmp_path / "x.npz")
    assert state == {"epoch": 3}
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].flags.writeable


def test_headers_are_shown_before_anything_is_allocated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_arrays(tmp_path / "x.npz", ARRAYS)
    allocated: list[object] = []
    monkeypatch.setattr(np, "empty", lambda *shape: allocated.append(shape))

    def check(headers):
        assert headers["a/b"].shape == (2, 3) and headers["scalar"].shape == ()
        raise DataError("LS214", None, "other shapes", "Train again.")

    with pytest.raises(DataError, match="other shapes"):
        load_arrays(tmp_path / "x.npz", check)
    assert allocated == []


ONE = npy(np.zeros(3, np.float32))
HOSTILE = {
    "compressed": packed([("a.npy", ONE)], zipfile.ZIP_DEFLATED),
    "overlapping": overlapping(),
    "longer than it is": packed([("a.npy", ONE.replace(b"(3,)", b"(9,)"))]),
    "shorter than it is": packed([("a.npy", ONE.replace(b"(3,)", b"(1,)"))]),
    "huge": packed([("a.npy", ONE.replace(b"(3,), }", b"(3000000000000,), }"))]),
    "pickled": packed([("a.npy", npy(np.array([{}], object)))]),
    "evaluated": packed([("a.npy", ONE.replace(b"(3,)", b"(1+2,)"))]),
    "of texts": packed([("a.npy", npy(np.array(["a"])))]),
    "no array": packed([("a.txt", ONE)]),
    "no zip file": b"x",
    "other bytes": packed([("a.npy", ONE)]).replace(ONE, ONE[:-1] + b"\1"),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"LS214: model file .* is damaged or foreign"):
        load_arrays(tmp_path / "x.npz")
