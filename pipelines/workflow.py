"""The whole job under one lock: tokenize, train, generate, evaluate. What an earlier, equal run finished is not done again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.artifacts.run_directory import (
    RunDirectory,
    check_overwrite_allowed,
    locked,
    run_directory,
    workspace,
)
from linesmith.core.config import preflight
from linesmith.core.config.tensorflow_config import SETTINGS_WITHOUT_EFFECT, Stage, TensorFlowConfig
from linesmith.core.errors import DataError, LinesmithError
from linesmith.pipelines.remote.local_paths import accepts_remote_run_directory
from linesmith.pipelines.stage_report import StageReport

if TYPE_CHECKING:
    from linesmith.model.tokenizers import CharTokenizerTrainer, SentencePieceTokenizerTrainer

_log = logging.getLogger("linesmith")


@accepts_remote_run_directory("run")
def run(
    config: TensorFlowConfig, beam_args: Sequence[str] = (), on_stage: Callable[[StageReport], Any] | None = None
) -> list[StageReport]:
    """Tokenize, train, generate and evaluate.

    Args:
        config: the settings; `checkpoint_dir` is the run directory.
        beam_args: Beam pipeline options, as on a command line.
        on_stage: told of each stage when it is done.

    Returns:
        One report a stage, in order.

    Raises:
        LinesmithError: the run directory holds a complete run, one of other settings, or a stage fails.
    """
    from linesmith.pipelines.generate.stage import generate_locked

    preflight.check(config, "run")
    tell = on_stage or (lambda report: None)
    directory = run_directory(config)
    with locked(directory):
        check_overwrite_allowed(directory.synthetic, "run", config.overwrite)
        reports = _learn(config, beam_args, tell)
        reports.append(generate_locked(config, beam_args))
        tell(reports[-1])
        if config.report:
            reports.append(_evaluate(config, beam_args, reports[-1]))
            tell(reports[-1])
    return reports


def _evaluate(config: TensorFlowConfig, beam_args: Sequence[str], generated: StageReport) -> StageReport:
    """The report that ends a run. Records that were made are not given up because nothing can be said about them."""
    from linesmith.pipelines.evaluate.stage import EvaluationSettings, evaluate_run_locked, missing_libraries

    missing = missing_libraries()
    if missing:
        why = f"{', '.join(missing)} not installed; pip install 'linesmith[evaluate]' and run linesmith evaluate"
    elif not generated.counts.get("records"):
        why = "there is no record to evaluate"
    else:
        try:
            return evaluate_run_locked(config, beam_args, EvaluationSettings(overwrite=True))
        except LinesmithError as error:
            said = [f"the records are complete, but they could not be evaluated: {error}"]
            return StageReport("evaluate", notices=said, exit_code=error.exit_code)
    return StageReport("evaluate", notices=[f"evaluate is left out: {why}"])


@accepts_remote_run_directory("run")
def train(
    config: TensorFlowConfig,
    tokenizer_trainer: CharTokenizerTrainer | SentencePieceTokenizerTrainer | None = None,
) -> list[StageReport]:
    """Tokenize and train in one call, as scripts of the LSTM workflow expect.

    Args:
        config: the settings; `checkpoint_dir` is the run directory.
        tokenizer_trainer: replaces the tokenizer settings of `config`.

    Returns:
        One report a stage, in order.

    Raises:
        LinesmithError: the run directory holds a complete model, one of other settings, or a stage fails.
    """
    if tokenizer_trainer is not None:
        config = tokenizer_trainer.apply(config)
    preflight.check(config, "tokenize", "train")
    directory = run_directory(config)
    with locked(directory):
        check_overwrite_allowed(directory.model, "model", config.overwrite)
        return _learn(config, (), lambda report: None)


def _learn(config: TensorFlowConfig, beam_args: Sequence[str], tell: Callable[[StageReport], Any]) -> list[StageReport]:
    """Tokenize and train, or say why not. The lock is held."""
    from linesmith.pipelines.tokenize.stage import is_current, tokenize_locked
    from linesmith.pipelines.train.stage import train_locally_or_on_worker

    space = workspace(config)
    _refuse_other_settings(config, space)
    reports = []
    current = is_current(config)
    if not current and space.has_model():
        raise DataError(
            f"LS204: '{space.root}' holds a model, but not the training data that it was made from; choose another --output, "
            "or pass --overwrite to begin anew.",
            code="LS204",
        )
    if current:
        reports.append(_skipped("tokenize", space.training_data, "the training data are complete and current"))
    else:
        reports.append(tokenize_locked(config, beam_args))
    tell(reports[-1])
    if space.has_model():
        reports.append(_skipped("train", space.model, "the model is complete, of equal settings and data"))
    else:
        reports.append(train_locally_or_on_worker(config, beam_args))
    tell(reports[-1])
    return reports


def _skipped(stage: Stage, place: Path, why: str) -> StageReport:
    return StageReport(stage, outputs={stage: str(place)}, notices=[f"{stage} is left out: {why}"])


def _refuse_other_settings(config: TensorFlowConfig, space: RunDirectory) -> None:
    """A begun run goes on with the settings it was begun with, or not at all.

    Raises:
        DataError: a setting differs; the message names it.
    """
    if config.overwrite or not space.params.is_file():
        return
    begun = config_from_model_dir(space.root)
    stages: tuple[Stage, ...] = ("tokenize", "train") if read_manifest(space.training_data) else ("train",)
    before = {"seed": begun.seed, **begun.stage_settings(*stages)}
    now = {"seed": config.seed, **config.stage_settings(*stages)}
    for name, value in now.items():
        if before[name] != value and name not in SETTINGS_WITHOUT_EFFECT:
            raise DataError(
                f"LS204: '{space.root}' holds a run that was begun with {name} {before[name]!r}, and {name} is now {value!r}. "
                "Give the same settings to go on with it, another --output, or --overwrite to begin anew.",
                code="LS204",
            )
