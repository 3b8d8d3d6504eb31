"""The run directory: where each artifact lies, who may write, and how a run with `overwrite` replaces an earlier one.

While the directory holds a complete model and `overwrite` is set, the new tokenizer, training data and model are written to
`RUN/.next`. They replace the old ones together when the new model is complete; until then the old model can be generated from.
Where one of the two has differential privacy and the other has not, `other_kind` replaces the old one before training begins.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from linesmith.core.artifacts.disk_errors import disk_errors_named
from linesmith.core.artifacts.files import make_owner_only, open_lock_file, replace_directory
from linesmith.core.artifacts.history import HISTORY_FILE
from linesmith.core.artifacts.lease import wait_for_lease
from linesmith.core.artifacts.manifest import MANIFEST, read_manifest
from linesmith.core.artifacts.params import PARAMS_FILE
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError

_NEXT = ".next"
PRIVATE = "private"


@dataclass(frozen=True)
class RunDirectory:
    """Paths of everything in a run directory. Creating an object touches nothing on disk.

    Attributes:
        root: the directory.
        private: whether training has differential privacy; artifacts with raw records then lie in `RUN/private`, apart from
            what may be released.
    """

    root: Path
    private: bool = False

    @property
    def raw(self) -> Path:
        """Directory of the artifacts that depend on raw records."""
        return self.root / PRIVATE if self.private else self.root

    @property
    def tokenizer(self) -> Path:
        """Directory of the tokenizer."""
        return self.root / "tokenizer"

    @property
    def training_data(self) -> Path:
        """Directory of the tokenized records."""
        return self.raw / "training_data"

    @property
    def rejects(self) -> Path:
        """Directory of the lines of the input that are not records."""
        return self.raw / "rejects"

    @property
    def model(self) -> Path:
        """Directory of the model's description and weights."""
        return self.root / "model"

    @property
    def synthetic(self) -> Path:
        """Directory of the generated records."""
        return self.root / "synthetic"

    @property
    def invalid(self) -> Path:
        """Directory of the generated records that were invalid."""
        return self.root / "invalid"

    @property
    def params(self) -> Path:
        """File of the settings."""
        return self.root / PARAMS_FILE

    @property
    def history(self) -> Path:
        """File with one row per epoch of training."""
        return self.root / HISTORY_FILE

    @property
    def private_counts(self) -> Path:
        """File of what private training counted in the raw records; it must not be released."""
        return self.root / PRIVATE / "training_counts.json"

    @property
    def temporary(self) -> Path:
        """Scratch directory of the stage that holds the lock, on the same file system, so that a rename is atomic."""
        return self.root / ".tmp"

    @property
    def staged(self) -> RunDirectory:
        """Directory in which an overwriting run is prepared while the old model must stay."""
        return RunDirectory(self.root / _NEXT, self.private)

    def make_closed_directories(self) -> None:
        """Create the directories of scratch files and of raw data, which other users must not read."""
        make_owner_only(self.temporary)
        if self.private:
            make_owner_only(self.raw)

    def has_model(self) -> bool:
        """Return whether the directory holds a complete model."""
        return (self.model / MANIFEST).is_file()


def run_directory(config: TensorFlowConfig) -> RunDirectory:
    """Return the run directory of a configuration.

    Raises:
        ParameterError: LS103, none is given; LS118, it is an address and not a local path.
    """
    if config.checkpoint_dir is None:
        raise ParameterError("LS103", "--output (checkpoint_dir)", "not set", "Give the directory of the run.")
    if "://" in config.checkpoint_dir:
        raise ParameterError(
            "LS118",
            f"--output '{config.checkpoint_dir}'",
            "not a local path, which this needs",
            "Give a path; or s3://BUCKET/… or gs://BUCKET/… to a command or a stage's function, which work on a copy.",
        )
    return RunDirectory(Path(config.checkpoint_dir), config.dp)


def workspace(config: TensorFlowConfig) -> RunDirectory:
    """Return where tokenize and train write: the run directory, or `RUN/.next` while an old model must stay."""
    run = run_directory(config)
    return run.staged if config.overwrite and run.has_model() else run


def promote(run: RunDirectory) -> None:
    """Replace the old run by `RUN/.next` if that holds a complete model; otherwise do nothing.

    The model is moved last: a process that dies on the way leaves a complete model in `RUN/.next`, and the next one that locks
    the run directory goes on from there.
    """
    staged = run.staged
    if not staged.has_model():
        return
    private = (staged.root / PRIVATE).exists()
    run, new = RunDirectory(run.root, private), RunDirectory(staged.root, private)
    other = RunDirectory(
        run.root, not private
    )  # an earlier version may have begun this run beside one of the other kind
    for old in (other.training_data, other.rejects):
        shutil.rmtree(old, ignore_errors=True)
    for name in (PARAMS_FILE, HISTORY_FILE):
        if (new.root / name).exists():
            os.replace(new.root / name, run.root / name)
    if new.private_counts.exists():
        os.replace(new.private_counts, run.private_counts)
    for name in ("tokenizer", "training_data", "rejects", "model"):
        if getattr(new, name).exists():
            replace_directory(getattr(new, name), getattr(run, name))
    shutil.rmtree(new.root)


@contextlib.contextmanager
def locked(run: RunDirectory) -> Iterator[None]:
    """Hold the lock of a run directory during a block, so that no second process writes there.

    The directory is created where it is missing, and its scratch directory is emptied before and deleted after the block. That
    directory and, for a private run, the directory of raw data are created for their owner only.

    Raises:
        ParameterError: LS119, the directory cannot be created or written.
        DataError: LS203, another process holds the lock, or a worker on another machine trains in the directory; LS209, the block
            could not write, since the disk is full, its quota used up, or for want of a permission.
    """
    try:
        run.root.mkdir(parents=True, exist_ok=True)
        lock = open_lock_file(run.root / ".lock")
    except OSError as error:
        is_link = error.errno == errno.ELOOP
        raise ParameterError(
            "LS119",
            f"--output '{run.root}'",
            f"cannot be written ({'its .lock is a symbolic link' if is_link else error.strerror})",
            "Delete the link." if is_link else "Give a directory you may write to.",
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(
                "LS203",
                f"--output '{run.root}'",
                "another process is writing to this run directory",
                "Wait for it or choose another --output.",
            ) from None
        wait_for_lease(run.root)  # a worker of an earlier command may still be training here
        with disk_errors_named(run.root):
            if run.temporary.is_symlink():  # scratch files, some with raw records, must not go elsewhere
                run.temporary.unlink()
            shutil.rmtree(run.temporary, ignore_errors=True)
            run.make_closed_directories()
            promote(run)  # an earlier process may have died between its model's last file and this
            try:
                yield
            finally:
                shutil.rmtree(run.temporary, ignore_errors=True)  # an interrupted stage left raw records there


def check_overwrite_allowed(directory: Path, what: str, overwrite: bool) -> None:
    """Refuse to replace the complete result of a stage without `overwrite`; a result that is marked as partial may be replaced.

    Args:
        directory: of the stage.
        what: what the directory holds, for the message, such as 'model'.
        overwrite: whether a complete result may be replaced.

    Raises:
        DataError: LS204, the stage is complete and `overwrite` is off.
    """
    manifest = None if overwrite else read_manifest(directory)
    if manifest is not None and manifest.get("complete", True):
        raise DataError(
            "LS204", None, f"'{directory}' already holds a complete {what}", "Pass --overwrite to replace it."
        )
