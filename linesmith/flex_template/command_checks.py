"""Parse and check a command before a job runs it on a worker, which can only read and write buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from linesmith.cli.app import defined_command
from linesmith.cli.errors import explain
from linesmith.cli.libraries import check_beam_options
from linesmith.cli.local_copies import local_settings_file
from linesmith.cli.options import CommandLine
from linesmith.cli.settings import resolve
from linesmith.core.artifacts.params import read_settings
from linesmith.core.config.setting_field import flag_name
from linesmith.core.config.tensorflow_config import path_settings
from linesmith.core.errors import ParameterError

# Commands whose settings are complete without the run directory; the worker checks those of the others.
_RESOLVED_HERE = ("run", "tokenize", "train")
# Settings that name files which the command opens.
_FILE_SETTINGS = (*path_settings("small", "streamed"), "config", "real", "holdout", "synthetic")


def parse_command(arguments: Sequence[str]) -> CommandLine:
    """Parse a command with its own parser, without running it.

    Args:
        arguments: name of the command and its arguments.

    Raises:
        ParameterError: LS110, the command would refuse its arguments; LS123, an argument is for a terminal only.
    """
    for argument in ("--debug", "--help", "-h"):
        if argument in arguments:
            raise ParameterError(
                "LS123",
                f"parameter settings, {argument}",
                "for a terminal only (a traceback may quote records, and a job's log is kept)",
                "Leave it out.",
            )
    name = arguments[0]
    try:
        context = defined_command(name).make_context(name, list(arguments[1:]))
    except Exception as error:
        raise ParameterError(
            "LS110", "parameter settings", explain(error)[0].rstrip("."), "Write it as on a command line."
        ) from None
    settings = {key: value for key, value in context.params.items() if value not in (None, [], ()) and key != "debug"}
    config = settings.pop("config_file", None) or settings.pop("config", None)
    unset = tuple(settings.pop("unset", ()))
    if name == "evaluate":
        settings["checkpoint_dir"] = settings.pop("output")
    return CommandLine(name, settings, config, beam_args=tuple(context.args), unset=unset)


def check_command(command_line: CommandLine) -> None:
    """Refuse what cannot work on a worker, and output that would be lost with the worker.

    Args:
        command_line: the parsed command.

    Raises:
        ParameterError: LS405, a path that workers cannot see; LS315, LS124, a file that would be lost with the worker; LS123, a
            runner in the command; LS110, an unknown option; or any error in the settings themselves.
    """
    from linesmith.runners import dataflow

    dataflow.check_bucket("parameter output", str(command_line.settings["checkpoint_dir"]))
    _check_paths({**command_line.settings, "config": command_line.config_file})
    check_beam_options(command_line.beam_args)
    _check_runner(command_line.beam_args)
    with local_settings_file(command_line) as local:
        stored = {} if local.config_file is None else read_settings(local.config_file)
        _check_paths(stored)
        _check_persistent_files({**stored, **command_line.settings})
        if command_line.command in _RESOLVED_HERE:
            resolve(local)


def _check_runner(beam_args: Sequence[str]) -> None:
    """Refuse a runner: its job would have workers of its own, and this job's worker would only wait for them.

    Raises:
        ParameterError: LS123, a runner is named.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    runner = PipelineOptions(list(beam_args)).view_as(StandardOptions).runner
    if runner is not None:
        raise ParameterError(
            "LS123",
            f"parameter settings, --runner {runner}",
            "the whole command runs on the one worker of this job",
            "Leave it out. To generate on many workers, run linesmith generate --runner DataflowRunner on your own machine.",
        )


def _check_paths(settings: Mapping[str, Any]) -> None:
    """Refuse local paths of files that the command opens.

    Raises:
        ParameterError: LS405.
    """
    for name in _FILE_SETTINGS:
        value = settings.get(name)
        for path in value if isinstance(value, list | tuple) else [value]:
            if path is not None and "://" not in str(path):
                raise _local_path_error(name, str(path), "an address, gs://BUCKET/…")
    validator = settings.get("line_validator")
    if validator is not None and str(validator).rpartition(":")[0].endswith(".py"):
        raise _local_path_error(
            "line_validator", str(validator), "package.module:function of what is installed in the image"
        )


def _local_path_error(name: str, path: str, instead: str) -> ParameterError:
    return ParameterError(
        "LS405",
        f"{flag_name(name)} '{path}'",
        "a path, and the worker of this job has none of your files",
        f"Give {instead}.",
    )


def _check_persistent_files(settings: Mapping[str, Any]) -> None:
    """Refuse files that must outlive the command but would be on the worker's disk.

    Raises:
        ParameterError: LS315, the privacy ledger; LS124, the catalog of an Iceberg table.
    """
    if settings.get("privacy_ledger") is not None:
        raise ParameterError(
            "LS315",
            f"--privacy-ledger '{settings['privacy_ledger']}'",
            "the worker's disk goes with the job, and a bucket has no lock",
            "Run this training where the ledger is, or leave the ledger out and add up by hand.",
        )
    catalog = str(settings.get("iceberg_catalog") or "sqlite:")
    if settings.get("iceberg_table") is not None and "sqlite:" in catalog:
        raise ParameterError(
            "LS124",
            "--iceberg-table",
            "an SQLite file as catalog would go with the worker's disk",
            "Give an --iceberg-catalog that is a service.",
        )
