"""Export of a trained model as one archive, local or in a bucket, and import of an archive into a run directory."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import nullcontext
from pathlib import Path

from linesmith.core.artifacts.archive import unpack_archive, write_archive
from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.run_directory import RunDirectory, locked
from linesmith.core.errors import DataError, ParameterError
from linesmith.core.library_logging import quiet_calls
from linesmith.pipelines.remote.local_paths import connect, local_copy, open_local_run
from linesmith.pipelines.stage_report import StageReport, measured_stage


@quiet_calls()
def export(run_dir: str, target: str, overwrite: bool = False) -> StageReport:
    """Pack the model of a run directory into an archive: tokenizer, weights, parameters and privacy statement.

    Args:
        run_dir: the run directory, a local path or a bucket address.
        target: the archive to write, a local path or a bucket address.
        overwrite: whether an existing archive may be replaced.

    Returns:
        The number of files and the size of the archive in bytes.

    Raises:
        DataError: LS201, there is no complete model; LS204, the target exists.
        ParameterError: LS221, the target cannot be written.
    """
    with measured_stage("export") as report:
        with open_local_run(run_dir, "export") as (root, _), tempfile.TemporaryDirectory() as scratch:
            read_model_info(root)  # before the lock, which would create a missing directory
            _refuse_packed_directory(root, target)
            archive = Path(scratch) / "model.tar.gz"
            with locked(RunDirectory(Path(root))):
                manifest = write_archive(root, archive)
            report.counts = {"files": len(manifest["members"]), "bytes": archive.stat().st_size}
            if "://" in target:
                _upload(archive, target, overwrite)
            else:
                _copy(archive, target, overwrite)
        report.outputs = {"archive": target}
        if not manifest["private"]:
            report.notices.append(
                "the model was trained without differential privacy: whoever has it may find records that it has learned"
            )
    return report


def import_archive(archive: str, run_dir: str) -> None:
    """Unpack the model of an archive into a run directory; a directory that holds this model already is left alone.

    Args:
        archive: a local path or a bucket address.
        run_dir: a local path, which is created where it is missing.

    Raises:
        DataError: LS210, the archive is damaged or hostile; LS215, the run directory holds another model.
        ParameterError: LS210, the archive cannot be read.
    """
    opened = local_copy(archive, "--model (model_archive)") if "://" in archive else nullcontext(Path(archive))
    with locked(RunDirectory(Path(run_dir))), opened as path:
        unpack_archive(path, run_dir, _check_tokenizer)


def _check_tokenizer(root: Path) -> None:
    """Refuse a tokenizer that is damaged, or is not the one that the model was trained with."""
    from linesmith.model.tokenizers import tokenizer_from_model_dir

    if tokenizer_from_model_dir(root).digest != read_model_info(root).tokenizer_digest:
        raise DataError("LS214", None, "the tokenizer is not the one of the model", "Export the model again.")


def _refuse_packed_directory(run_dir: str, target: str) -> None:
    """Refuse a target inside a directory that is packed, where the archive would contain itself."""
    packed = [Path(run_dir) / name for name in ("model", "tokenizer")]
    if "://" not in target and any(Path(target).resolve().is_relative_to(path.resolve()) for path in packed):
        raise ParameterError(
            "LS221", f"TARGET '{target}'", "lies in a directory that is packed", "Give a place elsewhere."
        )


def _copy(archive: Path, target: str, overwrite: bool) -> None:
    path = Path(target)
    if path.is_dir():
        raise ParameterError("LS221", f"TARGET '{target}'", "a directory", "Give the archive a name in it.")
    if path.exists() and not overwrite:
        raise DataError("LS204", f"TARGET '{target}'", "exists already", "Pass --overwrite to replace it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        shutil.copyfile(archive, part)
        part.replace(path)  # atomic: nobody sees half an archive
    except OSError as error:
        raise ParameterError(
            "LS221",
            f"TARGET '{target}'",
            f"cannot be written ({error.strerror})",
            "Give a place that you may write to.",
        ) from None


def _upload(archive: Path, target: str, overwrite: bool) -> None:
    from linesmith.transforms.storage import objects as storage

    connect(target, "TARGET")
    if storage.find(target) is not None and not overwrite:
        raise DataError("LS204", f"TARGET '{target}'", "exists already", "Pass --overwrite to replace it.")
    storage.put(archive, target)
