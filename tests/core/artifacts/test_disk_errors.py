"""Faults of a disk, in every form in which they arrive, become one paragraph that names the place."""

from __future__ import annotations

import errno
import gc
import os

import numpy as np
import pytest

from linesmith.cli.errors import explain
from linesmith.core.artifacts.checkpoints import load_checkpoint, save_arrays
from linesmith.core.artifacts.disk_errors import disk_error, disk_errors_named
from linesmith.core.artifacts.run_directory import RunDirectory, locked
from linesmith.core.errors import DataError, ParameterError


class WorkerError(RuntimeError):
    """What Beam raises: a traceback as text."""


def raised_from(cause: BaseException) -> BaseException:
    try:
        raise WorkerError("while running 'Write'") from cause
    except WorkerError as error:
        return error


FULL = "No space left on device"


@pytest.mark.parametrize(
    ("failure", "place", "why"),
    [
        (OSError(errno.ENOSPC, FULL), "/out", FULL),
        (OSError(errno.ENOSPC, FULL, "/out/x"), "/out/x", FULL),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "/out", "Disk quota exceeded"),
        (OSError(errno.EROFS, "Read-only file system", "/elsewhere/x"), "/elsewhere/x", "Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", b"/out/\xff"), "/out/", "Permission denied"),
        (OSError(errno.EFBIG, "File too large"), "/out", "ulimit -f"),
        (OSError(errno.EIO, "Input/output error"), "/out", "a file that is needed for '/out' cannot be used"),
        (OSError(errno.EMFILE, "Too many open files", "/out/x"), "/out/x", "ulimit -n"),
        (OSError("4096 requested and 128 written"), "/out", FULL),
        (WorkerError("Traceback …\nOSError: [Errno 28] No space left on device: '/out/s/a b'\n"), "/out/s/a b", FULL),
        (WorkerError("OSError: [Errno 30] Read-only file system [while running 'Encode']"), "/out", "Read-only"),
        (WorkerError("ResourceExhaustedError: /out/x.pb; No space left on device"), "/out", FULL),
        (raised_from(OSError(errno.ENOSPC, FULL, "/out/x")), "/out/x", FULL),
        (ValueError("a record: [Errno 28] No space left on device"), None, ""),
        (FileNotFoundError(errno.ENOENT, "No such file", "/out/x"), None, ""),
        (OSError("something else"), None, ""),
        (WorkerError("KeyError: 'x'"), None, ""),
    ],
)
def test_a_fault_of_the_disk_is_told_from_others(failure, place, why):
    found = disk_error(failure, "/out", "--output '/out'")
    if place is None:
        assert found is None
        return
    assert found is not None and found.code == "LS209" and found.exit_code == 2
    assert f"'{place}" in str(found) and why in str(found) and "None" not in str(found)
    assert ("--output" in str(found)) is place.startswith("/out")
    assert explain(found) == (str(found), 2)


def test_a_failure_outside_of_a_stage_has_the_same_message():
    message, code = explain(OSError(errno.ENOSPC, FULL))
    assert code == 2 and message.startswith("LS209: '/") and FULL in message
    assert "fault of Linesmith" in explain(ValueError("x"))[0]


def test_errors_of_linesmith_and_others_pass_unchanged(tmp_path):
    for error in (ParameterError("LS101", None, "x", "Y."), ValueError("x")):
        with pytest.raises(type(error)) as caught, disk_errors_named(tmp_path):
            raise error
        assert caught.value is error


def test_the_lock_of_a_run_directory_names_its_place(tmp_path):
    found = rf"LS209: --output '{tmp_path}': '{tmp_path}' cannot be written"
    with pytest.raises(DataError, match=found), locked(RunDirectory(tmp_path)):
        raise OSError(errno.ENOSPC, FULL)
    assert not (tmp_path / ".tmp").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_checkpoint_on_a_full_disk_leaves_the_one_before_and_no_complaint(tmp_path, monkeypatch, recwarn):
    save_arrays(tmp_path / "last.npz", {"a": np.zeros(3)}, {"epoch": 1})
    monkeypatch.setattr("linesmith.core.artifacts.checkpoints.atomic_path", lambda path: _full_device())
    unraisable = []
    monkeypatch.setattr("sys.unraisablehook", unraisable.append)
    with pytest.raises(OSError, match=FULL):
        save_arrays(tmp_path / "last.npz", {"a": np.zeros(100_000)}, {"epoch": 2})
    gc.collect()
    assert not unraisable
    found = load_checkpoint(tmp_path)
    assert found is not None and found[1] == {"epoch": 1}


class _full_device:
    def __enter__(self):
        return "/dev/full"

    def __exit__(self, *_):
        return None


def test_arrays_are_written_as_numpy_writes_them(tmp_path):
    arrays = {"b": np.arange(6.0).reshape(2, 3), "a": np.asfortranarray(np.ones((2, 3), np.float32))}
    save_arrays(tmp_path / "ours.npz", arrays, {})
    np.savez(tmp_path / "theirs.npz", **arrays, __state__=np.frombuffer(b"{}", np.uint8))
    assert (tmp_path / "ours.npz").read_bytes() == (tmp_path / "theirs.npz").read_bytes()
