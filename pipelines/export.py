"""Pack what may leave a run directory into one archive: the model, its tokenizer, what it generated, and the claim.

The list says what goes in, not what stays out, so that a file nobody thought of stays at home.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from model.errors import DataError, ParameterError
from model.files import atomic_path
from model.run_dir import RunDirectory, locked
from pipelines.report import StageReport, measured

RELEASABLE = ("model", "tokenizer", "synthetic", "model_params.json", "model_history.csv")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold: equal files make equal archives


def export(directory: str | Path, archive: str | Path) -> StageReport:
    """Write a zip archive of the releasable files of a complete run.

    Hidden files and symbolic links are left out: a link may lead to private files.

    Args:
        directory: the run directory.
        archive: the file to write; must not exist.

    Raises:
        DataError: the run directory holds no complete model, or another process writes to it.
        ParameterError: LS103, the archive exists, lies in a directory that is packed, or cannot be written.
    """
    run, target = RunDirectory(Path(directory)), Path(archive)
    if not run.has_model():
        raise DataError(f"LS201: '{directory}' holds no complete model to export; train one there first.", code="LS201")
    if target.exists() or any(target.resolve().is_relative_to((run.root / name).resolve()) for name in RELEASABLE):
        raise ParameterError(
            f"LS103: --archive '{archive}' exists, or lies in a directory that is packed; give a new name elsewhere.",
            code="LS103",
        )
    with measured("export") as report, locked(run):
        files = releasable_files(run.root)
        try:
            with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed:
                for path in files:
                    entry = zipfile.ZipInfo(path.relative_to(run.root).as_posix(), _EPOCH)
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    packed.writestr(entry, path.read_bytes())
        except OSError as error:
            raise ParameterError(
                f"LS103: --archive '{archive}' cannot be written ({error.strerror}); give a place you may write to.",
                code="LS103",
            ) from None
        report.counts = {"files": len(files)}
        report.outputs = {"archive": str(target)}
    return report


def releasable_files(root: Path) -> list[Path]:
    """The files that may leave, in order of name."""
    found = []
    for name in RELEASABLE:
        place = root / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            parts = path.relative_to(root).parts
            hidden = any(part.startswith(".") for part in parts)
            linked = any((root / Path(*parts[: i + 1])).is_symlink() for i in range(len(parts)))
            if path.is_file() and not hidden and not linked:
                found.append(path)
    return found
