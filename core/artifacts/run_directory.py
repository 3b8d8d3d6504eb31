"""The run directory: where each artefact lies, who may write, and how an overwriting run replaces the old one.

While a complete model stands and `overwrite` is set, the new tokenizer, training data and model grow in `RUN/.next`; they
take the old ones' place together, after the new model is complete. Until then the old model generates as before.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from linesmith.core.artifacts.files import replace_directory
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
    """Names of everything in a run directory. Creating one touches nothing on disk."""

    root: Path
    private: bool = False  # differential privacy: what depends on raw records lies apart, and is never released

    @property
    def raw(self) -> Path:
        """Where raw-data artefacts lie."""
        return self.root / PRIVATE if self.private else self.root

    @property
    def tokenizer(self) -> Path:
        return self.root / "tokenizer"

    @property
    def training_data(self) -> Path:
        return self.raw / "training_data"

    @property
    def rejects(self) -> Path:
        return self.raw / "rejects"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def synthetic(self) -> Path:
        return self.root / "synthetic"

    @property
    def invalid(self) -> Path:
        return self.root / "invalid"

    @property
    def params(self) -> Path:
        return self.root / PARAMS_FILE

    @property
    def history(self) -> Path:
        return self.root / HISTORY_FILE

    @property
    def private_counts(self) -> Path:
        """What private training counted of the raw records; not releasable."""
        return self.root / PRIVATE / "training_counts.json"

    @property
    def temporary(self) -> Path:
        """Scratch space of the stage that holds the lock; on the same file system, so that a rename is atomic."""
        return self.root / ".tmp"

    def has_model(self) -> bool:
        """A complete model lies here."""
        return (self.model / MANIFEST).is_file()


def run_directory(config: TensorFlowConfig) -> RunDirectory:
    """The run directory of a configuration.

    Raises:
        ParameterError: none is given, or it is an address that is not a local path.
    """
    if config.checkpoint_dir is None:
        raise ParameterError("LS103: --output (checkpoint_dir) is not set; give the directory of the run.")
    if "://" in config.checkpoint_dir:
        raise ParameterError(
            f"LS103: --output '{config.checkpoint_dir}' is not a local path, which this needs. Give a path; or "
            "s3://BUCKET/… or gs://BUCKET/… to a command or a stage's function, which work on a copy."
        )
    return RunDirectory(Path(config.checkpoint_dir), config.dp)


def workspace(config: TensorFlowConfig) -> RunDirectory:
    """Where tokenize and train write: the run directory itself, or `.next` while an old model must stay."""
    run = run_directory(config)
    return RunDirectory(run.root / _NEXT, config.dp) if config.overwrite and run.has_model() else run


def promote(config: TensorFlowConfig) -> None:
    """Put a complete `.next` in the old run's place. Does nothing where there is none."""
    run = run_directory(config)
    new = RunDirectory(run.root / _NEXT, config.dp)
    if not new.has_model():
        return
    for old in (RunDirectory(run.root, not config.dp).training_data, RunDirectory(run.root, not config.dp).rejects):
        shutil.rmtree(old, ignore_errors=True)  # of a run of the other kind
    for name in ("tokenizer", "training_data", "rejects", "model"):
        if getattr(new, name).exists():
            replace_directory(getattr(new, name), getattr(run, name))
    for name in (PARAMS_FILE, HISTORY_FILE):
        if (new.root / name).exists():
            os.replace(new.root / name, run.root / name)
    if new.private_counts.exists():
        os.replace(new.private_counts, run.private_counts)
    shutil.rmtree(new.root)


@contextlib.contextmanager
def locked(run: RunDirectory) -> Iterator[None]:
    """Hold the run directory against a second writer; created where it is missing.

    Raises:
        ParameterError: it cannot be created or written.
        DataError: another process holds it, or a worker on another machine trains in it.
    """
    try:
        run.root.mkdir(parents=True, exist_ok=True)
        lock = open(run.root / ".lock", "w")  # noqa: SIM115  (closed below, after the lock is released)
    except OSError as error:
        raise ParameterError(
            f"LS103: --output '{run.root}' cannot be written ({error.strerror}); give a directory you may write to."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(
                f"LS203: another process is writing to the run directory '{run.root}'; wait for it or choose another --output."
            ) from None
        wait_for_lease(run.root)  # a worker of a former command may still be training here
        shutil.rmtree(run.temporary, ignore_errors=True)
        yield


def check_overwrite_allowed(directory: Path, what: str, overwrite: bool) -> None:
    """Raise unless a stage may write its directory. A partial result, marked as such, may always be tried again.

    Raises:
        DataError: the stage is complete and `overwrite` is off.
    """
    manifest = None if overwrite else read_manifest(directory)
    if manifest is not None and manifest.get("complete", True):
        raise DataError(f"LS204: '{directory}' already holds a complete {what}; pass --overwrite to replace it.")
