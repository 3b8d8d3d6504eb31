"""Run `linesmith evaluate` on a run directory, or on any three sets of records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from linesmith.cli.options import CommandLine
from linesmith.cli.settings import resolve
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.config.tokenization import unescape_delimiter
from linesmith.core.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of `evaluate`, as given on the command line."""

    output: str | None = None
    config_file: str | None = None
    real: Sequence[str] = field(default_factory=tuple)
    holdout: Sequence[str] = field(default_factory=tuple)
    synthetic: Sequence[str] = field(default_factory=tuple)
    field_delimiter: str | None = None
    quoted: bool = False
    header: bool = False
    encoding: str = "utf-8"
    roles: Sequence[str] = field(default_factory=tuple)
    target: str | None = None
    fail_under_closeness: float | None = None
    fail_under_privacy: float | None = None
    overwrite: bool = False
    beam_args: Sequence[str] = field(default_factory=tuple)


def run_evaluation(options: EvaluateOptions, load: Callable[[], None], show: Callable[..., int]) -> int:
    """Evaluate, and return the exit code, which is 3 if a score is below its threshold.

    Args:
        options: options whose run directory and settings file are local.
        load: function that loads the slow libraries; called after every cheap check.
        show: function that prints the stage's report and returns its exit code.

    Raises:
        ParameterError: options contradict each other, or one is missing.
    """
    from linesmith.pipelines.evaluate.input_units import TextFormat
    from linesmith.pipelines.evaluate.sets import parse_roles
    from linesmith.pipelines.evaluate.stage import EvaluationSettings, check_libraries, evaluate_files, evaluate_run
    from linesmith.records.fields import FieldFormat

    settings = EvaluationSettings(
        roles=parse_roles(options.roles),
        target=options.target,
        fail_under_closeness=_checked_threshold("closeness", options.fail_under_closeness),
        fail_under_privacy=_checked_threshold("privacy", options.fail_under_privacy),
        overwrite=options.overwrite,
    )
    sets = {"training": options.real, "holdout": options.holdout, "synthetic": options.synthetic}
    paths = {name: files for name, files in sets.items() if files}
    check_libraries()
    if not paths:
        config = _run_config(options)
        load()
        return show(evaluate_run(config, options.beam_args, settings))
    if not options.real or not options.synthetic:
        raise ParameterError(
            "LS126",
            None,
            "--real, --holdout and --synthetic go together",
            "Give the first and the last at least, or none of them to evaluate the run in --output.",
        )
    if options.output is None:
        raise ParameterError("LS103", "--output", "not set", "Give a directory for the report.")
    load()
    delimiter = None if options.field_delimiter is None else unescape_delimiter(options.field_delimiter)
    fields = FieldFormat(delimiter, options.quoted)
    text_format = TextFormat(fields, options.header, options.encoding)
    return show(evaluate_files(paths, options.output, text_format, options.beam_args, settings))


def _run_config(options: EvaluateOptions) -> TensorFlowConfig:
    settings = {} if options.output is None else {"checkpoint_dir": options.output}
    return resolve(CommandLine("evaluate", settings, options.config_file))


def _checked_threshold(name: str, value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 1:
        raise ParameterError("LS116", f"--fail-under-{name} {value:g}", "out of range", "Give a score from 0 to 1.")
    return value
