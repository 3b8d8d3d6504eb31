"""State of training after an epoch: passed to callbacks, and one row per epoch in `model_history.csv`."""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from linesmith.core.artifacts.files import open_regular, write_bytes
from linesmith.core.errors import DataError

_MAX_BYTES = 64 << 20
HISTORY_FILE = "model_history.csv"
COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "epsilon", "delta", "best")
SOURCE = "val_source"  # last column, only where the validation loss is not computed from the raw validation records


@dataclass(frozen=True)
class EpochState:
    """State of training after an epoch. A value that was not measured is None, never 0.

    Attributes:
        epoch: from 0.
        accuracy, loss: over the training tokens of this epoch; the loss is in nats per token.
        val_accuracy, val_loss: over the validation tokens.
        batch: number of training steps that were run in this epoch.
        epsilon, delta: privacy spent so far; only with differential privacy.
        val_source: what val_loss is computed from; only with differential privacy: 'noised' (validation records, with noise
            that is charged) or 'public file'.
    """

    epoch: int
    accuracy: float | None = None
    loss: float | None = None
    val_accuracy: float | None = None
    val_loss: float | None = None
    batch: int | None = None
    epsilon: float | None = None
    delta: float | None = None
    val_source: str | None = None

    def metric(self, name: str) -> float | None:
        """Return the metric of this name: loss, accuracy, val_loss or val_accuracy."""
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "val_loss": self.val_loss,
            "val_accuracy": self.val_accuracy,
        }[name]


def open_history(path: Path) -> IO[str]:
    """Open a history, which may come from somebody else.

    Raises:
        OSError: there is none, or it is no file of such a size.
    """
    stream = open_regular(path)
    if os.fstat(stream.fileno()).st_size > _MAX_BYTES:
        stream.close()
        raise OSError(errno.EFBIG, "too long", str(path))
    return io.TextIOWrapper(stream, "utf-8", newline="")


def read_history(path: Path) -> list[dict[str, float | None]]:
    """Return the rows of a history by column, None for what was not measured; no rows where there is no file.

    Raises:
        DataError: LS201, the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        with open_history(path) as table:
            rows = [{name: row[name] for name in COLUMNS} for row in csv.DictReader(table)]
        return [{name: float(value) if value else None for name, value in row.items()} for row in rows]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise DataError(
            "LS201", None, f"the history '{path}' is damaged", "Delete it, or train again with --overwrite."
        ) from None


def write_history(path: str | Path, states: Sequence[EpochState], best_epoch: int | None) -> None:
    """Write the history atomically, numbers unrounded.

    Args:
        path: of the CSV file.
        states: one per epoch, in order.
        best_epoch: the epoch whose row has 1 in the column `best`, all others have 0; None: all have 0.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    sources = any(state.val_source is not None for state in states)
    writer.writerow([*COLUMNS, SOURCE] if sources else COLUMNS)
    for state in states:
        numbers = [getattr(state, name) for name in COLUMNS[1:-1]]
        # Not the repr of a scalar of numpy 2, which names its type.
        row = [state.epoch, *("" if number is None else repr(float(number)) for number in numbers)]
        last = [state.val_source or ""] if sources else []
        writer.writerow([*row, int(state.epoch == best_epoch), *last])
    write_bytes(path, text.getvalue().encode("utf-8"))
