"""Weights from a checkpoint of TensorFlow. It is read as a table of arrays: no graph or object of it is built.

Names, shapes and types are those that the settings and the vocabulary call for, and the files are large enough to hold them,
before any array is allocated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from linesmith.core.library_logging import quiet_import
from linesmith.pipelines.import_gretel.folder import CHECKPOINT_FILE, damaged_error, read_file

_MAX_STATE_BYTES = 1 << 20
_MAX_NAME_BYTES = 200  # file systems allow 255, and the files have endings
_LATEST = re.compile(rb'^model_checkpoint_path:\s*"([^"\n]{1,4000})"', re.MULTILINE)
_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def read_checkpoint(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Read the arrays of the newest checkpoint of a model folder.

    Args:
        folder: the model folder; only files in it are read, whatever path its `checkpoint` file names.
        shapes: shape of each array that is read, by name; other arrays, such as those of the optimizer, are left alone.

    Returns:
        float32 arrays by name.

    Raises:
        DataError: LS241, a file is missing or damaged, or holds other arrays.
    """
    index = _latest_index(folder)
    data = [path for path in folder.glob(f"{_glob_text(index.stem)}.data-*") if path.is_file()]
    if not index.is_file() or not data:
        missing = index.name if data else f"{index.stem}.data-00000-of-00001"
        raise damaged_error(folder / missing, "is missing")
    needed = 4 * sum(math.prod(shape) for shape in shapes.values())
    if sum(path.stat().st_size for path in data) < needed:
        raise damaged_error(
            data[0], f"is too small for the {needed:,} bytes of weights that the settings and the vocabulary call for"
        )
    with quiet_import():
        import tensorflow as tf
    try:
        reader = tf.train.load_checkpoint(str(index.with_suffix("")))
        found, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        for name, shape in shapes.items():
            _check(index, name, shape, found.get(name + _SUFFIX), types.get(name + _SUFFIX) == tf.float32)
        arrays = {name: np.asarray(reader.get_tensor(name + _SUFFIX)) for name in shapes}
    except (tf.errors.OpError, RuntimeError, LookupError, TypeError, UnicodeDecodeError):
        raise damaged_error(index, "or the data beside it are cut off or damaged") from None
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise damaged_error(index, "holds weights that are not finite numbers")
    return arrays


def _check(index: Path, name: str, shape: tuple[int, ...], found: list[int] | None, is_float32: bool) -> None:
    """Refuse an array that is missing, or has another shape or type."""
    if found is None:
        raise damaged_error(index, f"has no array {name}, so that it is of another network")
    if tuple(found) != shape or not is_float32:
        raise damaged_error(
            index,
            f"has an array {name} of the shape {tuple(found)}, but the settings and the vocabulary call for {shape} of float32",
        )


def _latest_index(folder: Path) -> Path:
    """Return the path of the newest checkpoint's index; a stored path may be of another machine, and only its name counts."""
    match = _LATEST.search(read_file(folder / CHECKPOINT_FILE, _MAX_STATE_BYTES))
    name = "" if match is None else re.split(r"[/\\]", match[1].decode("utf-8", "replace"))[-1]
    if name in ("", ".", "..") or not name.isprintable() or len(name.encode()) > _MAX_NAME_BYTES:
        raise damaged_error(folder / CHECKPOINT_FILE, "names no checkpoint")
    return folder / f"{name}.index"


def _glob_text(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)
