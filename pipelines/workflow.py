"""The whole workflow under one lock: tokenize, train, generate, evaluate; stages that an equal run has completed are skipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from linesmith.core.artifacts.disk_errors import disk_errors_named
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.params import read_stored_config, redact_settings
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
from linesmith.core.library_logging import quiet_calls
from linesmith.pipelines.remote.local_paths import after_publishing, config_with_local_paths, with_remote_addresses
from linesmith.pipelines.stage_report import StageReport, log_notices

if TYPE_CHECKING:
    from linesmith.model.tokenizers import CharTokenizerTrainer, SentencePieceTokenizerTrainer
    from linesmith.records.table_format import TableFormat


@quiet_calls()
def run(
    config: TensorFlowConfig, beam_args: Sequence[str] = (), on_stage: Callable[[StageReport], Any] | None = None
) -> list[StageReport]:
    """Tokenize, train, generate and evaluate.

    Args:
        config: the settings; `checkpoint_dir` is the run directory, a path or a bucket address.
        beam_args: Beam pipeline options, as on a command line.
        on_stage: called with the report of each stage when the stage is complete and published.

    Returns:
        One report per stage, in order.

    Raises:
        LinesmithError: the run directory holds a complete run, or one of other settings, or a stage fails.
    """
    from linesmith.pipelines.generate.stage import generate_locked
    from linesmith.pipelines.tokenize.source import with_input_format

    with config_with_local_paths(config, "run", beam_args) as (plain_config, mirror):
        local_config = with_input_format(plain_config)
        preflight.check(local_config, "run")
        notify = after_publishing(on_stage or _ignore, mirror)
        directory = run_directory(local_config)
        with locked(directory):
            check_overwrite_allowed(directory.synthetic, "run", local_config.overwrite)
            reports = _tokenize_and_train(local_config, beam_args, notify)
            reports.append(generate_locked(local_config, beam_args))
            notify(reports[-1])
            if local_config.report:
                reports.append(_evaluate(local_config, beam_args, reports[-1]))
                notify(reports[-1])
    return reports


@quiet_calls()
def train(
    config: TensorFlowConfig,
    tokenizer_trainer: CharTokenizerTrainer | SentencePieceTokenizerTrainer | None = None,
    *,
    table: TableFormat | None = None,
) -> list[StageReport]:
    """Tokenize and train in one call, as scripts of the LSTM workflow expect.

    Args:
        config: the settings; `checkpoint_dir` is the run directory, a path or a bucket address.
        tokenizer_trainer: replaces the tokenizer settings of `config`.
        table: columns of the data frame that the input was written from; None: it was written from none.

    Returns:
        One report per stage, in order.

    Raises:
        LinesmithError: the run directory holds a complete model, or one of other settings, or a stage fails.
    """
    from linesmith.pipelines.tokenize.source import with_input_format

    if tokenizer_trainer is not None:
        config = tokenizer_trainer.apply(config)
    with config_with_local_paths(config, "run") as (plain_config, mirror):
        local_config = with_input_format(plain_config)
        preflight.check(local_config, "tokenize", "train")
        directory = run_directory(local_config)
        with locked(directory):
            check_overwrite_allowed(directory.model, "model", local_config.overwrite)
            reports = _tokenize_and_train(local_config, (), _ignore, table)
        return [with_remote_addresses(report, mirror) for report in reports]


@quiet_calls()
def complete_stage(stage: Literal["tokenize", "train"], config: TensorFlowConfig) -> StageReport:
    """Run one of the first two stages, or report that an equal run of it is complete: what a step of a pipeline may repeat.

    Args:
        stage: which one.
        config: the settings; `checkpoint_dir` is the run directory, a path or a bucket address.

    Raises:
        LinesmithError: the run directory holds a stage of other settings, or the stage fails.
    """
    from linesmith.core.artifacts.other_kind import refuse_other_kind
    from linesmith.pipelines.tokenize.source import with_input_format
    from linesmith.pipelines.train.local import with_tokenize_settings

    with config_with_local_paths(config, stage) as (plain_config, mirror):
        local_config = with_input_format(plain_config) if stage == "tokenize" else plain_config
        preflight.check(local_config, stage)
        with locked(run_directory(local_config)):
            refuse_other_kind(local_config)
            if stage == "tokenize":
                report = _tokenize_unless_current(local_config, ())
            else:
                _refuse_other_settings(with_tokenize_settings(local_config), workspace(local_config), ("train",))
                report = _train_unless_complete(local_config, ())
        return with_remote_addresses(report, mirror)


def _ignore(report: StageReport) -> None:
    pass


def _tokenize_and_train(
    config: TensorFlowConfig,
    beam_args: Sequence[str],
    notify: Callable[[StageReport], Any],
    table: TableFormat | None = None,
) -> list[StageReport]:
    """Run the first two stages, or report why one is skipped, for a caller that holds the lock."""
    from linesmith.core.artifacts.other_kind import refuse_other_kind  # loads numpy

    refuse_other_kind(config)
    staged_run = workspace(config)
    stages: tuple[Stage, ...] = ("tokenize", "train") if read_manifest(staged_run.training_data) else ("train",)
    _refuse_other_settings(config, staged_run, stages)
    reports = [_tokenize_unless_current(config, beam_args)]
    notify(reports[-1])
    reports.append(_train_unless_complete(config, beam_args, table))
    notify(reports[-1])
    return reports


def _tokenize_unless_current(config: TensorFlowConfig, beam_args: Sequence[str]) -> StageReport:
    from linesmith.pipelines.tokenize.personal_data import refuse_stored_personal_data
    from linesmith.pipelines.tokenize.stage import is_current, tokenize_locked

    staged_run = workspace(config)
    current = is_current(config)
    if not current and staged_run.has_model():
        raise DataError(
            "LS201",
            None,
            f"'{staged_run.root}' holds a model, but not the training data that it was made from",
            "Choose another --output, or pass --overwrite to begin anew.",
        )
    if current:
        refuse_stored_personal_data(config, read_manifest(staged_run.training_data) or {})
        return _skipped("tokenize", staged_run.training_data, "the training data are complete and current")
    return tokenize_locked(config, beam_args)


def _train_unless_complete(
    config: TensorFlowConfig, beam_args: Sequence[str], table: TableFormat | None = None
) -> StageReport:
    from linesmith.pipelines.train.stage import train_locally_or_on_worker

    staged_run = workspace(config)  # after tokenize: a model of the other kind is gone then, and need not be kept
    if staged_run.has_model():
        return _skipped("train", staged_run.model, "the model is complete, of equal settings and data")
    return train_locally_or_on_worker(config, beam_args, table)


def _evaluate(config: TensorFlowConfig, beam_args: Sequence[str], generated: StageReport) -> StageReport:
    """Evaluate the records that were generated, or report why not: a failure here must not make the records fail."""
    from linesmith.pipelines.evaluate.stage import EvaluationSettings, evaluate_run_locked, missing_libraries

    missing = missing_libraries()
    if missing:
        why = f"{', '.join(missing)} not installed; pip install 'linesmith[evaluate]' and run linesmith evaluate"
    elif not generated.counts.get("records"):
        why = "there is no record to evaluate"
    else:
        try:
            with disk_errors_named(run_directory(config).root):
                return evaluate_run_locked(config, beam_args, EvaluationSettings(overwrite=True))
        except LinesmithError as error:
            return _noted(
                "evaluate", f"the records are complete, but they could not be evaluated: {error}", error.exit_code
            )
    return _noted("evaluate", f"evaluate is left out: {why}")


def _skipped(stage: Stage, path: Path, why: str) -> StageReport:
    report = _noted(stage, f"{stage} is left out: {why}")
    report.outputs = {stage: str(path)}
    return report


def _noted(stage: str, notice: str, exit_code: int = 0) -> StageReport:
    """Return the report of a stage that did not run, with a notice that says why."""
    log_notices([notice])
    return StageReport(stage, notices=[notice], exit_code=exit_code)


def _refuse_other_settings(config: TensorFlowConfig, staged_run: RunDirectory, stages: tuple[Stage, ...]) -> None:
    """Refuse to continue a run with other settings than those it was begun with.

    Args:
        config: the settings.
        staged_run: the run.
        stages: those whose settings are compared.

    Raises:
        DataError: LS215, a setting differs; the message names it.
    """
    if config.overwrite or not staged_run.params.is_file():
        return
    begun, _ = read_stored_config(staged_run.root)
    before = redact_settings({"seed": begun.seed, **begun.stage_settings(*stages)})
    now = redact_settings({"seed": config.seed, **config.stage_settings(*stages)})
    for name, value in now.items():
        if before[name] != value and name not in SETTINGS_WITHOUT_EFFECT:
            raise DataError(
                "LS215",
                None,
                f"'{staged_run.root}' holds a run that was begun with {name} {before[name]!r}, and {name} is now {value!r}",
                "Give the same settings to go on with it, another --output, or --overwrite to begin anew.",
            )
