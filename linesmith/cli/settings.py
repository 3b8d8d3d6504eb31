"""Combine the command line, the settings file and the settings of an earlier run into one configuration.

The command line has precedence over the settings file, which has precedence over the earlier run.
"""

from __future__ import annotations

from typing import Any

from linesmith.cli.options import CommandLine
from linesmith.core.artifacts.params import config_from_model_dir, config_from_settings, read_settings
from linesmith.core.artifacts.run_directory import RunDirectory, run_directory
from linesmith.core.config.setting_field import option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError

# Settings of earlier stages that do not shape the model, and may differ from the trained model's.
_MAY_DIFFER = {"columns", "max_reject_rate", "max_training_time_seconds", "tensorboard"}


def resolve(command_line: CommandLine) -> TensorFlowConfig:
    """Return the configuration of a command.

    `generate`, and `plan` over a finished training without `--input`, start from the settings in the run directory.

    Args:
        command_line: command whose run directory and settings file are local.

    Raises:
        ParameterError: a setting is unknown, out of range, missing, or differs from the trained model's.
        DataError: the run directory of `generate` has no model.
    """
    settings = {} if command_line.config_file is None else dict(read_settings(command_line.config_file))
    settings |= {name: _unwrap_single(value) for name, value in command_line.settings.items()}
    output = settings.get("checkpoint_dir")
    if command_line.command == "generate":
        run_directory(config_from_settings({"checkpoint_dir": output}))  # raises if --output is not set
        archive = settings.get("model_archive")
        if archive is not None:
            from linesmith.pipelines.export import import_archive

            import_archive(str(archive), str(output))
    if output is not None and _starts_from_model(command_line.command, str(output), settings):
        return _override(config_from_model_dir(str(output)), settings)
    return config_from_settings(settings)


def _unwrap_single(value: Any) -> Any:
    """Return the value of a repeatable flag that is given once as a plain value, any other value unchanged.

    It matters for start strings: a plain one asks for many records, a list for one record per string.
    """
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _starts_from_model(command: str, output: str, settings: dict[str, Any]) -> bool:
    if command == "generate":
        return True
    from pathlib import Path

    # With input, plan describes a new run; without, the run in the directory.
    return command == "plan" and "input_data_path" not in settings and RunDirectory(Path(output)).has_model()


def _override(stored: TensorFlowConfig, settings: dict[str, Any]) -> TensorFlowConfig:
    """Return the trained model's configuration with some settings replaced.

    Raises:
        ParameterError: LS105, a setting that shaped the model differs.
    """
    starts = {"start_string", "start_strings_file"} & set(settings)
    kept = {name: value for name, value in stored.as_dict().items() if not (starts and name.startswith("start_string"))}
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
