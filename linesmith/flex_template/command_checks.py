"""A command line that is to run on a worker which has nothing but buckets: read, and checked, before there is a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from linesmith.cli.app import app
from linesmith.cli.errors import explain
from linesmith.cli.libraries import check_beam_options
from linesmith.cli.local_copies import local_settings_file
from linesmith.cli.options import Given, flags_of
from linesmith.cli.settings import resolve
from linesmith.core.artifacts.params import read_settings
from linesmith.core.errors import ParameterError

_CHECKED_HERE = (
    "run",
    "tokenize",
    "train",
)  # the others start from what the run directory holds, and are checked there
_OPENED = (
    *("input_data_path", "start_strings_file", "rules", "schema_file", "model_archive"),
    *("dp_public_vocabulary", "dp_public_validation", "config", "real", "holdout", "synthetic"),
)


def parse_command(words: Sequence[str]) -> Given:
    """What a command line says, read by the command's own parser; nothing runs.

    Raises:
        ParameterError: LS110, the command would refuse its words; or they ask for what no log may hold.
    """
    for word in ("--debug", "--help", "-h"):
        if word in words:
            raise ParameterError(
                f"LS110: parameter settings holds {word}, which is for a terminal (a traceback may quote records, and a job's "
                "log is kept); leave it out.",
                code="LS110",
            )
    name = words[0]
    command: Any = typer.main.get_command(app)
    try:
        context = command.commands[name].make_context(name, list(words[1:]))
    except Exception as failure:
        raise ParameterError(f"LS110: {explain(failure)[0]}", code="LS110") from None
    said = {key: value for key, value in context.params.items() if value not in (None, [], ()) and key != "debug"}
    config = said.pop("config_file", None) or said.pop("config", None)
    if name == "evaluate":
        said["checkpoint_dir"] = said.pop("output")
    return Given(name, said, config, beam_args=tuple(context.args))


def check_command(given: Given) -> None:
    """Refuse what cannot work on a worker, or would be lost with it.

    Raises:
        ParameterError: LS405, a place that workers cannot see; LS306, LS114, a file that would go with the worker; LS401, a
            runner in the command; LS110, an unknown option; whatever the settings themselves are refused for.
    """
    from linesmith.runners import dataflow

    dataflow.check_bucket("parameter output", str(given.settings["checkpoint_dir"]))
    _check_places({**given.settings, "config": given.config_file})
    check_beam_options(given.beam_args)
    _check_runner(given.beam_args)
    with local_settings_file(given) as local:
        stored = {} if local.config_file is None else read_settings(local.config_file)
        _check_places(stored)
        _check_kept({**stored, **given.settings})
        if given.command in _CHECKED_HERE:
            resolve(local)


def _check_runner(beam_args: Sequence[str]) -> None:
    """The command itself runs in its process; a cluster's job would have its own workers, and this one only wait.

    Raises:
        ParameterError: LS401.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    runner = PipelineOptions(list(beam_args)).view_as(StandardOptions).runner
    if runner is not None:
        raise ParameterError(
            f"LS401: parameter settings holds --runner {runner}, but the whole command runs on the one worker of this job; leave "
            "it out. For generate on many workers, run linesmith generate --runner DataflowRunner on a machine of yours.",
            code="LS401",
        )


def _check_places(said: Mapping[str, Any]) -> None:
    """Files that the command opens must be addresses.

    Raises:
        ParameterError: LS405.
    """
    for name in _OPENED:
        value = said.get(name)
        for place in value if isinstance(value, list | tuple) else [value]:
            if place is not None and "://" not in str(place):
                raise _unseen(name, str(place), "an address, gs://BUCKET/…")
    validator = said.get("line_validator")
    if validator is not None and str(validator).rpartition(":")[0].endswith(".py"):
        raise _unseen("line_validator", str(validator), "package.module:function of what is installed in the image")


def _unseen(name: str, place: str, instead: str) -> ParameterError:
    return ParameterError(
        f"LS405: {flags_of(name)[0]} '{place}' is a path, and the worker of this job has no files of yours; give {instead}.",
        code="LS405",
    )


def _check_kept(said: Mapping[str, Any]) -> None:
    """What outlives the command must not be on the worker's disk.

    Raises:
        ParameterError: LS306, LS114.
    """
    if said.get("privacy_ledger") is not None:
        raise ParameterError(
            f"LS306: --privacy-ledger '{said['privacy_ledger']}' cannot be kept: the worker's disk goes with the job, and a "
            "bucket has no lock. Run this training where the ledger is, or leave the ledger out and add up by hand.",
            code="LS306",
        )
    catalog = str(said.get("iceberg_catalog") or "sqlite:")
    if said.get("iceberg_table") is not None and "sqlite:" in catalog:
        raise ParameterError(
            "LS114: --iceberg-table needs an --iceberg-catalog that is a service here: an SQLite file would go with the worker's "
            "disk.",
            code="LS114",
        )
