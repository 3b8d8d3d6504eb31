"""export: a trained model as one file, here or in a bucket; and back from one into a run directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from linesmith.core.artifacts.archive import unpack_archive, write_archive
from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.run_directory import RunDirectory, locked
from linesmith.core.errors import DataError, ParameterError
from linesmith.pipelines.remote.local_paths import local_run, set_filesystem_options
from linesmith.pipelines.stage_report import StageReport, measured


def export(run_dir: str, target: str, overwrite: bool = False) -> StageReport:
    """Pack the model of a run directory: tokenizer, weights, parameters and privacy statement.

    Args:
        run_dir: holds a trained model; a local path or a bucket address.
        target: a local path or a bucket address.
        overwrite: replace what stands there.

    Raises:
        DataError: there is no whole model, or something stands at the target.
        ParameterError: LS210, the target cannot be written.
    """
    with measured("export") as report:
        with local_run(run_dir, "export") as (root, _), tempfile.TemporaryDirectory() as scratch:
            read_model_info(root)  # before the lock, which would create the directory
            _refuse_place(root, target)
            packed = Path(scratch) / "model.tar.gz"
            with locked(RunDirectory(Path(root))):
                manifest = write_archive(root, packed)
            report.counts = {"files": len(manifest["members"]), "bytes": packed.stat().st_size}
            _place(packed, target, overwrite)
        report.outputs = {"archive": target}
        if not manifest["private"]:
            report.notices.append(
                "the model was trained without differential privacy: whoever has it may find records that it has learnt"
            )
    return report


def import_archive(archive: str, run_dir: str) -> None:
    """Put the model of an archive into a run directory, which is made where it is missing; nothing to do where it lies there.

    Raises:
        DataError: LS210, the archive is damaged or hostile; LS204, the run directory holds another model.
        ParameterError: LS210, it cannot be read.
    """
    with locked(RunDirectory(Path(run_dir))), _local(archive) as path:
        unpack_archive(path, run_dir)


def _refuse_place(run_dir: str, target: str) -> None:
    packed = [Path(run_dir) / name for name in ("model", "tokenizer")]
    if "://" not in target and any(Path(target).resolve().is_relative_to(place.resolve()) for place in packed):
        raise ParameterError(
            f"LS210: '{target}' lies in a directory that is packed; give a place elsewhere.", code="LS210"
        )


def _place(packed: Path, target: str, overwrite: bool) -> None:
    if "://" in target:
        _upload(packed, target, overwrite)
        return
    place = Path(target)
    if place.is_dir():
        raise ParameterError(f"LS210: '{target}' is a directory; give the archive a name in it.", code="LS210")
    if place.exists() and not overwrite:
        raise DataError(f"LS204: '{target}' exists already; pass --overwrite to replace it.", code="LS204")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}.part")
        shutil.copyfile(packed, part)
        part.replace(place)
    except OSError as error:
        raise ParameterError(f"LS210: '{target}' cannot be written ({error.strerror}).", code="LS210") from None


def _upload(packed: Path, target: str, overwrite: bool) -> None:
    from linesmith.transforms.storage import objects as storage
    from linesmith.transforms.storage.addresses import check_address
    from linesmith.transforms.storage.clients import check_reachable

    check_address(target, "TARGET")
    set_filesystem_options()
    check_reachable(target)
    if storage.find(target) is not None and not overwrite:
        raise DataError(f"LS204: '{target}' exists already; pass --overwrite to replace it.", code="LS204")
    storage.put(packed, target)


@contextmanager
def _local(archive: str) -> Iterator[Path]:
    """A local file of the archive, copied from its bucket where it lies in one."""
    if "://" not in archive:
        yield Path(archive)
        return
    from linesmith.transforms.storage import objects as storage
    from linesmith.transforms.storage.addresses import check_address
    from linesmith.transforms.storage.clients import check_reachable

    check_address(archive, "--model (model_archive)")
    set_filesystem_options()
    check_reachable(archive)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "model.tar.gz"
        storage.fetch(archive, copy)
        yield copy
