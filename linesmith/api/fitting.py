"""Train a model on what a person has in Python."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any

from linesmith.api.cut_columns import roles_of
from linesmith.api.inputs import Data, fit_input
from linesmith.api.model import Model
from linesmith.api.progress import messages
from linesmith.core.config.setting_field import flag_name
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError

_OTHER_NAMES = {"output": "checkpoint_dir", "minutes": "max_training_time_seconds"}
_ARGUMENTS = {"--input": "data", "--output": "output"}


def fit(
    data: Data,
    *,
    minutes: float | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Model:
    """Train a model.

    The rows of a data frame are learned as records of quoted CSV (`linesmith.records.table_columns` says how values are
    written), and `Model.sample` returns a data frame of the same columns and types. An index is left out.

    Args:
        data: a path or a glob, paths as `Path` objects, a pandas or polars DataFrame, a pyarrow Table or anything else with
            an Arrow C stream, or lines of text.
        minutes: stop training after so many minutes.
        output: the run directory, a path or a bucket address, which is resumed like that of a command; default: a temporary one
            that is deleted with the model.
        progress: True shows each epoch, False warnings only; default: True in a terminal and in a notebook, where a bar is drawn
            as well, and False in a script.
        settings: any settings of `TensorFlowConfig` by name.

    Raises:
        ParameterError: LS101 and others, a setting cannot work.
        DataError: LS232, a column or a line cannot be learned; LS207, there are too few records.
        InterruptedRunError: Ctrl-C was pressed; the same call with the same `output` resumes.

    Example:
        >>> fit(["no", "columns"], epoch=3)
        Traceback (most recent call last):
            ...
        linesmith.core.errors.ParameterError: LS101: unknown setting 'epoch' (value 3). The nearest known setting is 'epochs'.
    """
    given = _with_real_names(minutes, output, settings)
    # Before the data are read; the columns of a table are not known yet.
    of_columns = ("condition_on", "column_role", "differences", "parents")  # checked with the names of the table
    TensorFlowConfig(**{**given, **dict.fromkeys(of_columns)})
    roles_of(given.get("column_role"))
    keep = None
    if "checkpoint_dir" not in given:
        keep = tempfile.TemporaryDirectory(prefix="linesmith-", ignore_cleanup_errors=True)
        given["checkpoint_dir"] = keep.name
    from linesmith.pipelines.tokenize.source import with_input_format

    with messages(progress, _arguments(minutes, given)), fit_input(data, given) as found:
        config = with_input_format(TensorFlowConfig(**{**given, **found.settings}))
        return _train(config, found.table, keep)


def _arguments(minutes: float | None, given: Mapping[str, Any]) -> dict[str, str]:
    """Return what the settings are called here, for messages."""
    if minutes is None:
        return _ARGUMENTS
    flag = flag_name("max_training_time_seconds")
    typed = f"minutes {minutes:g}"
    return {**_ARGUMENTS, f"{flag} {given['max_training_time_seconds']}": typed, flag: "minutes"}


def _with_real_names(
    minutes: float | None, output: str | os.PathLike[str] | None, settings: Mapping[str, Any]
) -> dict[str, Any]:
    given = dict(settings)
    if "input_data_path" in given:
        raise ParameterError("LS101", "input_data_path", "is what data is here", "Give the path as data.")
    for short, value in (("output", output), ("minutes", minutes)):
        if value is None:
            continue
        if _OTHER_NAMES[short] in given:
            raise ParameterError(
                "LS101", f"{short} and {_OTHER_NAMES[short]}", "are the same setting", "Give one of them."
            )
        if short == "minutes" and (
            not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e9
        ):
            raise ParameterError("LS101", f"minutes {value!r}", "not a number of minutes", "Give a number from 0.")
        given[_OTHER_NAMES[short]] = os.fspath(value) if isinstance(value, os.PathLike) else value
    if minutes is not None:
        given["max_training_time_seconds"] = max(1, round(minutes * 60)) if minutes else 0
    return given


def _train(config: TensorFlowConfig, table: Any, keep: tempfile.TemporaryDirectory[str] | None) -> Model:
    from linesmith.api.loading import load
    from linesmith.pipelines.workflow import train

    train(config, table=table)
    if "://" in str(config.checkpoint_dir):
        return load(str(config.checkpoint_dir))
    return Model(config, keep)
