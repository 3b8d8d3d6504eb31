"""Launch the Flex Template: a Dataflow job that runs a whole command on one worker, so that no other machine waits for it.

Google's launcher calls `main` with the template's parameters and Beam's options as flags, submits the job's graph and exits.
What a command does after its pipelines (collect, cut, publish) cannot happen in the launcher, so the whole command runs on the
worker. The worker can only use buckets: a local path, or output that would be lost with the worker's disk, is refused before
the job starts.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from linesmith.cli import console
from linesmith.cli.errors import explain
from linesmith.core.errors import EXIT_SUCCESS, LinesmithError, ParameterError
from linesmith.flex_template.command_checks import check_command, parse_command

if TYPE_CHECKING:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

COMMANDS = ("run", "tokenize", "train", "generate", "evaluate")
_HINTS = ("min_ram", "accelerator")
PARAMETERS = ("command", "output", "input", "config", "settings", *_HINTS)
# One process with the whole machine: others would take memory from it without having work.
_ONE_WORKER = (
    *("--num_workers=1", "--max_num_workers=1", "--number_of_worker_harness_threads=1"),
    "--experiments=no_use_multiple_sdk_containers",
)


def main() -> None:
    """Launch the template: its entry point, which FLEX_TEMPLATE_PYTHON_PY_FILE calls."""
    sys.exit(launch(sys.argv[1:]))


def launch(args: Sequence[str]) -> int:
    """Submit the job without waiting for its end; return the exit code."""
    console.set_up_logging()
    try:
        build_pipeline(args).run()
    except LinesmithError as error:
        message, code = explain(error)
        console.error(message)
        return code
    return EXIT_SUCCESS


def build_pipeline(args: Sequence[str]) -> beam.Pipeline:
    """Check the parameters and return the job's pipeline.

    Args:
        args: the template's parameters and Beam's options, as the launcher gives them.

    Raises:
        ParameterError: LS101, LS103, LS110, LS122-LS124, LS315, LS403 or LS405, a parameter is missing or cannot work on a
            worker.
    """
    parameters, beam_args = read_parameters(args)
    arguments = command_arguments(parameters)
    check_command(parse_command(arguments))
    options = _job_options(parameters, beam_args)

    import apache_beam as beam

    from linesmith.flex_template.run_command import RunCommand

    pipeline = beam.Pipeline(options=options)
    _ = pipeline | "Words" >> beam.Create([tuple(arguments)]) | "Command" >> RunCommand()
    return pipeline


def read_parameters(args: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the template's parameters that are set, and the other arguments, which are for Beam.

    Args:
        args: the template's parameters and Beam's options, as the launcher gives them.

    Raises:
        ParameterError: LS122, a parameter has no value.
    """

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise ParameterError(
                "LS122", None, f"a parameter of the template cannot be read: {message}", "Give every parameter a value."
            )

    parser = Parser(allow_abbrev=False, add_help=False)
    for name in PARAMETERS:
        parser.add_argument(f"--{name}")
    parsed, beam_args = parser.parse_known_args(list(args))
    return {name: value for name, value in vars(parsed).items() if value}, beam_args


def command_arguments(parameters: Mapping[str, str]) -> list[str]:
    """Return the name and the arguments of the command that the parameters describe.

    Args:
        parameters: the template's parameters that are set.

    Raises:
        ParameterError: LS101, a command that a worker cannot run; LS103, no run directory; LS110, an unclosed quotation mark.
    """
    command = parameters.get("command")
    if command not in COMMANDS:
        raise ParameterError(
            "LS101",
            f"parameter command {command!r}",
            "not a command that a worker can run",
            f"Give one of {', '.join(COMMANDS)}. Others only show something or need your own machine.",
        )
    if "output" not in parameters:
        raise ParameterError("LS103", "parameter output", "not set", "Give the run directory, gs://BUCKET/….")
    try:
        settings = shlex.split(parameters.get("settings", ""))
    except ValueError:
        raise ParameterError(
            "LS110", "parameter settings", "a quotation mark without a second one", "Quote as in a shell."
        ) from None
    named = [
        argument
        for name in ("output", "input", "config")
        if name in parameters
        for argument in (f"--{name}", parameters[name])
    ]
    return [command, *named, *settings]


def _job_options(parameters: Mapping[str, str], beam_args: Sequence[str]) -> PipelineOptions:
    """Return complete options of the job; its runner is Dataflow unless the arguments name another one.

    Raises:
        ParameterError: LS403, LS405, as for every job on Dataflow; LS122, a hint that Beam cannot parse.
    """
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.transforms.resources import parse_resource_hints

    from linesmith.runners import pipeline_options

    options = PipelineOptions(list(beam_args)).get_all_options(drop_default=True)
    if options.get("runner") in (None, "DataflowRunner") and "sdk_container_image" not in options:
        raise ParameterError(
            "LS403", "parameter sdk_container_image", "not set", "Give the image that the template was built from."
        )
    hints = {name: parameters[name] for name in _HINTS if name in parameters}
    try:
        parse_resource_hints(hints)
    except ValueError:
        raise ParameterError(
            "LS122",
            f"parameter min_ram {parameters.get('min_ram')!r}",
            "not a size of memory",
            "Give a size such as 16GB.",
        ) from None
    added = [f"--resource_hint={name}={value}" for name, value in hints.items()]
    if "temp_location" not in options and "staging_location" in options:  # as Google documents for templates
        added.append(f"--temp_location={options['staging_location']}")
    return pipeline_options(["--runner=DataflowRunner", *beam_args, *_ONE_WORKER, *added])
