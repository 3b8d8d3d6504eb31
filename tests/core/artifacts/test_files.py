"""Files appear completely or not at all, and the temporary files of killed writers are recognized by their names."""

from __future__ import annotations

import pytest

from linesmith.core.artifacts.files import atomic_path, remove_temporary_files


def test_two_writers_of_one_file_use_different_temporary_names(tmp_path):
    final = tmp_path / "file.json"
    with atomic_path(final) as one, atomic_path(final) as other:
        one.write_text("one")
        other.write_text("other")
    assert final.read_text() == "one"  # the outer block ends last
    assert list(tmp_path.iterdir()) == [final]


def test_a_block_that_fails_keeps_the_earlier_file(tmp_path):
    final = tmp_path / "file.json"
    final.write_text("before")
    with pytest.raises(KeyError), atomic_path(final) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert final.read_text() == "before"
    assert list(tmp_path.iterdir()) == [final]


def test_only_files_of_killed_writers_are_deleted(tmp_path):
    with atomic_path(tmp_path / "best.npz") as temporary:
        temporary.write_bytes(b"")
        ours = [temporary.name, ".history.csv.77.tmp"]
    others = ["best.npz", ".notes.tmp", ".notes.old.tmp", f"x{temporary.name}"]
    for name in [*ours, *others]:
        (tmp_path / name).write_bytes(b"half")
    remove_temporary_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
