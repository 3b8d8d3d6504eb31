"""The state of a training, and its files: checkpoints, the best weights, the history table; exact resume.

The state that a checkpoint holds (weights, the best ones, optimizer, dropout's counters, position inside the epoch, running
sums, history) is the whole state of training, and one rename puts all of it in place. The best weights and the history table
are files of their own as well; they are written after the checkpoint, from what it holds, and again when training is
resumed. So a run that was killed at any moment and started again ends with the weights and files of an unbroken one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from linesmith.core.artifacts.checkpoints import load_checkpoint, save_arrays, save_checkpoint
from linesmith.core.artifacts.files import remove_temporary_files
from linesmith.core.artifacts.history import EpochState, write_history
from linesmith.core.errors import DataError

BEST = "best.npz"
EPOCH_FILE_PATTERN = "epoch-*.npz"
_OF_BEST = "best/"  # begins the names of the best weights in a checkpoint


@dataclass
class TrainingState:
    """Where training stands. Everything here goes into each checkpoint.

    Attributes:
        epoch: the epoch that is running or comes next, from 0.
        step: steps of it that are done.
        total_steps: steps since the beginning.
        sums: loss, right predictions and tokens of the running epoch; unused in private training.
        charged_steps: steps that privacy was spent on, those included that a crash took back; 0 without privacy.
        charged_evaluations: likewise, noised evaluations.
        left_out: records of private training whose gradient was not finite, once for each step; not to be released.
        elapsed: seconds of training, earlier starts of the same run included.
        history: one entry for each finished epoch.
        best_epoch: the one that the metric prefers; None before the first.
        stopped: why training ended: 'epochs', 'patience', 'time', 'budget' or 'diverged'; None while it goes on.
    """

    epoch: int = 0
    step: int = 0
    total_steps: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    charged_steps: int = 0
    charged_evaluations: int = 0
    left_out: int = 0
    elapsed: float = 0.0
    history: list[EpochState] = field(default_factory=list)
    best_epoch: int | None = None
    stopped: str | None = None

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> TrainingState:
        return cls(**{**stored, "history": [EpochState(**entry) for entry in stored["history"]]})


@dataclass(frozen=True)
class TrainingFiles:
    """Where a training leaves its state, and finds it again.

    Attributes:
        directory: where weights go.
        resume_directory: where the state of an unfinished training goes.
        history_path: where the history table goes.
        identity: what a resumed run must have in common: settings and data digests, by name.
    """

    directory: Path
    resume_directory: Path
    history_path: Path
    identity: dict[str, Any]

    def save(self, state: TrainingState, variables: Sequence[Any], best: Mapping[str, np.ndarray]) -> None:
        """Write a checkpoint.

        Args:
            state: where training stands.
            variables: everything that has a value.
            best: the best weights by path; empty before there are any.
        """
        arrays = {f"{i:04d}/{variable.path}": variable.numpy() for i, variable in enumerate(variables)}
        arrays |= {_OF_BEST + path: array for path, array in best.items()}
        save_checkpoint(self.resume_directory, arrays, {"identity": self.identity, "state": asdict(state)})

    def save_epoch(self, epoch: int, weights: Mapping[str, np.ndarray]) -> None:
        """Write the weights that an epoch ended with."""
        save_arrays(self.directory / epoch_file_name(epoch), weights, {"epoch": epoch})

    def write_results(self, state: TrainingState, best: Mapping[str, np.ndarray]) -> None:
        """The best weights and the history table, as the newest checkpoint has them; absent before there are any."""
        if state.best_epoch is not None:
            save_arrays(self.directory / BEST, best, {"epoch": state.best_epoch})
        else:
            (self.directory / BEST).unlink(missing_ok=True)
        if state.history:
            write_history(self.history_path, state.history, state.best_epoch)
        else:
            self.history_path.unlink(missing_ok=True)

    def load(self, variables: Sequence[Any]) -> tuple[TrainingState, dict[str, np.ndarray]] | None:
        """The state and the best weights of an earlier start of the same run; None where there was none.

        Args:
            variables: as they were saved; they are given their values.

        Raises:
            DataError: the checkpoint belongs to other settings or other data; the message names the difference.
        """
        found = load_checkpoint(self.resume_directory)
        if found is None:
            return None
        arrays, stored = found
        self._check(stored.get("identity", {}))
        best = {name.removeprefix(_OF_BEST): a for name, a in arrays.items() if name.startswith(_OF_BEST)}
        current = [array for name, array in arrays.items() if not name.startswith(_OF_BEST)]
        for variable, array in zip(variables, current, strict=True):
            variable.assign(array)
        return TrainingState.from_json(stored["state"]), best

    def remove_partial_files(self, state: TrainingState) -> None:
        """Delete what an earlier start left half done, as seen from the state that it left."""
        for directory in {self.directory, self.resume_directory, self.history_path.parent}:
            remove_temporary_files(directory)
        for path in self.directory.glob(EPOCH_FILE_PATTERN):
            if path.name >= epoch_file_name(state.epoch):  # of an epoch that is going to be run again
                path.unlink()

    def _check(self, identity: Mapping[str, Any]) -> None:
        for name, value in self.identity.items():
            found = identity.get(name)
            if found != value:
                raise DataError(
                    f"LS204: the unfinished training in '{self.resume_directory.parent}' has {name} {found!r}, "
                    f"this run {value!r}; use the same value to resume it, or pass --overwrite to begin anew."
                )


def epoch_file_name(epoch: int) -> str:
    """Name of the checkpoint of an epoch."""
    return f"epoch-{epoch:04d}.npz"
