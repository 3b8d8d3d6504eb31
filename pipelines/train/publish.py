"""What the train stage leaves in the run directory: weights, the model's description, the report, and the manifest."""

from __future__ import annotations

import itertools
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from linesmith.core.artifacts.files import sha256_tree
from linesmith.core.artifacts.history import EpochState
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.artifacts.params import redact_settings, releasable_settings
from linesmith.core.artifacts.privacy_statement import refuse_not_permitted_files
from linesmith.core.artifacts.run_directory import RunDirectory, run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.pipelines.cards.files import write_model_card
from linesmith.pipelines.stage_report import StageReport
from linesmith.pipelines.train import private as train_private
from linesmith.pipelines.train.field_layout import length_cap, read_statistics
from linesmith.pipelines.train.own_records import LearnedFromOwnRecords
from linesmith.records.field_order import FieldOrder
from linesmith.records.output.avro_names import unique_names
from linesmith.records.patterns.number_ranges import number_range
from linesmith.records.patterns.text_limits import text_limits

if TYPE_CHECKING:
    from linesmith.core.artifacts.model_info import ModelInfo
    from linesmith.model.privacy.trainer import PrivateTrainer
    from linesmith.model.training.loop import TrainingLoop


def write_model(
    config: TensorFlowConfig, staged_run: RunDirectory, trainer: TrainingLoop, training_manifest: dict[str, Any]
) -> bool:
    """Write what generation needs, but for what is learned from the model's own records.

    Args:
        config: the settings.
        staged_run: where the model is written.
        trainer: after `fit`.
        training_manifest: manifest of the training data.

    Returns:
        Whether there is a model: an interrupted training without a finished epoch leaves none.

    Raises:
        DataError: LS208, training diverged before any epoch gave usable weights.
    """
    best = _best_epoch(trainer)
    if config.dp:  # also where training diverged: its steps are charged
        train_private.write_privacy_statement(config, cast("PrivateTrainer", trainer), staged_run)
    _refuse_diverged(trainer, best, config.learning_rate)
    if trainer.state.stopped is None and best is None:
        return False
    _write_model(config, staged_run, trainer, training_manifest)
    return True


def publish_model(
    config: TensorFlowConfig,
    staged_run: RunDirectory,
    trainer: TrainingLoop,
    training_manifest: dict[str, Any],
    report: StageReport,
    learned: LearnedFromOwnRecords,
) -> None:
    """Add what was learned from the model's own records, and, where training came to its end, the manifest that completes it.

    Args:
        config: the settings.
        staged_run: where `write_model` wrote.
        trainer: after `fit`.
        training_manifest: manifest of the training data.
        report: counts, outputs and notices are filled in.
        learned: from the model's own records.

    Raises:
        DataError: LS214, beside a private model lies a file that may not be released with it.
    """
    state, best = trainer.state, _best_epoch(trainer)
    _fill_report(report, config, trainer, best)
    discriminator = learned.save(staged_run)
    if config.dp:  # before the description names the discriminator, of which the statement must speak
        train_private.write_privacy_statement(config, cast("PrivateTrainer", trainer), staged_run, discriminator)
    learned.add_to(staged_run, report, config.gen_drafts, discriminator)
    if config.dp:
        train_private.report_privacy(cast("PrivateTrainer", trainer), report)
    report.outputs = {"model": str(run_directory(config).model), "history": str(run_directory(config).history)}
    if state.stopped is not None:
        _delete_resume_files(staged_run, config.save_all_checkpoints)
    manifest = _manifest(config, staged_run.model, trainer, training_manifest, report)
    write_model_card(staged_run, manifest)
    if state.stopped is not None:
        _write_manifest(config, staged_run.model, manifest)
        if config.dp:
            train_private.delete_resume_state(staged_run)


def _best_epoch(trainer: TrainingLoop) -> EpochState | None:
    state = trainer.state
    return state.history[state.best_epoch] if state.best_epoch is not None else None


