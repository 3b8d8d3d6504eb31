"""Save a model without any data: to a directory, an archive, or a bucket."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from linesmith.api.progress import messages

ARCHIVES = (".tar.gz", ".tgz")  # ends of their names


def save_model(directory: Path, path: str | Path, overwrite: bool) -> Path | str:
    """Write a model to a directory or an archive; arguments as for `Model.save`."""
    from linesmith.core.artifacts.archive import write_archive
    from linesmith.pipelines.export import export, import_archive

    place = os.path.expanduser(str(path))
    with messages(False):
        if place.endswith(ARCHIVES) or "://" in place:
            export(str(directory), place, overwrite)
            return place if "://" in place else Path(place)
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch) / "model.tar.gz"
            write_archive(directory, archive)
            import_archive(str(archive), place)
    return Path(place)
