"""Checks before anything is read, trained or paid for. docs/errors.md lists the codes."""

from __future__ import annotations

import importlib.util

from linesmith.core.config.fake_providers import check_fake
from linesmith.core.config.field_differences import resolve_differences
from linesmith.core.config.field_parents import check_circle, resolve_parents
from linesmith.core.config.input_format import CSV, TEXT
from linesmith.core.config.privacy_checks import check_libraries, check_privacy_settings, vocabulary_mode
from linesmith.core.config.setting_field import option_text
from linesmith.core.config.tensorflow_config import Stage, TensorFlowConfig
from linesmith.core.errors import ParameterError

# Libraries that only these stages need; generation must run without them.
_TOKENIZE_LIBRARIES = ("tensorflow", "tensorflow_transform", "tfx_bsl", "tensorflow_text")
_TRAIN_LIBRARIES = ("tensorflow", "keras")


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


def check_column_roles(config: TensorFlowConfig, reads_input: bool) -> None:
    """Refuse roles that cannot be used, before anything is read or written.

    Args:
        config: the settings.
        reads_input: the columns of the input have to be named.

    Raises:
        ParameterError: LS140, a role cannot be used; LS106, Faker is not installed; LS301, with `dp`, one would look at records.
    """
    for name, role in config.roles.items():
        option = f"--column-role {name}={(config.column_role or {})[name]}"  # type: ignore[call-overload]
        if role.kind == "fake":
            check_fake(role.text, role.detail, option)
        if config.dp and role.kind == "key" and not role.text:
            raise _private_role_error(option, "the pattern of a key would be learned from private records")
        if config.dp and role.kind == "ref":
            raise _private_role_error(option, "values of another file would be released, and no mechanism covers them")
    if config.dp and config.avoid_source_keys:
        found = "with --dp, which keys are never generated would tell which ones the records have"
        raise ParameterError("LS301", "--avoid-source-keys", found, "Leave it out: give key:PATTERN with many keys.")
    named = config.header or config.input_format not in (TEXT, CSV)
    if config.roles and reads_input and config.columns is None and (config.dp or not named):
        found = "the columns have no names" if not config.dp else "with --dp names are not learned from the input"
        raise ParameterError(
            "LS140", "--column-role", found, "Give --columns." if config.dp else "Give --columns or --header."
        )


def _private_role_error(option: str, found: str) -> ParameterError:
    return ParameterError("LS301", option, f"with --dp, {found}", "Give key:PATTERN, fake, constant or drop.")


def check(config: TensorFlowConfig, *stages: Stage) -> None:
    """Refuse a configuration with which the given stages could not finish.

    Raises:
        ParameterError: LS106, a library is not installed; LS132, a run would train a model that cannot be asked for its
            conditions; LS135, parents that cannot be; LS136, the same of differences; LS140, roles of columns that cannot be;
            as `check_privacy_settings`.
    """
    if "run" in stages:
        _check_conditions(config)
    check_column_roles(config, bool({"tokenize", "run"} & set(stages)))
    check_circle(config.column_parents)
    if config.columns is not None:
        resolve_parents(config.column_parents, config.learned_columns, config.condition_on or (), config.dp)
        resolve_differences(config.column_differences, config.learned_columns, config.condition_on or (), config.dp)
    if {"tokenize", "train", "run"} & set(stages):
        check_privacy_settings(config)
    # Of tokenize's vocabularies, only the noised one needs an accountant.
    if {"train", "run"} & set(stages) or ("tokenize" in stages and vocabulary_mode(config) == "dp_characters"):
        check_libraries(config)
    if {"tokenize", "run"} & set(stages):
        _check_installed("tokenizing", _TOKENIZE_LIBRARIES, "tokenize")
    if {"train", "run"} & set(stages):
        _check_installed("training", _TRAIN_LIBRARIES, "train")


def _check_installed(doing: str, libraries: tuple[str, ...], extra: str) -> None:
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        raise ParameterError(
            "LS106",
            None,
            f"{doing} needs {', '.join(missing)}, which is not installed",
            f"Install it: pip install 'linesmith[{extra}]'. Generation from an existing run directory does not need it.",
        )
