"""Index of records by user, by which users instead of records are sampled.

At user level one user is the unit of the claim. A step draws users, and takes all records of a drawn user; so that no user
weighs more than another, at most `per_user` records of each user take part. The hashes of their texts decide which ones, so
that the choice depends on the records of that user alone: not on other users, nor on the order in which records were read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linesmith.core.errors import DataError
from linesmith.records.input.tfrecord_files import TFRecordError, iter_tfrecords

_BATCH = 4096
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class UserIndex:
    """The records of a store, by user.

    Attributes:
        starts: offset in `ranks` of the first record of each user, and the number of ranks at the end, [users + 1].
        ranks: ranks in the store of the records that take part, user after user.
        dropped_records: number of records that do not take part, since their users have too many. It depends on single users
            and must not be released.
    """

    starts: Integers
    ranks: Integers
    dropped_records: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def counts(self, users: Integers) -> Integers:
        """Return the number of records of each of these users that take part, [len(users)], at least 1 each."""
        counts: Integers = self.starts[users + 1] - self.starts[users]
        return counts

    def records_of(self, users: Integers) -> Integers:
        """Return the ranks of all records of these users that take part, user after user.

        Args:
            users: numbers of users, [users].

        Example:
            >>> index = UserIndex(np.array([0, 2, 3]), np.array([4, 7, 0]), dropped_records=0)
            >>> index.records_of(np.array([1, 0])).tolist(), index.records_of(np.array([], np.int64)).tolist()
            ([0, 4, 7], [])
        """
        counts = self.counts(users)
        ends = np.cumsum(counts)
        # Offsets count up within a user; the second term moves them to where the records of that user begin.
        offsets = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.starts[users] - ends + counts, counts)
        ranks: Integers = self.ranks[offsets]
        return ranks


def build_user_index(files: Sequence[Path], *, per_user: int, expected: int) -> UserIndex:
    """Build the index of a token store that was built from the same shards.

    Ranks are those of the canonical order, ascending record hash. Equal records have equal users, so it does not matter which
    of them has which rank. Takes 40 bytes per record while it is built, at most 16 afterwards.

    Args:
        files: gzip TFRecord shards with `record_hash` and `user_hash`.
        per_user: most records of a user that take part; those of the lowest hash are kept.
        expected: number of records in the store.

    Raises:
        DataError: a shard is damaged or carries no users, or the number of records is not the expected one.
    """
    parts = [_read(file) for file in files]
    hashes, users = np.concatenate([np.empty((2, 0), np.int64), *parts], axis=1)
    if len(hashes) != expected:
        raise DataError(
            "LS216",
            None,
            f"the training data hold {len(hashes)} records of a split with users, {expected} were expected",
            "Run tokenize again with --overwrite.",
        )
    return index_by_user(users[np.argsort(hashes, kind="stable")], per_user)


def index_by_user(users: npt.NDArray[np.int64], per_user: int) -> UserIndex:
    """Build the index of records from their users.

    Args:
        users: hash of the user of each record, in the order of ranks, [records].
        per_user: most records of a user that take part; those of the lowest rank are kept.

    Example:
        >>> index = index_by_user(np.array([8, 5, 8, 8]), per_user=2)
        >>> index.starts.tolist(), index.ranks.tolist(), index.dropped_records
        ([0, 1, 3], [1, 0, 2], 1)
    """
    order = np.argsort(users, kind="stable")
    _, first, counts = np.unique(users[order], return_index=True, return_counts=True)
    number_within_user = np.arange(len(order)) - np.repeat(first, counts)
    kept = order[number_within_user < per_user]
    starts = np.concatenate([[0], np.cumsum(np.minimum(counts, per_user))]).astype(np.int64)
    return UserIndex(starts, kept.astype(np.int64), len(order) - len(kept))


def _read(file: Path) -> npt.NDArray[np.int64]:
    """Read the record hashes and the user hashes of a shard, [2, records]."""
    import tensorflow as tf

    features = {name: tf.io.FixedLenFeature([], tf.int64) for name in ("record_hash", "user_hash")}
    found = [np.empty((2, 0), np.int64)]
    try:
        for serialized in iter_tfrecords(file, _BATCH):
            batch = tf.io.parse_example(serialized, features)
            found.append(np.stack([batch["record_hash"].numpy(), batch["user_hash"].numpy()]))
    except (TFRecordError, tf.errors.OpError):  # TensorFlow's message may quote the record, so it is not repeated
        raise DataError(
            "LS216",
            None,
            f"training data '{file}' are damaged, or do not say whose a record is",
            "Run tokenize with the same --privacy-key-field and --overwrite.",
        ) from None
    return np.concatenate(found, axis=1)
