"""Load a model from a run directory, an archive, or a bucket."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from linesmith.api.model import Model
from linesmith.api.progress import messages
from linesmith.api.saving import ARCHIVES, ARGUMENTS, place_of
from linesmith.core.errors import DataError


def load(path: str | os.PathLike[str]) -> Model:
    """Load a model.

    Args:
        path: a run directory, an archive that `linesmith export` or `Model.save` wrote, or the bucket address of one of them. A
            run directory is used where it is; the others are copied, without any data, to a temporary directory.

    Raises:
        ParameterError: LS101, not a path; LS106, LS127: an address that cannot be used.
        DataError: LS201, there is no model; LS202, LS214: it is damaged, or a newer Linesmith wrote it; LS210, the archive cannot
            be used; LS213, the bucket cannot be read.
    """
    from linesmith.core.artifacts.params import config_from_model_dir
    from linesmith.transforms.storage.addresses import is_remote

    place = place_of("path", path)
    with messages(False, ARGUMENTS):
        if not is_remote(place) and not os.path.isfile(place):
            if not os.path.isdir(place):
                raise DataError("LS201", f"path '{place}'", "there is no such file or directory", "Give a model.")
            return Model(config_from_model_dir(place))
        keep = tempfile.TemporaryDirectory(prefix="linesmith-", ignore_cleanup_errors=True)
        _unpack(place, Path(keep.name))
        return Model(config_from_model_dir(keep.name), keep)


def _unpack(place: str, target: Path) -> None:
    """Put a model from an archive, or from a bucket, into an empty directory."""
    from linesmith.core.artifacts.archive import write_archive
    from linesmith.pipelines.export import import_archive
    from linesmith.pipelines.remote.local_paths import open_local_run

    if "://" not in place or place.endswith(ARCHIVES):
        import_archive(place, str(target))
        return
    with tempfile.TemporaryDirectory() as scratch, open_local_run(place, "export") as (root, _):
        archive = Path(scratch) / "model.tar.gz"
        write_archive(root, archive)
        import_archive(str(archive), str(target))
