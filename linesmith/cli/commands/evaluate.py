"""`linesmith evaluate`: a run directory, or any three sets of records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from linesmith.cli.options import Given
from linesmith.core.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What the command line of `evaluate` said."""

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


def run_evaluation(said: EvaluateOptions, load: Callable[[], None], show: Callable[..., int]) -> int:
    """Evaluate, and return the exit code: 3 where a score is below what was asked for.

    Args:
        load: loads the slow libraries; called when all that is cheap has been checked.
        show: shows the stage's report and gives its exit code.

    Raises:
        ParameterError: options contradict each other, or one is missing.
    """
    from linesmith.pipelines.evaluate.sets import Reading, parse_roles
    from linesmith.pipelines.evaluate.stage import EvaluationSettings, check_libraries, evaluate_files, evaluate_run

    settings = EvaluationSettings(
        roles=parse_roles(said.roles),
        target=said.target,
        fail_under_closeness=_share("closeness", said.fail_under_closeness),
        fail_under_privacy=_share("privacy", said.fail_under_privacy),
        overwrite=said.overwrite,
    )
    given = {"training": said.real, "holdout": said.holdout, "synthetic": said.synthetic}
    paths = {name: files for name, files in given.items() if files}
    check_libraries()
    if not paths:
        config = _run_config(said)
        load()
        return show(evaluate_run(config, said.beam_args, settings))
    if not said.real or not said.synthetic:
        raise ParameterError(
            "LS116: --real, --holdout and --synthetic go together; give the first and the last at least, or none of them to "
            "evaluate the run in --output.",
            code="LS116",
        )
    if said.output is None:
        raise ParameterError("LS103: --output is not set; give a directory for the report.", code="LS103")
    load()
    reading = Reading(_delimiter(said.field_delimiter), said.quoted, said.header, said.encoding)
    return show(evaluate_files(paths, said.output, reading, said.beam_args, settings))


def _run_config(said: EvaluateOptions):  # type: ignore[no-untyped-def]
    from linesmith.cli.settings import resolve

    settings = {} if said.output is None else {"checkpoint_dir": said.output}
    return resolve(Given("generate", settings, said.config_file))


def _delimiter(given: str | None) -> str | None:
    r"""A tab can hardly be typed: `\t` stands for it."""
    return "\t" if given == "\\t" else given


def _share(name: str, value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 1:
        raise ParameterError(f"LS116: --fail-under-{name} is {value:g}; give a score from 0 to 1.", code="LS116")
    return value
