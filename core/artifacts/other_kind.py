"""Keep trainings with and without differential privacy apart: a run directory holds files of one kind only.

A plain model beside a privacy statement would pass for a private one, and checkpoints, losses, reports and records of a plain
training beside a private model would be released with it. A stage that begins to write therefore refuses a directory with
files of the other kind, whether that training was finished or not. With `overwrite` they are replaced before the first step:
the model goes to `RUN/private/replaced-N`, a run directory of its own, and everything else is deleted.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from linesmith.core.artifacts.checkpoints import has_checkpoint
from linesmith.core.artifacts.files import make_owner_only, read_json, remove_path
from linesmith.core.artifacts.history import open_history
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.model_info import CHECKPOINTS_DIR, MODEL_FILE
from linesmith.core.artifacts.privacy_statement import STATEMENT_FILE, STATEMENT_TEXT_FILE, not_permitted_files
from linesmith.core.artifacts.run_directory import PRIVATE, RunDirectory, run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, LinesmithError

_SHOWN_FILES = 3  # of the files in a message


def files_of_other_kind(run: RunDirectory) -> list[Path]:
    """Return the files and directories of a training with privacy where this run has none, or the reverse.

    The tokenizer and the settings are never among them: a training of this kind writes its own over them.

    Args:
        run: the run directory; `private` says of which kind this run is.
    """
    return [*_files_of_other_kind(run), *_files_of_other_kind(run.staged)]


def refuse_other_kind(config: TensorFlowConfig) -> None:
    """Refuse to work in a run directory with files of the other kind, unless they may be overwritten.

    Args:
        config: settings of a run that begins or goes on to write.

    Raises:
        DataError: LS204, there is a complete model of the other kind; LS215, there are other files of it.
    """
    run = run_directory(config)
    found = [] if config.overwrite else files_of_other_kind(run)
    if not found:
        return
    option, remedy = f"--output '{run.root}'", "Choose another --output, or pass --overwrite to replace them."
    what = f"{_described(not run.private)}, which must not lie beside one {_described(run.private)}"
    names = _listed([*_strange_files(run), *found], run.root)
    if run.model in found and run.has_model():
        raise DataError("LS204", option, f"holds a complete model {what}: {names}", remedy)
    raise DataError("LS215", option, f"holds files of a training {what}: {names}", remedy)


def refuse_foreign_archive(root: Path, private: bool) -> None:
    """Refuse to unpack a model beside files of the other kind.

    Args:
        root: the run directory that the model goes to.
        private: whether the model was trained with differential privacy.

    Raises:
        DataError: LS215, there are such files.
    """
    found = files_of_other_kind(RunDirectory(root, private))
    if found:
        raise DataError(
            "LS215",
            "--model (model_archive)",
            f"the archive holds a model {_described(private)}, and '{root}' holds files of a training "
            f"{_described(not private)}: {_listed(found, root)}",
            "Choose another --output.",
        )


def is_private_run(root: Path) -> bool:
    """Return whether a directory holds a run with differential privacy, finished or not.

    Args:
        root: the directory, which need not be a run directory.
    """
    run = RunDirectory(root, private=True)
    if (run.model / STATEMENT_FILE).exists() or run.training_data.exists():
        return True
    try:
        return bool(read_json(run.params, "the settings").get("dp"))
    except (LinesmithError, AttributeError):
        return False


def holds_training(found: Sequence[Path], run: RunDirectory) -> bool:
    """Return whether a training began to learn: there are a model, losses or records of one, not only tokenized data.

    Args:
        found: as `files_of_other_kind` returns it.
        run: the run directory.
    """
    learned = {path for place in (run, run.staged) for path in (place.model, place.history, *_records(place))}
    return not learned.isdisjoint(found)


def replace_files(found: Sequence[Path], run: RunDirectory) -> Path | None:
    """Delete files of the other kind, but move a model, with its tokenizer and settings, its history and its tables.

    Args:
        found: as `files_of_other_kind` returns it.
        run: the run directory.

    Returns:
        The directory that they went to, for a whole model a run directory of its own; None where there was nothing to keep.
    """
    keep = [path for path in (run.history, _warehouse(run)) if path in found]
    if run.model in found:
        keep = [run.history, _warehouse(run), run.params]
        if read_manifest(run.training_data) is None:  # otherwise the tokenizer is that of these training data
            keep.append(run.tokenizer)
        keep.append(run.model)  # last: as long as it is here, a repetition after a crash goes on with the rest
    for path in found:
        if path not in keep:
            remove_path(path)
    if run.model in found:
        remove_path(run.staged.root)  # what was prepared beside that model
    place = _free_place(run) if keep else None
    if place is not None:
        make_owner_only(run.root / PRIVATE)
        make_owner_only(place)
        for path in keep:
            if path.exists():
                path.replace(place / path.name)
    return place


def _free_place(run: RunDirectory) -> Path:
    number = 1
    while (run.root / PRIVATE / f"replaced-{number}").exists():
        number += 1
    return run.root / PRIVATE / f"replaced-{number}"


def _files_of_other_kind(run: RunDirectory) -> list[Path]:
    """Return what `files_of_other_kind` does, without looking into the staged directory."""
    other = RunDirectory(run.root, not run.private)
    raw = [other.training_data, other.rejects, other.raw / "report", other.raw / "audit"]
    if other.private:
        raw += [other.raw / "training", other.private_counts]
    found = [path for path in raw if path.exists()]
    learned = [run.model] if _is_model_of_other_kind(run) else []
    learned += [path for path in _records(run) if path.exists() and _are_records_of_other_kind(run, path)]
    if learned and _warehouse(run).exists():
        learned.append(_warehouse(run))
    if _is_history_of(run.history, private=not run.private):
        learned.append(run.history)
    return found + learned


def _records(run: RunDirectory) -> tuple[Path, Path]:
    return run.synthetic, run.invalid


def _warehouse(run: RunDirectory) -> Path:
    """Return the directory of the run's own Iceberg tables, which hold generated records, too."""
    return run.root / "warehouse"


