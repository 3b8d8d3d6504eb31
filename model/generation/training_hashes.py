"""Write the sorted hashes of the training records, which the rule `not_in_training_set` looks up.

They are made once, before generation, from the hashes beside the token ids in the training data: those of the training and
the validation side, not of the holdout, which no model has seen. Eight bytes per record. Two different texts share a hash
with probability 2⁻⁶⁴.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from linesmith.core.artifacts.files import atomic_path
from linesmith.core.errors import DataError
from linesmith.records.input.tfrecord_files import ExampleError, TFRecordError, integers_of, iter_tfrecords

_BATCH = 16_384


def write_training_hashes(path: str | Path, training_data: Path) -> int:
    """Write the distinct hashes of the records in a directory of training data, sorted, as a NumPy file.

    Args:
        path: file to write.
        training_data: directory of training data.

    Returns:
        How many there are.

    Raises:
        DataError: LS201, there are no training data; LS216, they are damaged.
    """
    files = sorted(file for side in ("train", "validation") for file in training_data.glob(f"{side}-*.tfrecord.gz"))
    if not files:
        raise DataError(
            "LS201",
            None,
            f"the rule not_in_training_set needs the training data, and there are none in '{training_data}'",
            "Generate in the run directory of the training, or leave the rule out.",
        )
    parts: list[np.ndarray] = [np.empty(0, np.int64)]
    for file in files:
        try:
            for batch in iter_tfrecords(file, _BATCH):
                parts.append(np.array([record_hash(serialized) for serialized in batch], np.int64))
        except (TFRecordError, ExampleError):
            raise DataError(
                "LS216", None, f"training data '{file}' is damaged", "Run tokenize again with --overwrite."
            ) from None
    hashes = np.unique(np.concatenate(parts))
    with atomic_path(path) as temporary, open(temporary, "wb") as out:
        np.save(out, hashes, allow_pickle=False)
    return len(hashes)


def record_hash(serialized: bytes) -> int:
    """Return the hash of a record of the training data.

    Args:
        serialized: its example.

    Raises:
        ExampleError: it has none, or several.
    """
    hashes = integers_of(serialized, "record_hash")
    if len(hashes) != 1:
        raise ExampleError("not one hash")
    return hashes[0]
