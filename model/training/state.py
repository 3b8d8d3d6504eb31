"""The state of a training and its files: checkpoints, best weights, history table; exact resume.

A checkpoint holds the whole state of training: weights, best weights, optimizer, position inside the epoch, running sums and
history. One rename puts all of it in place. The best weights and the history table are files of their own as well; they are
written after the checkpoint, from what it holds, and again when training is resumed. So a run that was killed at any moment
and started again ends with the weights and files of an uninterrupted one.
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
from linesmith.core.artifacts.model_info import BEST_WEIGHTS
from linesmith.core.errors import DataError

EPOCH_FILE_PATTERN = "epoch-*.npz"
_BEST_PREFIX = "best/"  # of the names of the best weights in a checkpoint


@dataclass
class TrainingState:
    """Where training stands; all of it goes into each checkpoint, under these names.

    Attributes:
        epoch: the epoch that is running or comes next, from 0.
        step: number of its steps that are done.
        total_steps: number of steps since the beginning.
        sums: loss in nats, correct predictions and tokens of the running epoch; unused in private training.
        charged_steps: steps charged to the privacy budget, including those that a crash undid; 0 without privacy.
        charged_evaluations: noised evaluations charged to the privacy budget, counted likewise.
        left_out: number of gradients of private training that were not finite, once per record and step; must not be released.
        elapsed: seconds of training, earlier starts of the same run included.
        history: one entry for each finished epoch.
        best_epoch: the epoch that the metric prefers; None before the first.
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
        """Return the state that `dataclasses.asdict` gave."""
        return cls(**{**stored, "history": [EpochState(**entry) for entry in stored["history"]]})


@dataclass(frozen=True)
class TrainingFiles:
    """Files in which a training leaves its state and its results.

    Attributes:
        directory: of the weights.
        resume_directory: of the state of an unfinished training.
        history_path: of the history table.
        identity: settings and data digests, by name, that a resumed run must have in common with the run that it resumes.
    """

    directory: Path
    resume_directory: Path
    history_path: Path
    identity: dict[str, Any]

    def save(self, state: TrainingState, variables: Sequence[Any], best: Mapping[str, np.ndarray]) -> None:
        """Write a checkpoint.

        Args:
            state: where training stands.
            variables: Keras variables whose values are saved.
            best: best weights by path; empty before there are any.
        """
        # Numbered, because the paths of optimizer and model variables may be equal; `load` relies on their order.
        arrays = {f"{i:04d}/{variable.path}": variable.numpy() for i, variable in enumerate(variables)}
        arrays |= {_BEST_PREFIX + path: array for path, array in best.items()}
        save_checkpoint(self.resume_directory, arrays, {"identity": self.identity, "state": asdict(state)})

    def save_epoch(self, epoch: int, weights: Mapping[str, np.ndarray]) -> None:
        """Write the weights at the end of an epoch."""
        save_arrays(self.directory / epoch_file_name(epoch), weights, {"epoch": epoch})

    def write_results(self, state: TrainingState, best: Mapping[str, np.ndarray]) -> None:
        """Write the best weights and the history table, or delete them where the state has none."""
        if state.best_epoch is not None:
            save_arrays(self.directory / BEST_WEIGHTS, best, {"epoch": state.best_epoch})
        else:
            (self.directory / BEST_WEIGHTS).unlink(missing_ok=True)
        if state.history:
            write_history(self.history_path, state.history, state.best_epoch)
        else:
            self.history_path.unlink(missing_ok=True)

    def load(self, variables: Sequence[Any]) -> tuple[TrainingState, dict[str, np.ndarray]] | None:
        """Read the newest checkpoint of an earlier start of the same run.

        Args:
            variables: as they were saved; their saved values are assigned to them.

        Returns:
            The state and the best weights by path; None where there is no checkpoint.

        Raises:
            DataError: the checkpoint belongs to other settings or other data; the message names the difference.
        """
        found = load_checkpoint(self.resume_directory)
        if found is None:
            return None
        arrays, stored = found
        # Before anything is assigned: a refused resume leaves the variables as they are.
        self._check(stored.get("identity", {}))
        best = {name.removeprefix(_BEST_PREFIX): a for name, a in arrays.items() if name.startswith(_BEST_PREFIX)}
        current = [array for name, array in arrays.items() if not name.startswith(_BEST_PREFIX)]
        # `save` numbered them, so both are in the same order.
        for variable, array in zip(variables, current, strict=True):
            variable.assign(array)
        return TrainingState.from_json(stored["state"]), best

    def remove_partial_files(self, state: TrainingState) -> None:
        """Delete temporary files of an earlier start, and checkpoints of epochs that will run again from this state."""
        for directory in {self.directory, self.resume_directory, self.history_path.parent}:
            remove_temporary_files(directory)
        for path in self.directory.glob(EPOCH_FILE_PATTERN):
            if path.name >= epoch_file_name(state.epoch):  # of an epoch that will run again
                path.unlink()

    def _check(self, identity: Mapping[str, Any]) -> None:
        for name, value in self.identity.items():
            found = identity.get(name)
            if found != value:
                raise DataError(
                    "LS215",
                    None,
                    f"the unfinished training in '{self.resume_directory.parent}' has {name} {found!r}, this run {value!r}",
                    "Use the same value to resume it, or pass --overwrite to begin anew.",
                )


def epoch_file_name(epoch: int) -> str:
    """Return the file name of the weights of an epoch."""
    return f"epoch-{epoch:04d}.npz"
