"""Checkpoints: named arrays and a JSON state in one file of NumPy's zip format (.npz), without pickle.

An unfinished training keeps its two newest checkpoints, so that a damaged one costs minutes and not the whole training.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from linesmith.core.artifacts.files import atomic_path
from linesmith.core.artifacts.stored_arrays import STATE_NAME, load_arrays
from linesmith.core.errors import DataError

LAST, PREVIOUS = "last.npz", "previous.npz"
_log = logging.getLogger("linesmith")


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any] | None = None) -> None:
    """Write named arrays and a JSON state to one file, atomically. Equal content gives equal bytes."""
    # A slash in a name would be a folder in the zip file.
    packed = {name.replace("/", "|"): np.asarray(array) for name, array in arrays.items()}
    packed[STATE_NAME] = np.frombuffer(json.dumps(state if state is not None else {}).encode("utf-8"), np.uint8)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as out:
        # As `np.savez` does, which does not close its ZipFile where writing fails: that complains when it is collected.
        for name, array in packed.items():
            with out.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def save_checkpoint(directory: Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Write the newest checkpoint of a training and keep the one before it.

    A process that is killed at any moment of this leaves at least one complete checkpoint, if there was one before.
    """
    last = directory / LAST
    if last.is_file():
        os.replace(last, directory / PREVIOUS)
    save_arrays(last, arrays, state)


def load_checkpoint(directory: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Return the newest complete checkpoint of a training; None where there is none.

    A damaged checkpoint is skipped with a warning and deleted: `save_checkpoint` must not put it in the place of the good
    one that was written before it.
    """
    for name in (LAST, PREVIOUS):
        path = directory / name
        if not path.is_file():
            continue
        try:
            return load_arrays(path)
        except DataError:
            _log.warning(
                "checkpoint '%s' is cut off or damaged and is skipped; training goes on from an earlier one", path
            )
            path.unlink()
    return None


def has_checkpoint(directory: Path) -> bool:
    """Return whether a training has written a checkpoint here, which may be damaged."""
    return any((directory / name).is_file() for name in (LAST, PREVIOUS))


def digest_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 over names, shapes, types and values in order of name, in hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