def _is_model_of_other_kind(run: RunDirectory) -> bool:
    """Return whether `RUN/model` has files, and is not of this run's kind; a mixture is of neither kind."""
    if not any(path.is_file() and not path.name.startswith(".") for path in run.model.rglob("*")):
        return False
    if run.private:
        return not _has_statement(run) or bool(_strange_files(run))
    return _has_statement(run) or _settings_say_private(run.model)


def _has_statement(run: RunDirectory) -> bool:
    return any((run.model / name).exists() for name in (STATEMENT_FILE, STATEMENT_TEXT_FILE))


def _strange_files(run: RunDirectory) -> list[Path]:
    """Return the files that a private run may not have beside its model; torn writes, whose names begin with a dot, may stay."""
    if not run.private or not _has_statement(run):
        return []
    paths = [run.model / name for name in not_permitted_files(run.model)]
    return [path for path in paths if not path.name.startswith(".")]


def _settings_say_private(directory: Path) -> bool:
    try:
        manifest = read_manifest(directory)
    except LinesmithError:
        return False
    return manifest is not None and bool(manifest.get("settings", {}).get("dp"))


def _are_records_of_other_kind(run: RunDirectory, directory: Path) -> bool:
    """Return whether generated records are of the other kind; where their origin is unknown, they are not private."""
    private = _are_records_private(run, directory)
    return private is not run.private if private is not None else run.private


def _are_records_private(run: RunDirectory, directory: Path) -> bool | None:
    """Return whether generated records came from a private model; None: unknown."""
    try:
        manifest = read_manifest(directory)
        if manifest is not None and "private" in manifest:
            return bool(manifest["private"])
        # The first edition wrote no kind, but the digest of the weights, and nothing beside invalid records.
        records = read_manifest(run.synthetic)
        model = read_json(run.model / MODEL_FILE, "the model's description")
        if records is None or records["model"]["weights_digest"] != model["weights_digest"]:
            return None
    except (LinesmithError, KeyError, TypeError):
        return None
    is_mixture = has_checkpoint(run.model / CHECKPOINTS_DIR)
    return (run.model / STATEMENT_FILE).exists() and not is_mixture


def _is_history_of(path: Path, *, private: bool) -> bool:
    """Return whether a history table has the figures of one kind: epsilon, or losses on the training records."""
    columns = ("epsilon",) if private else ("loss", "accuracy")
    try:
        with open_history(path) as table:
            return any(row.get(column) for row in csv.DictReader(table) for column in columns)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, csv.Error):
        return True  # damaged: of neither kind


def _described(private: bool) -> str:
    return "with --dp" if private else "without --dp"


def _listed(found: Sequence[Path], root: Path) -> str:
    names = [path.relative_to(root).as_posix() for path in found]
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    return ", ".join(names[:_SHOWN_FILES]) + more
