"""Beam arguments: checked, parsed and completed by the module of the runner they name."""

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
    """Complete options for the runner that the arguments name; the in-process runner where they name none.

    Raises:
        ParameterError: an argument that Beam does not know, a bad value, or a runner that lacks a setting.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    from linesmith.runners import (
        dataflow,
        direct,
        flink,
    )

    check_beam_args(beam_args)
    options = PipelineOptions(list(beam_args))
    named = (options.view_as(StandardOptions).runner or direct.NAMES[0]).lower().removesuffix("runner")
    for module in (direct, flink, dataflow):
        if named in {name.lower().removesuffix("runner") for name in module.NAMES}:
            module.complete(options)
            return options
    _check_other_runner(named, options)
    return options


def runner_name(options: PipelineOptions) -> str:
    """The runner that will run, by Beam's own name for it."""
    from apache_beam.options.pipeline_options import StandardOptions

    return str(options.view_as(StandardOptions).runner).rpartition(".")[2]


def check_beam_args(beam_args: Sequence[str], ours: Iterable[str] = ()) -> None:
    """Refuse what neither we nor Beam know; Beam alone would only warn and run without it.

    Args:
        beam_args: what is left of a command line when our own flags are taken out.
        ours: our flags, so that a slip of the pen in one of them gets its right name.

    Raises:
        ParameterError: an unknown flag, a stray word, or a value that Beam cannot parse.
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
            f"LS110: unexpected argument {first!r}: every value needs its option before it, for example --input {first}. "
            "A pattern such as *.csv must be quoted, or the shell splits it into several words."
        )
    flag = first.split("=", 1)[0]
    beam_flags = [name for action in parser._actions for name in action.option_strings]
    spelt = {name.strip("-").replace("_", "-"): name for name in [*beam_flags, *ours, *_setting_flags()]}
    close = difflib.get_close_matches(flag.strip("-").replace("_", "-"), list(spelt), n=1, cutoff=0.6)
    hint = f"the nearest known option is {spelt[close[0]]}" if close else "see linesmith run --help for the known ones"
    raise ParameterError(f"LS110: unknown option {flag}: neither Linesmith nor Beam knows it; {hint}.")


def _setting_flags() -> Iterator[str]:
    return ("--" + name.replace("_", "-") for name in fields())


class _RaisingParser(argparse.ArgumentParser):
    """Reports a bad value as an error of ours; argparse would print its usage and leave the process."""

    def error(self, message: str) -> NoReturn:
        raise ParameterError(f"LS110: Beam refuses its options: {message}.")


def _beam_parser() -> argparse.ArgumentParser:
    """A parser that knows the options of every runner that is installed."""
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    from linesmith.runners import linesmith_options as own_options  # noqa: F401  (the parser finds what is imported)

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

    given = options.view_as(StandardOptions).runner
    if named == "prism" and options.view_as(PrismRunnerOptions).prism_location is None:
        raise ParameterError(
            "LS401: --runner PrismRunner without --prism_location would download a binary; leave --runner out to run in "
            "this process, or give the path of a Prism binary."
        )
    known = {name.lower().removesuffix("runner"): name for name in StandardOptions.KNOWN_RUNNER_NAMES}
    if named in known or _importable(str(given)):
        return
    close = difflib.get_close_matches(named, list(known), n=1, cutoff=0.5)
    hint = f"the nearest known runner is {known[close[0]]}" if close else f"known are {', '.join(known.values())}"
    raise ParameterError(f"LS401: --runner {given!r} is not a runner that Beam knows; {hint}.")


def _importable(dotted: str) -> bool:
    """A runner may be named by its full class path."""
    module = dotted.rpartition(".")[0]
    try:
        return bool(module) and importlib.util.find_spec(module) is not None
    except ImportError:
        return False