def _delete_resume_files(staged_run: RunDirectory, keep_epochs: bool) -> None:
    """Delete token stores and checkpoints that only an unfinished training needs."""
    from linesmith.core.artifacts.checkpoints import PREVIOUS
    from linesmith.core.artifacts.model_info import CHECKPOINTS_DIR
    from linesmith.model.training.state import EPOCH_FILE_PATTERN

    for scratch in staged_run.temporary.glob("train-*"):
        shutil.rmtree(scratch, ignore_errors=True)
    checkpoints = staged_run.model / CHECKPOINTS_DIR
    (checkpoints / PREVIOUS).unlink(missing_ok=True)
    if not keep_epochs:
        for leftover in checkpoints.glob(EPOCH_FILE_PATTERN):
            leftover.unlink()


def _refuse_diverged(trainer: TrainingLoop, best: EpochState | None, learning_rate: float) -> None:
    """Raise where no epoch left usable weights.

    Raises:
        DataError: the best epoch's metric is not finite, or no epoch of a private training had finite weights.
    """
    lost = trainer.state.stopped == "diverged" and best is None
    if trainer.metric is not None and best is not None:
        value = best.metric(trainer.metric)
        lost = value is None or not math.isfinite(value)
    if lost:
        raise DataError(
            "LS208",
            f"--learning-rate {learning_rate:g}",
            f"training diverged in epoch {0 if best is None else best.epoch}: its {trainer.metric or 'weights'} is not a number",
            "Lower the learning rate and run again with --overwrite.",
        )


def _write_model(
    config: TensorFlowConfig, staged_run: RunDirectory, trainer: TrainingLoop, training_manifest: dict[str, Any]
) -> None:
    """Write the last weights, the model's description, and the schema of typed output."""
    from linesmith.core.artifacts.checkpoints import digest_arrays, load_arrays, save_arrays
    from linesmith.core.artifacts.model_info import (
        BEST_WEIGHTS,
        CHECKPOINTS_DIR,
        LAST_WEIGHTS,
        ModelInfo,
        write_model_info,
    )

    state = trainer.state
    checkpoints = staged_run.model / CHECKPOINTS_DIR
    last = trainer.weights()
    save_arrays(checkpoints / LAST_WEIGHTS, last, {"epoch": state.epoch - 1})
    if config.dp:  # before the description: from then on there is a model, and its statement must name these weights
        train_private.write_privacy_statement(config, cast("PrivateTrainer", trainer), staged_run)
    use_best = config.save_best_model and state.best_epoch is not None
    weights = load_arrays(checkpoints / BEST_WEIGHTS)[0] if use_best else last
    statistics = None
    if config.dp:  # statistics of raw records must not reach the model
        shape = train_private.public_record_shape(config.seq_length, config.learned_columns, config.field_delimiter)
        shape["condition_on"] = config.condition_on
    else:
        statistics = read_statistics(staged_run.training_data)
        shape = _record_shape(statistics, training_manifest, config)
    info = ModelInfo(
        vocab_size=trainer.model.vocab_size,
        embedding_dim=config.embedding_dim,
        rnn_units=config.rnn_units,
        rnn_layers=config.rnn_layers,
        **shape,
        tokenizer_digest=training_manifest["tokenizer_digest"],
        default_checkpoint="best" if use_best else "last",
        weights_digest=digest_arrays(weights),
        best_epoch=state.best_epoch,
        last_epoch=state.history[-1].epoch if state.history else None,
        stopped=state.stopped,
        field_inputs=None if trainer.model.layout is None else trainer.model.layout.inputs,
    )
    _write_schema(staged_run.model, info, statistics)
    write_model_info(staged_run.model, info)


