"""Combine the command line, the settings file and the settings of an earlier run into one configuration.

The command line has precedence over the settings file, which has precedence over the earlier run. The earlier run's directory may
come from somebody else: what it stores never makes `generate` run code or open anything outside of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from linesmith.cli.options import CommandLine
from linesmith.core.artifacts.kept_inputs import stored_settings_error
from linesmith.core.artifacts.params import (
    config_from_model_dir,
    config_from_settings,
    read_settings,
    read_stored_config,
)
from linesmith.core.artifacts.run_directory import RunDirectory, run_directory
from linesmith.core.config.column_roles import parse_column_roles, without_references
from linesmith.core.config.generation import REQUEST_SETTINGS
from linesmith.core.config.setting_field import SHORT_FLAGS, option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig, fields, nearest_setting, stage_of, with_home
from linesmith.core.errors import ParameterError

# Settings of earlier stages that do not shape the model, and may differ from the trained model's.
_MAY_DIFFER = {"columns", "column_role", "max_reject_rate", "max_training_time_seconds", "tensorboard"}
# Commands that work on a finished run.
_FROM_MODEL = ("generate", "evaluate", "audit")


def resolve(command_line: CommandLine) -> TensorFlowConfig:
    """Return the configuration of a command.

    `generate`, `evaluate`, `audit`, and `plan` over a finished training without `--input` start from the settings in the run
    directory.

    Args:
        command_line: command whose run directory and settings file are local.

    Raises:
        ParameterError: a setting is unknown, out of range, missing, or differs from the trained model's; LS128, `generate`
            would run code, or open something outside the run directory, because of a stored setting.
        DataError: the run directory has no model.
    """
    settings = {} if command_line.config_file is None else dict(read_settings(command_line.config_file))
    settings |= with_home({name: _unwrap_single(name, value) for name, value in command_line.settings.items()})
    output = settings.get("checkpoint_dir")
    if command_line.command in _FROM_MODEL:
        run_directory(config_from_settings({"checkpoint_dir": output}))  # raises if --output is not set
        archive = settings.get("model_archive") if command_line.command == "generate" else None
        if archive is not None:
            from linesmith.pipelines.export import import_archive

            import_archive(str(archive), str(output))
    if output is not None and _starts_from_model(command_line.command, str(output), settings):
        unset = {_setting_of_generation(name) for name in command_line.unset}
        return _override(_stored_config(command_line.command, str(output), {*settings, *unset}), settings, unset)
    return config_from_settings(settings)


def _stored_config(command: str, output: str, given: Iterable[str]) -> TensorFlowConfig:
    """Return the configuration in a run directory, without what only its user may decide.

    Args:
        command: name of the command.
        output: the run directory.
        given: names of the settings that are given again or unset.

    Raises:
        ParameterError: LS128, `generate` needs a decision about a stored setting.
    """
    if command == "plan":
        return config_from_model_dir(output)  # names what would be refused
    config, refused = read_stored_config(output)
    forgotten: dict[str, Any] = {"column_role": without_references(config.column_role)}
    if command == "generate":  # reads the input for avoid_source_keys alone
        forgotten["input_data_path"] = None
    config = config.model_copy(update=forgotten)
    decided = {*given, *(REQUEST_SETTINGS if set(REQUEST_SETTINGS) & set(given) else ())}
    undecided = [name for name in refused if name not in decided]
    if undecided and command == "generate":
        raise stored_settings_error(refused, undecided, output)
    return config


def _setting_of_generation(name: str) -> str:
    """Return the setting that `--unset` names.

    Raises:
        ParameterError: LS101, it is no setting of generation.
    """
    long_names = {flag.removeprefix("--"): setting for setting, flag in SHORT_FLAGS.items()}
    plain = name.removeprefix("--")
    setting = long_names.get(plain, plain.replace("-", "_"))
    if setting in fields() and stage_of(fields()[setting]) == "generate":
        return setting
    nearest = nearest_setting(setting)
    hint = "Name a setting of generation." if nearest is None else f"The nearest known setting is '{nearest}'."
    raise ParameterError("LS101", f"--unset {name}", "not a setting of generation", hint)


def _unwrap_single(name: str, value: Any) -> Any:
    """Return the value of a repeatable flag that is given once as a plain value where the setting can be one.

    It matters for start strings: a plain one asks for many records, a list for one record per string.
    """
    may_be_plain = str in get_args(fields()[name].annotation)
    return value[0] if may_be_plain and isinstance(value, list) and len(value) == 1 else value


def _starts_from_model(command: str, output: str, settings: dict[str, Any]) -> bool:
    if command in _FROM_MODEL:
        return True
    # With input, plan describes a new run; without, the run in the directory.
    return command == "plan" and "input_data_path" not in settings and RunDirectory(Path(output)).has_model()


def _override(stored: TensorFlowConfig, settings: dict[str, Any], unset: set[str]) -> TensorFlowConfig:
    """Return the trained model's configuration with some settings replaced, and some set to their defaults.

    Raises:
        ParameterError: LS105, a setting that shaped the model differs.
    """
    # What records are asked to begin with or to hold is asked anew as a whole.
    forgotten = {*REQUEST_SETTINGS, "start_strings_field"} | unset if set(REQUEST_SETTINGS) & set(settings) else unset
    kept = {name: value for name, value in stored.as_dict().items() if name not in forgotten}
    if "column_role" in settings:  # what is given for some columns leaves the others as they are
        with contextlib.suppress(ValueError):  # the configuration says what is wrong
            given = parse_column_roles(settings["column_role"])
            settings = settings | {"column_role": {**(kept["column_role"] or {}), **given}}
    config = config_from_settings({**kept, **settings})
    before, now = stored.stage_settings("tokenize", "train"), config.stage_settings("tokenize", "train")
    for name, value in now.items():
        if value != before[name] and name not in _MAY_DIFFER:
            raise ParameterError(
                "LS105",
                f"{option_text(name, value)} ({name})",
                f"the model in '{config.checkpoint_dir}' was made with {before[name]!r}",
                "Leave it out to generate from that model, or train another with it.",
            )
    return config
