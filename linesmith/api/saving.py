"""Save a model without any data: to a directory or an archive, here or in a bucket."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from linesmith.api.progress import messages
from linesmith.core.config.setting_field import shortened
from linesmith.core.errors import ParameterError

ARCHIVES = (".tar.gz", ".tgz")  # ends of their names
ARGUMENTS = {"--output": "path", "--model": "path", "TARGET": "path"}


def save_model(directory: Path, path: str | os.PathLike[str], overwrite: bool) -> Path | str:
    """Write a model to a directory or an archive; arguments as for `Model.save`."""
    from linesmith.core.artifacts.archive import write_archive
    from linesmith.pipelines.export import export, import_archive
    from linesmith.pipelines.remote.local_paths import open_local_run

    place = place_of("path", path)
    with messages(False, ARGUMENTS):
        if place.endswith(ARCHIVES):
            export(str(directory), place, overwrite)
        else:
            if os.path.exists(place) and not os.path.isdir(place):
                raise ParameterError(
                    "LS221", f"path '{place}'", "a file", "Give a directory, or a name that ends in .tar.gz."
                )
            # Of the commands that write, generate reads what must not be overwritten: the model.
            with tempfile.TemporaryDirectory() as scratch, open_local_run(place, "generate") as (root, _):
                archive = Path(scratch) / "model.tar.gz"
                write_archive(directory, archive)
                import_archive(str(archive), root)
    return place if "://" in place else Path(place)


def place_of(name: str, path: Any) -> str:
    """Return a path or an address as text, with the home directory in place of `~`.

    Args:
        name: of the argument, for messages.
        path: its value.

    Raises:
        ParameterError: LS101, it is no path.
    """
    try:
        place = os.fspath(path)
        if isinstance(place, str) and place and "\0" not in place:
            return os.path.expanduser(place)
    except TypeError:
        pass
    raise ParameterError("LS101", f"{name} {shortened(repr(path))}", "not a path", "Give a path or a bucket address.")
