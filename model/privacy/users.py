"""Whose record is whose: the index by which users, and not records, are sampled.

At user level one user is the unit of the claim. A step draws users, and takes all of a drawn user's records; so that no user
weighs more than another, at most `per_user` of each user's records take part. Which ones is decided by the hash of their
text: it depends on that user's records alone, never on other users, nor on the order in which records were read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linesmith.core.errors import DataError

_BATCH = 4096
Ranks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class UserIndex:
    """The records of a store, by user.

    Attributes:
        starts: where each user's ranks begin in `ranks`; one more at the end, [users + 1].
        ranks: ranks in the store of the records that take part, user after user.
        dropped: records that do not take part, since their users have too many. Depends on single users: not to be released.
    """

    starts: Ranks
    ranks: Ranks
    dropped: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def counts(self, users: Ranks) -> Ranks:
        """How many records of each of these users take part, at least 1."""
        found: Ranks = self.starts[users + 1] - self.starts[users]
        return found

    def records_of(self, users: Ranks) -> Ranks:
        """Ranks of all records of these users that take part, user after user.

        Example:
            >>> index = UserIndex(np.array([0, 2, 3]), np.array([4, 7, 0]), dropped=0)
            >>> index.records_of(np.array([1, 0])).tolist(), index.records_of(np.array([], np.int64)).tolist()
            ([0, 4, 7], [])
        """
        counts = self.counts(users)
        ends = np.cumsum(counts)
        # Places count up within a user and jump to the next one's start where a user begins.
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.starts[users] - ends + counts, counts)
        found: Ranks = self.ranks[places]
        return found


def build_user_index(files: Sequence[Path], *, per_user: int, expected: int) -> UserIndex:
    """The index of a store that was built from the same shards.

    Ranks are those of the canonical order: ascending record hash. Equal records have equal users, so it does not matter which
    of them has which rank. Takes 40 bytes a record while it is built, at most 16 afterwards.

    Args:
        files: gzip TFRecord shards with `record_hash` and `user_hash`.
        per_user: most records of a user that take part; those of the lowest hash are kept.
        expected: records that the store holds.

    Raises:
        DataError: a shard is damaged or carries no users, or the number of records is another.
    """
    parts = [_read(file) for file in files]
    hashes, users = np.concatenate([np.empty((2, 0), np.int64), *parts], axis=1)
    if len(hashes) != expected:
        raise DataError(
            f"LS205: the training data hold {len(hashes)} records of a split with users, {expected} were expected; run "
            "tokenize again with --overwrite.",
            code="LS205",
        )
    return index_by_user(users[np.argsort(hashes, kind="stable")], per_user)


def index_by_user(users: npt.NDArray[np.int64], per_user: int) -> UserIndex:
    """The index of records given by their users, in the order of ranks.

    Example:
        >>> index = index_by_user(np.array([8, 5, 8, 8]), per_user=2)
        >>> index.starts.tolist(), index.ranks.tolist(), index.dropped
        ([0, 1, 3], [1, 0, 2], 1)
    """
    order = np.argsort(users, kind="stable")
    _, first, counts = np.unique(users[order], return_index=True, return_counts=True)
    within = np.arange(len(order)) - np.repeat(first, counts)
    kept = order[within < per_user]
    starts = np.concatenate([[0], np.cumsum(np.minimum(counts, per_user))]).astype(np.int64)
    return UserIndex(starts, kept.astype(np.int64), len(order) - len(kept))


def _read(file: Path) -> npt.NDArray[np.int64]:
    """Record hashes and user hashes of a shard, [2, records]."""
    import tensorflow as tf

    features = {name: tf.io.FixedLenFeature([], tf.int64) for name in ("record_hash", "user_hash")}
    shard = tf.data.TFRecordDataset(str(file), "GZIP").batch(_BATCH)
    found = [np.empty((2, 0), np.int64)]
    try:
        for batch in shard.map(lambda serialized: tf.io.parse_example(serialized, features)).prefetch(2):
            found.append(np.stack([batch["record_hash"].numpy(), batch["user_hash"].numpy()]))
    except tf.errors.OpError:  # its message may quote the record, so it is not repeated
        raise DataError(
            f"LS205: training data '{file}' are damaged, or do not say whose a record is. Run tokenize with the same "
            "--privacy-key-field and --overwrite.",
            code="LS205",
        ) from None
    return np.concatenate(found, axis=1)
