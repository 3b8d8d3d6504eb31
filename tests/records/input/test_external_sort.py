"""The external sort equals NumPy's stable sort for any keys, and needs little memory."""

from __future__ import annotations

import os
import subprocess
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.records.input import external_sort
from linesmith.records.input.external_sort import sort_rows

ROW = np.dtype([("hash", "<i8"), ("position", "<i8")])


def _rows(keys) -> np.ndarray:
    rows = np.empty(len(keys), ROW)
    rows["hash"], rows["position"] = keys, np.arange(len(keys))
    return rows


def _sorted(path, rows: np.ndarray) -> np.ndarray:
    path.write_bytes(rows.tobytes())
    sort_rows(path, ROW, "hash")
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return np.frombuffer(path.read_bytes(), ROW)


@given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-2, 2)), max_size=60), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_it_is_a_stable_sort(tmp_path_factory, keys, block):
    rows = _rows(np.array(keys, np.int64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external_sort, "BLOCK_ROWS", block)
        found = _sorted(tmp_path_factory.mktemp("sort") / "rows", rows)
    assert found.tolist() == rows[np.argsort(rows["hash"], kind="stable")].tolist()


@pytest.mark.parametrize("distinct", [1, 3, 2**40])
def test_many_rows_in_memory_that_does_not_grow(tmp_path, distinct):
    rows = _rows(np.random.default_rng(0).integers(-distinct, distinct, 400_000))
    (tmp_path / "rows").write_bytes(rows.tobytes())
    tracemalloc.start()
    sort_rows(tmp_path / "rows", ROW, "hash")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6  # the rows themselves are 6.4 MB; ten times as many need no more
    assert np.array_equal(np.fromfile(tmp_path / "rows", ROW)["position"], np.argsort(rows["hash"], kind="stable"))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_is_an_error_and_does_not_kill_the_process(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("may not mount")
    try:
        path = tmp_path / "rows"
        np.random.default_rng(1).integers(0, 1 << 60, 5000).tofile(path)  # 40 of 64 KB: no room for a second file
        with pytest.raises(OSError, match="No space left"):
            sort_rows(path, np.dtype([("key", np.int64)]), "key")
        assert [found.name for found in tmp_path.iterdir()] == ["rows"]
    finally:
        subprocess.run(["umount", tmp_path], check=True)
