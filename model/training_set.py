"""Which records the model has learnt from, as a sorted array of their 64-bit hashes: what `not_in_training_set` asks.

Made once, before generation, from the hashes that stand in the training data beside the ids: training and validation side,
not the holdout, which no model has seen. Eight bytes a record, memory-mapped and so shared by all workers. Two texts that
differ meet in a hash once in 2^64 / records tries.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model.errors import DataError
from model.files import atomic_path
from model.records import digest_of

_BATCH = 16_384


class TrainingSet:
    """The hashes in a file that `write_training_set` wrote."""

    def __init__(self, path: str | Path) -> None:
        self._hashes = np.load(path, mmap_mode="r", allow_pickle=False)

    def __contains__(self, text: object) -> bool:
        if not isinstance(text, str) or not len(self._hashes):
            return False
        wanted = digest_of(text.encode()).record
        place = int(np.searchsorted(self._hashes, wanted))
        return place < len(self._hashes) and int(self._hashes[place]) == wanted

    def __len__(self) -> int:
        return len(self._hashes)


def write_training_set(path: str | Path, training_data: Path) -> int:
    """Write the hashes of the records in a directory of training data. Returns how many different ones there are.

    Raises:
        DataError: LS201, there are no training data, LS205, or they are damaged.
    """
    import tensorflow as tf

    files = sorted(file for side in ("train", "validation") for file in training_data.glob(f"{side}-*.tfrecord.gz"))
    if not files:
        raise DataError(
            f"LS201: the rule not_in_training_set needs the training data, and there are none in '{training_data}': generate "
            "in the run directory of the training, or leave the rule out.",
            code="LS201",
        )
    feature = {"record_hash": tf.io.FixedLenFeature([], tf.int64)}
    parts: list[np.ndarray] = [np.empty(0, np.int64)]
    for file in files:
        try:
            for batch in tf.data.TFRecordDataset(str(file), "GZIP").batch(_BATCH):
                parts.append(tf.io.parse_example(batch, feature)["record_hash"].numpy())
        except tf.errors.OpError:  # its message may quote the record
            raise DataError(
                f"LS205: training data '{file}' is damaged. Run tokenize again with --overwrite.", code="LS205"
            ) from None
    hashes = np.unique(np.concatenate(parts))
    with atomic_path(path) as temporary, open(temporary, "wb") as out:
        np.save(out, hashes, allow_pickle=False)
    return len(hashes)
