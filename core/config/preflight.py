"""Checks before anything is read, trained or paid for. docs/errors.md lists the codes."""

from __future__ import annotations

import importlib.util

from linesmith.core.config.field_parents import check_circle, resolve_parents
from linesmith.core.config.privacy_checks import check_libraries, check_privacy_settings, vocabulary_mode
from linesmith.core.config.setting_field import option_text
from linesmith.core.config.tensorflow_config import Stage, TensorFlowConfig
from linesmith.core.errors import ParameterError

# Libraries that only tokenize needs; generation must run without them.
_TOKENIZE_LIBRARIES = ("tensorflow_transform", "tfx_bsl", "tensorflow_text")


def _check_conditions(config: TensorFlowConfig) -> None:
    """Refuse conditions on columns that the model to be trained will not be given first."""
    first = config.condition_on or []
    name = "where" if config.where is not None else "balance"
    asked = [*config.condition, *([] if config.balance is None else [config.balance])]
    unknown = [column for column in asked if column not in first]
    if config.where_file is not None and not first:
        unknown, name = [""], "where_file"
    if unknown:
        found = f"'{unknown[0]}' is not in --condition-on" if unknown[0] else "--condition-on is not given"
        remedy = "Give --condition-on with the columns whose values are to be given."
        value = ",".join(f"{column}={text}" for column, text in config.condition.items()) or getattr(config, name)
        raise ParameterError("LS132", option_text(name, value), found, remedy)


def check(config: TensorFlowConfig, *stages: Stage) -> None:
    """Refuse a configuration with which the given stages could not finish.

    Raises:
        ParameterError: LS106, a library is not installed; LS132, a run would train a model that cannot be asked for its
            conditions; LS135, parents that cannot be; as `check_privacy_settings`.
    """
    if "run" in stages:
        _check_conditions(config)
    check_circle(config.column_parents)
    if config.columns is not None:
        resolve_parents(config.column_parents, config.columns, config.condition_on or (), config.dp)
    if {"tokenize", "train", "run"} & set(stages):
        check_privacy_settings(config)
    # Of tokenize's vocabularies, only the noised one needs an accountant.
    if {"train", "run"} & set(stages) or ("tokenize" in stages and vocabulary_mode(config) == "dp_characters"):
        check_libraries(config)
    if {"tokenize", "run"} & set(stages):
        missing = [name for name in _TOKENIZE_LIBRARIES if importlib.util.find_spec(name) is None]
        if missing:
            raise ParameterError(
                "LS106",
                None,
                f"tokenizing needs {', '.join(missing)}, which is not installed",
                "Install it: pip install 'linesmith[tokenize]'. Generation from an existing run directory does not need it.",
            )
