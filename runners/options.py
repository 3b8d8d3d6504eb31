"""Check and parse Beam arguments; the module of the runner that they name completes them."""

from __future__ import annotations

import argparse
import difflib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from linesmith.core.config.tensorflow_config import fields
from linesmith.core.errors import ParameterError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


def pipeline_options(beam_args: Sequence[str] = ()) -> PipelineOptions:
    """Return complete options for the runner that the arguments name; the in-process runner where they name none.

    Args:
        beam_args: Beam arguments of the command line.

    Raises:
        ParameterError: an argument that Beam does not know, a bad value, or a runner that lacks a setting.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    from linesmith.runners import dataflow, direct, flink
    from linesmith.runners.loopback import JOB_SERVERS, WORKER_SERVERS, listen_on_loopback

    check_beam_args(beam_args)
    options = PipelineOptions(list(beam_args))
    listen_on_loopback(WORKER_SERVERS)  # for any runner: Beam falls back to the in-process one
    named = (options.view_as(StandardOptions).runner or direct.RUNNER_NAMES[0]).lower().removesuffix("runner")
    if named not in {name.lower().removesuffix("runner") for name in direct.RUNNER_NAMES}:
        listen_on_loopback(JOB_SERVERS)
    for module in (direct, flink, dataflow):
        if named in {name.lower().removesuffix("runner") for name in module.RUNNER_NAMES}:
            module.complete_options(options)
            return options
    _check_other_runner(named, options)
    return options


def runner_name(options: PipelineOptions) -> str:
    """Return Beam's name of the runner that will run."""
    from apache_beam.options.pipeline_options import StandardOptions

    return str(options.view_as(StandardOptions).runner).rpartition(".")[2]


def check_beam_args(beam_args: Sequence[str], linesmith_flags: Iterable[str] = ()) -> None:
    """Refuse arguments that Beam does not know. Beam itself would only warn and ignore them.

    Args:
        beam_args: the arguments of a command line that are not flags of Linesmith.
        linesmith_flags: the flags of Linesmith, so that the message can name the one that a misspelled flag resembles.

    Raises:
        ParameterError: an unknown flag, an argument that belongs to no flag, or a value that Beam cannot parse.
    """
    if not beam_args:
        return
    parser = _beam_parser()
    _, unknown = parser.parse_known_args(list(beam_args))
    if not unknown:
        return
    first = unknown[0]
    if not first.startswith("-"):
        raise ParameterError(
            "LS110",
            None,
            f"unexpected argument {first!r}: every value needs its option before it",
            f"Write for example --input {first}. A pattern such as *.csv must be quoted, or the shell splits it into "
            "several words.",
        )
    flag = first.split("=", 1)[0]
    beam_flags = [name for action in parser._actions for name in action.option_strings]
    known = {name.strip("-").replace("_", "-"): name for name in [*beam_flags, *linesmith_flags, *_setting_flags()]}
    close = difflib.get_close_matches(flag.strip("-").replace("_", "-"), list(known), n=1, cutoff=0.6)
    hint = (
        f"The nearest known option is {known[close[0]]}." if close else "See linesmith run --help for the known ones."
    )
    raise ParameterError("LS110", None, f"unknown option {flag}: neither Linesmith nor Beam knows it", hint)


def _setting_flags() -> Iterator[str]:
    return ("--" + name.replace("_", "-") for name in fields())


class _RaisingParser(argparse.ArgumentParser):
    """Parser that raises `ParameterError` for a bad value; argparse itself would print its usage and end the process."""

    def error(self, message: str) -> NoReturn:
        raise ParameterError(
            "LS122", None, f"Beam refuses its options: {message}", "Correct the value; Beam's documentation lists them."
        )


def _beam_parser() -> argparse.ArgumentParser:
    """Return a parser that knows the options of every installed runner."""
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    from linesmith.runners import linesmith_options  # noqa: F401  (the parser finds the classes that are imported)

    class Parser(_RaisingParser, _BeamArgumentParser):
        pass

    parser = Parser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
    for options in _subclasses(PipelineOptions):
        if "_add_argparse_args" in options.__dict__:
            options._add_argparse_args(parser)
    return parser


def _subclasses(root: Any) -> Iterator[Any]:
    for child in root.__subclasses__():
        yield child
        yield from _subclasses(child)


def _check_other_runner(named: str, options: PipelineOptions) -> None:
    from apache_beam.options.pipeline_options import PrismRunnerOptions, StandardOptions

    runner = options.view_as(StandardOptions).runner
    if named == "prism" and options.view_as(PrismRunnerOptions).prism_location is None:
        raise ParameterError(
            "LS401",
            "--runner PrismRunner",
            "would download a binary without --prism_location",
            "Leave --runner out to run in this process, or give the path of a Prism binary.",
        )
    known = {name.lower().removesuffix("runner"): name for name in StandardOptions.KNOWN_RUNNER_NAMES}
    if named in known or _is_importable(str(runner)):
        return
    close = difflib.get_close_matches(named, list(known), n=1, cutoff=0.5)
    hint = f"The nearest known runner is {known[close[0]]}." if close else f"Known are {', '.join(known.values())}."
    raise ParameterError("LS401", f"--runner {runner!r}", "not a runner that Beam knows", hint)


def _is_importable(class_path: str) -> bool:
    """Return whether the module of a runner's full class path, such as `package.module.Runner`, can be imported."""
    module = class_path.rpartition(".")[0]
    try:
        return bool(module) and importlib.util.find_spec(module) is not None
    except ImportError:
        return False
