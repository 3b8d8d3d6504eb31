"""One configuration from what the command line, a settings file and an earlier run say, in that order of precedence."""

from __future__ import annotations

from typing import Any

from linesmith.cli.options import Given, flags_of
from linesmith.core.artifacts.params import config_from_model_dir, config_from_settings, read_settings
from linesmith.core.artifacts.run_directory import RunDirectory, run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError

# Settings of earlier stages that only name things in the output, and may be given late.
_MAY_DIFFER = {"columns", "max_reject_rate", "max_training_time_seconds", "tensorboard"}


def resolve(given: Given) -> TensorFlowConfig:
    """The configuration of a command.

    `generate`, and `plan` over a finished training, start from what the run directory holds.

    Raises:
        ParameterError: a setting is unknown, out of range, missing, or differs from the trained model's.
        DataError: `generate` was pointed at a directory without a model.
    """
    said = {} if given.config_file is None else dict(read_settings(given.config_file))
    said |= {name: _single(name, value) for name, value in given.settings.items()}
    output = said.get("checkpoint_dir")
    if given.command == "generate":
        run_directory(config_from_settings({"checkpoint_dir": output}))  # says so when there is none
        archive = said.get("model_archive")
        if archive is not None:
            from linesmith.pipelines.export import import_archive

            import_archive(str(archive), str(output))
    if output is not None and _starts_from_model(given.command, str(output), said):
        return _overlay(config_from_model_dir(str(output)), said)
    return config_from_settings(said)


def _single(name: str, value: Any) -> Any:
    """A repeatable flag given once is a plain value: one start string asks for many records, a list for one each."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _starts_from_model(command: str, output: str, said: dict[str, Any]) -> bool:
    if command == "generate":
        return True
    from pathlib import Path

    # A plan with input is the plan of a new run; one without is about the run that is there.
    return command == "plan" and "input_data_path" not in said and RunDirectory(Path(output)).has_model()


def _overlay(stored: TensorFlowConfig, said: dict[str, Any]) -> TensorFlowConfig:
    """What was said over what was trained with.

    Raises:
        ParameterError: they differ in a setting that shaped the model.
    """
    starts = {"start_string", "start_strings_file"} & set(said)
    kept = {name: value for name, value in stored.as_dict().items() if not (starts and name.startswith("start_string"))}
    config = config_from_settings({**kept, **said})
    before, now = stored.stage_settings("tokenize", "train"), config.stage_settings("tokenize", "train")
    for name, value in now.items():
        if value != before[name] and name not in _MAY_DIFFER:
            raise ParameterError(
                f"LS105: {flags_of(name)[0]} ({name}) is {value!r}, but the model in '{config.checkpoint_dir}' was made with "
                f"{before[name]!r}; leave it out to generate from that model, or train another with it."
            )
    return config
