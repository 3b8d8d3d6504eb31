"""Arrays and a state in one file, written whole: numpy's zip format, never pickle.

An unfinished training keeps its two newest checkpoints, so that one which the disk has torn costs minutes, not the training.
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
from linesmith.core.errors import DataError

LAST, PREVIOUS = "last.npz", "previous.npz"
_STATE = "__state__"
_log = logging.getLogger("linesmith")


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any] | None = None) -> None:
    """Write named arrays, and a JSON state beside them, atomically. Same content, same bytes."""
    packed = {name.replace("/", "|"): np.asarray(array) for name, array in arrays.items()}
    packed[_STATE] = np.frombuffer(json.dumps(state if state is not None else {}).encode("utf-8"), np.uint8)
    with atomic_path(path) as temporary, open(temporary, "wb") as out:
        np.savez(out, **packed)


def load_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `save_arrays` wrote: arrays by name, and the state.

    Raises:
        DataError: the file is missing, cut off, or not one of ours.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name.replace("|", "/"): stored[name] for name in stored.files if name != _STATE}
            return arrays, json.loads(stored[_STATE].tobytes())
    except FileNotFoundError:
        raise DataError(f"LS206: model file '{path}' is missing; train again, or restore the run directory.") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, TypeError, AttributeError):
        raise DataError(f"LS206: model file '{path}' is damaged or foreign; train again with --overwrite.") from None


def save_checkpoint(directory: Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Write the newest checkpoint of a training; the one before it is kept, an older one is not.

    A process that dies at any moment of this leaves at least one whole checkpoint, if there was one before.
    """
    last = directory / LAST
    if last.is_file():
        os.replace(last, directory / PREVIOUS)
    save_arrays(last, arrays, state)


def load_checkpoint(directory: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The newest whole checkpoint of a training; None where there is none.

    A torn one is skipped with a message, and deleted: it must not take the place of the good one that came before it.
    """
    for name in (LAST, PREVIOUS):
        path = directory / name
        if not path.is_file():
            continue
        try:
            return load_arrays(path)
        except DataError:
            _log.warning(
                "checkpoint '%s' is torn or damaged and is skipped; training goes on from an earlier one", path
            )
            path.unlink()
    return None


def has_checkpoint(directory: Path) -> bool:
    """Whether a training was begun here, as far as a checkpoint; it may be torn."""
    return any((directory / name).is_file() for name in (LAST, PREVIOUS))


def digest_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Hex SHA-256 over names, shapes, types and values, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
