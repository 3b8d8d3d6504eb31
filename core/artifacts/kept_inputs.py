"""Files that generation needs, kept in the run directory, and which of the stored settings may be used.

Training copies the schema and the rules to `RUN/model/inputs/`, so that the run directory is complete wherever it is used. A run
directory may also come from somebody else. Therefore a stored setting never makes a command run code, or open anything outside
the directory: such settings are used only where they are given again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import write_bytes
from linesmith.core.config.setting_field import flag_name, option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError

INPUTS_DIR = "inputs"  # below model/
# Names of the copies by setting. Start strings and partial records are not kept: they ask for certain records, may be many, and
# may be parts of real records.
KEPT_FILES = {"schema_file": "schema.avsc", "rules": "rules.yaml"}
_FILES = (*KEPT_FILES, "start_strings_file", "where_file", "impute")
# Code, and a place that is written to. A catalog's properties can name code, too (py-catalog-impl).
_ONLY_GIVEN = ("line_validator", "iceberg_table", "iceberg_catalog")
_SHOWN_CHARACTERS = 100


def keep_inputs(config: TensorFlowConfig, model_dir: Path) -> TensorFlowConfig:
    """Copy the files that generation needs to `model_dir`/inputs.

    Args:
        config: the settings, with local paths.
        model_dir: the directory `model` of a run directory; copies of other files that are there are deleted.

    Returns:
        Settings to store: they name the copies, relative to the run directory.

    Raises:
        ParameterError: LS111, LS113, a file cannot be read.
    """
    directory = model_dir / INPUTS_DIR
    copies = copy_inputs(config, directory)
    for file in directory.glob("*"):
        if file not in copies.values():
            file.unlink()
    return config.model_copy(
        update={name: f"{model_dir.name}/{INPUTS_DIR}/{path.name}" for name, path in copies.items()}
    )


def copy_inputs(config: TensorFlowConfig, directory: Path) -> dict[str, Path]:
    """Copy the files that generation needs to a directory, and return the copies by setting.

    Args:
        config: the settings, with local paths.
        directory: created where it is needed.

    Raises:
        ParameterError: LS111, LS113, a file cannot be read.
    """
    copies = {}
    for name, file_name in KEPT_FILES.items():
        path = getattr(config, name)
        if path is None:
            continue
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise _unreadable(name, path, f"it cannot be read ({error.strerror})") from None
        copies[name] = directory / file_name
        write_bytes(copies[name], content)
    return copies


def usable_settings(stored: Mapping[str, Any], run_dir: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide the stored settings into those that may be used, and those that are used only where they are given again.

    Args:
        stored: settings as `model_params.json` holds them.
        run_dir: the run directory; paths to files in it may be used.

    Returns:
        The usable settings, with the paths of files completed; and the others, by name.
    """
    usable, refused = dict(stored), {}
    for name in (*_ONLY_GIVEN, *_FILES):
        value = stored.get(name)
        if value is None:
            continue
        inside = None if name in _ONLY_GIVEN else _file_inside(run_dir, value)
        if inside is None:
            refused[name] = usable.pop(name)
        else:
            usable[name] = str(inside)
    if "start_strings_file" in refused:
        usable.pop("start_strings_field", None)
    return usable, refused


def refused_text(refused: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return settings that are not used, as they would be typed, without what could move a terminal's cursor.

    Args:
        refused: values by name, from a run directory that somebody else may have written.
        names: which of them.
    """
    shown = (option_text(name, refused[name]) for name in names)
    return ", ".join("".join(c if c.isprintable() else "?" for c in text[:_SHOWN_CHARACTERS]) for text in shown)


def stored_settings_error(refused: Mapping[str, Any], names: Iterable[str], run_dir: str | Path) -> ParameterError:
    """Return the error for stored settings that would run code or open something outside the run directory.

    Args:
        refused: values by name, as `usable_settings` returns them.
        names: which of them were neither given again nor unset.
        run_dir: the run directory.
    """
    names = list(names)
    again = " ".join(f"{flag_name(name)} …" for name in names)
    unset = " ".join(f"--unset {name}" for name in names)
    return ParameterError(
        "LS128",
        refused_text(refused, names),
        f"stored in '{run_dir}', which does not decide what code is run, nor what is opened outside of it",
        f"Give it again ({again}) if you trust it, or generate without it: {unset}.",
    )


def _unreadable(name: str, path: str, found: str) -> ParameterError:
    option, remedy = option_text(name, path), "Give a file that you may read."
    if name == "rules":
        return ParameterError("LS113", option, found, remedy)
    return ParameterError("LS111", option, found, remedy)


def _file_inside(run_dir: Path, value: Any) -> Path | None:
    """Return the path of a file in the run directory that a stored value names; None if there is none. Links may not lead out."""
    if not isinstance(value, str):
        return None
    path = run_dir / value
    try:
        resolved = path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # missing, a NUL in the name, a circle of links
        return None
    return path if resolved.is_relative_to(run_dir.resolve()) and resolved.is_file() else None