def _record_shape(
    statistics: dict[str, Any], training_manifest: dict[str, Any], config: TensorFlowConfig
) -> dict[str, Any]:
    """Return the part of a model's description that comes from the statistics and the manifest of the training data."""
    field_counts, described = statistics["field_counts"], statistics["fields"]
    constant = config.field_delimiter is not None and len(field_counts) == 1
    if "field_count" in training_manifest:  # not in older training data
        constant = constant and training_manifest["field_count"] is not None
    columns = config.learned_columns if config.columns is not None else statistics.get("columns")
    conditions: dict[str, Any] = {}
    if config.condition_on is not None and columns is not None:
        described = FieldOrder.first(config.condition_on, columns).to_model(described)
        conditions["condition_on"] = config.condition_on
        # Of differences no values are known: those of the statistics are not the numbers that are asked for.
        conditions["condition_values"] = [
            None if "original" in field else field.get("known_values")
            for field in described[: len(config.condition_on)]
        ]
    count = int(next(iter(field_counts))) if constant else 0
    # Of very many fields the last are not described (`field_statistics`): they have no limits, and all tokens.
    tokens = itertools.takewhile(lambda ids: ids is not None, (field["tokens"] for field in described))
    numbers, more = [number_range(field) for field in described], [None] * (count - len(described))
    texts = [text_limits(field) if limits is None else None for field, limits in zip(described, numbers, strict=True)]
    return {
        "length_cap_tokens": length_cap(statistics),
        "field_count": count if constant else None,
        "field_tokens": list(tokens) if constant else None,
        "field_numbers": numbers + more if constant else None,
        "field_texts": texts + more if constant else None,
        "columns": columns,
        **conditions,
    }


def _write_schema(model: Path, info: ModelInfo, statistics: dict[str, Any] | None) -> None:
    """Write the types of the columns, for typed output; none where there are no statistics or no names."""
    from linesmith.core.artifacts.model_info import SCHEMA_FILE
    from linesmith.records.output.layout import resolve_column_names
    from linesmith.records.output.schema import infer_schema, write_schema

    (model / SCHEMA_FILE).unlink(missing_ok=True)
    if statistics is None or info.field_count is None:
        return
    names = resolve_column_names(None, info.columns, info.field_count)
    if names is not None:
        fields = [field.get("original", field) for field in statistics["fields"]]
        write_schema(model / SCHEMA_FILE, infer_schema(fields, unique_names(names)))


def _manifest(
    config: TensorFlowConfig,
    model: Path,
    trainer: TrainingLoop,
    training_manifest: dict[str, Any],
    report: StageReport,
) -> dict[str, Any]:
    state = trainer.state
    inputs = {"tokenizer_digest": training_manifest["tokenizer_digest"]}
    settings = redact_settings(config.as_dict())
    if config.dp:
        settings = releasable_settings(settings)
    else:  # in private training, whoever has a candidate for the data could test it against the digest
        inputs["data_digest"] = training_manifest["data_digest"]
    return {
        "settings": settings,
        "inputs": inputs,
        "outputs": sha256_tree(model / "checkpoints"),
        "counts": report.counts,
        "stopped": state.stopped,
        "chosen_by_clock": config.max_training_time_seconds is not None
        and (state.stopped == "time" or config.learning_rate_schedule == "auto"),
        "best": None if state.best_epoch is None else asdict(state.history[state.best_epoch]),
    }


def _write_manifest(config: TensorFlowConfig, model: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, which makes the model complete; a private one must have no other files than those permitted."""
    if config.dp:
        refuse_not_permitted_files(model)
    write_manifest(model, "train", manifest)


def _fill_report(report: StageReport, config: TensorFlowConfig, trainer: TrainingLoop, best: EpochState | None) -> None:
    state, counts = trainer.state, report.counts
    counts["records"] = len(trainer.train)
    if not config.dp:  # the lengths of records are not public
        counts["records longer than a row, trained whole"] = trainer.train.count_longer_than(config.seq_length)
    if trainer.validation is not None:
        counts["validation records"] = len(trainer.validation)
    counts["epochs"] = len(state.history)
    counts["steps"] = state.total_steps
    counts["stopped by"] = state.stopped if state.stopped is not None else "Ctrl-C"
    if best is not None:
        counts["best epoch"] = best.epoch
        if best.val_loss is not None and trainer.validation is not None:
            # The loss is in nats per token.
            bits = best.val_loss / math.log(2) * trainer.validation.tokens / max(trainer.validation.num_chars, 1)
            counts["validation bits a character"] = round(bits, 4)
    if state.stopped == "diverged":
        report.notices.append("training diverged; the best epoch before that is used. A lower --learning-rate may help")
    if config.max_training_time_seconds is not None and config.learning_rate_schedule == "auto":
        report.notices.append(
            "with --max-training-time-seconds the clock shapes the model; leave it out, or set --learning-rate-schedule "
            "linear and let --epochs end the run, to get the same weights again"
        )
