"""The Flex Template: a Dataflow job that runs a whole command on one worker, so that no machine of yours waits for it.

Google's launcher calls `main` with the template's parameters and Beam's options as flags. It leaves the job's graph and goes
away; what a command does after a job (collect, cut, publish) is done on the worker, where the whole command runs. The worker
has nothing but buckets: everything that it could not see, or that would go with its disk, is refused before there is a job.
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
# One process with the whole machine: several would share its memory, and have nothing to do.
_ONE_WORKER = (
    *("--num_workers=1", "--max_num_workers=1", "--number_of_worker_harness_threads=1"),
    "--experiments=no_use_multiple_sdk_containers",
)


def main() -> None:
    """Entry point of the template (FLEX_TEMPLATE_PYTHON_PY_FILE calls it)."""
    sys.exit(launch(sys.argv[1:]))


def launch(args: Sequence[str]) -> int:
    """Hand the job to its runner, without waiting for it; the exit code."""
    console.set_up_logging()
    try:
        build(args).run()
    except LinesmithError as failure:
        message, code = explain(failure)
        console.error(message)
        return code
    return EXIT_SUCCESS


def build(args: Sequence[str]) -> beam.Pipeline:
    """The job, checked.

    Args:
        args: the template's parameters and Beam's options, as the launcher gives them.

    Raises:
        ParameterError: a parameter is missing or cannot work on a worker; LS101, LS110, LS114, LS306, LS401, LS403 or LS405.
    """
    said, beam_args = read_parameters(args)
    words = command_words(said)
    check_command(parse_command(words))
    options = _options(said, beam_args)

    import apache_beam as beam

    from linesmith.flex_template.run_command import RunCommand

    pipeline = beam.Pipeline(options=options)
    _ = pipeline | "Words" >> beam.Create([tuple(words)]) | "Command" >> RunCommand()
    return pipeline


def read_parameters(args: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The template's parameters that were given, and what is left for Beam.

    Raises:
        ParameterError: LS110, a parameter has no value.
    """

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise ParameterError(f"LS110: a parameter of the template cannot be read: {message}.", code="LS110")

    parser = Parser(allow_abbrev=False, add_help=False)
    for name in PARAMETERS:
        parser.add_argument(f"--{name}")
    said, beam_args = parser.parse_known_args(list(args))
    return {name: value for name, value in vars(said).items() if value}, beam_args


def command_words(said: Mapping[str, str]) -> list[str]:
    """The command line that the parameters stand for.

    Raises:
        ParameterError: LS101, a command that no worker can run; LS103, no run directory; LS110, an open quotation.
    """
    command = said.get("command")
    if command not in COMMANDS:
        raise ParameterError(
            f"LS101: parameter command is {command!r}; give one of {', '.join(COMMANDS)}. Others look at something or need a "
            "machine of yours.",
            code="LS101",
        )
    if "output" not in said:
        raise ParameterError("LS103: parameter output is not set; give the run directory, gs://BUCKET/….", code="LS103")
    try:
        more = shlex.split(said.get("settings", ""))
    except ValueError:
        raise ParameterError(
            "LS110: parameter settings has a quotation mark without a second one; quote it as in a shell.", code="LS110"
        ) from None
    named = [word for name in ("output", "input", "config") if name in said for word in (f"--{name}", said[name])]
    return [command, *named, *more]


def _options(said: Mapping[str, str], beam_args: Sequence[str]) -> PipelineOptions:
    """Complete options of the job, on Dataflow where nothing else is said.

    Raises:
        ParameterError: LS403, LS405, as every job for Dataflow; LS110, a hint that Beam cannot read.
    """
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.transforms.resources import parse_resource_hints

    from linesmith.runners import pipeline_options

    given = PipelineOptions(list(beam_args)).get_all_options(drop_default=True)
    if given.get("runner") in (None, "DataflowRunner") and "sdk_container_image" not in given:
        raise ParameterError(
            "LS403: parameter sdk_container_image is not set; give the image that the template was built from.",
            code="LS403",
        )
    hints = {name: said[name] for name in _HINTS if name in said}
    try:
        parse_resource_hints(hints)
    except ValueError:
        raise ParameterError(
            f"LS110: parameter min_ram is {said.get('min_ram')!r}; give a size such as 16GB.", code="LS110"
        ) from None
    asked = [f"--resource_hint={name}={value}" for name, value in hints.items()]
    if "temp_location" not in given and "staging_location" in given:  # as Google says of templates
        asked.append(f"--temp_location={given['staging_location']}")
    return pipeline_options(["--runner=DataflowRunner", *beam_args, *_ONE_WORKER, *asked])
