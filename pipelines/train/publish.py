"""What a training leaves: the model's description and weights, its report, and the manifest that makes it complete."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from linesmith.core.artifacts.files import read_json, sha256_tree
from linesmith.core.artifacts.history import EpochState
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.artifacts.run_directory import RunDirectory, run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.pipelines.stage_report import StageReport
from linesmith.pipelines.train import private as train_private
from linesmith.records.output.avro_names import distinct
from linesmith.records.patterns.number_ranges import number_range

if TYPE_CHECKING:
    from linesmith.core.artifacts.model_info import ModelInfo
    from linesmith.model.privacy.trainer import PrivateTrainer
    from linesmith.model.training.loop import TrainingLoop


def finish(
    config: TensorFlowConfig,
    space: RunDirectory,
    trainer: TrainingLoop,
    data: dict[str, Any],
    report: StageReport,
) -> None:
    """Write what generation needs; the manifest, last, only where training came to its end.

    Raises:
        DataError: training diverged before it left weights that are worth keeping.
    """
    from linesmith.core.artifacts.checkpoints import PREVIOUS
    from linesmith.core.artifacts.model_info import CHECKPOINTS_DIR
    from linesmith.model.training.state import EPOCH_FILE_PATTERN

    state = trainer.state
    best = state.history[state.best_epoch] if state.best_epoch is not None else None
    if config.dp:
        train_private.write_privacy_statement(config, cast("PrivateTrainer", trainer), space)
    _refuse_diverged(config, trainer, best)
    if state.stopped is None and best is None:
        return
    _write_model(config, space, trainer, data)
    _fill_report(report, config, trainer, best)
    if config.dp:
        train_private.report_privacy(cast("PrivateTrainer", trainer), report)
    report.outputs = {"model": str(run_directory(config).model), "history": str(run_directory(config).history)}
    if state.stopped is not None:
        shutil.rmtree(space.temporary, ignore_errors=True)
        checkpoints = space.model / CHECKPOINTS_DIR
        (checkpoints / PREVIOUS).unlink(missing_ok=True)
        if not config.save_all_checkpoints:
            for leftover in checkpoints.glob(EPOCH_FILE_PATTERN):
                leftover.unlink()
        _write_manifest(config, space, trainer, data, report)
        if config.dp:
            train_private.forget(space)


def _refuse_diverged(config: TensorFlowConfig, trainer: TrainingLoop, best: EpochState | None) -> None:
    """Raise where no epoch left weights that are worth keeping.

    Raises:
        DataError: the best epoch's metric is not a number, or no epoch of a private training had finite weights.
    """
    lost = trainer.state.stopped == "diverged" and best is None
    if trainer.metric is not None and best is not None:
        lost = not math.isfinite(_nan_if_none(best.metric(trainer.metric)))
    if lost:
        raise DataError(
            f"LS208: training diverged in epoch {0 if best is None else best.epoch}: its {trainer.metric or 'weights'} is not a "
            f"number. Lower --learning-rate (it is {config.learning_rate:g}) and run again with --overwrite."
        )


def _write_model(config: TensorFlowConfig, space: RunDirectory, trainer: TrainingLoop, data: dict[str, Any]) -> None:
    """Weights and the model's description."""
    from linesmith.core.artifacts.checkpoints import digest_arrays, load_arrays, save_arrays
    from linesmith.core.artifacts.model_info import (
        BEST_WEIGHTS,
        CHECKPOINTS_DIR,
        LAST_WEIGHTS,
        ModelInfo,
        write_model_info,
    )

    state = trainer.state
    checkpoints = space.model / CHECKPOINTS_DIR
    last = trainer.weights()
    save_arrays(checkpoints / LAST_WEIGHTS, last, {"epoch": state.epoch - 1})
    use_best = config.save_best_model and state.best_epoch is not None
    weights = load_arrays(checkpoints / BEST_WEIGHTS)[0] if use_best else last
    if config.dp:
        shape = train_private.record_shape(config)
    else:
        statistics = read_json(space.training_data / "statistics.json", "the statistics of the training data")
        shape = _record_shape(config, statistics)
    info = ModelInfo(
        vocab_size=trainer.model.vocab_size,
        embedding_dim=config.embedding_dim,
        rnn_units=config.rnn_units,
        rnn_layers=config.rnn_layers,
        **shape,
        tokenizer_digest=data["tokenizer_digest"],
        default_checkpoint="best" if use_best else "last",
        weights_digest=digest_arrays(weights),
        best_epoch=state.best_epoch,
        last_epoch=state.history[-1].epoch if state.history else None,
        stopped=state.stopped,
    )
    _write_schema(config, space, info)
    write_model_info(space.model, info)


def _write_schema(config: TensorFlowConfig, space: RunDirectory, info: ModelInfo) -> None:
    """The types of the columns, for typed output; none in private training, whose statistics may not leave."""
    from linesmith.core.artifacts.model_info import SCHEMA_FILE
    from linesmith.records.output.layout import resolve_column_names
    from linesmith.records.output.schema import infer_schema, write_schema

    (space.model / SCHEMA_FILE).unlink(missing_ok=True)
    names = (
        None if config.dp or info.field_count is None else resolve_column_names(None, info.columns, info.field_count)
    )
    if names is not None:
        statistics = read_json(space.training_data / "statistics.json", "the statistics of the training data")
        if len(statistics["fields"]) == len(names):
            write_schema(space.model / SCHEMA_FILE, infer_schema(statistics["fields"], distinct(names)))


def _write_manifest(
    config: TensorFlowConfig,
    space: RunDirectory,
    trainer: TrainingLoop,
    data: dict[str, Any],
    report: StageReport,
) -> None:
    state = trainer.state
    inputs = {"data_digest": data["data_digest"], "tokenizer_digest": data["tokenizer_digest"]}
    if config.dp:
        del inputs["data_digest"]  # whoever has a candidate for the data could test it
    body = {
        "settings": config.as_dict(),
        "inputs": inputs,
        "outputs": sha256_tree(space.model / "checkpoints"),
        "counts": report.counts,
        "stopped": state.stopped,
        "chosen_by_clock": config.max_training_time_seconds is not None
        and (state.stopped == "time" or config.learning_rate_schedule == "auto"),
        "best": None if state.best_epoch is None else asdict(state.history[state.best_epoch]),
    }
    write_manifest(space.model, "train", body)


def _record_shape(config: TensorFlowConfig, statistics: dict[str, Any]) -> dict[str, Any]:
    """The part of a model's description that is learnt from the statistics."""
    longest = int(statistics["length_tokens"]["max"])
    field_counts = statistics["field_counts"]
    columns = config.columns if config.columns is not None else statistics.get("columns")
    constant = config.field_delimiter is not None and len(field_counts) == 1
    return {
        # A quarter over the longest record seen: rarely in a true record's way, and no row runs away.
        "length_cap_tokens": longest + longest // 4 + 8,
        "field_count": int(next(iter(field_counts))) if constant else None,
        "field_tokens": [field["tokens"] for field in statistics["fields"]] if constant else None,
        "field_numbers": [number_range(field) for field in statistics["fields"]] if constant else None,
        "columns": columns,
    }


def _fill_report(report: StageReport, config: TensorFlowConfig, trainer: TrainingLoop, best: EpochState | None) -> None:
    state, counts = trainer.state, report.counts
    counts["records"] = len(trainer.train)
    if not config.dp:  # how long records are is no public fact
        counts["records longer than a row, trained whole"] = trainer.train.count_longer_than(config.seq_length)
    if trainer.validation is not None:
        counts["validation records"] = len(trainer.validation)
    counts["epochs"] = len(state.history)
    counts["steps"] = state.total_steps
    counts["stopped by"] = state.stopped if state.stopped is not None else "Ctrl-C"
    if best is not None:
        counts["best epoch"] = best.epoch
        if best.val_loss is not None and trainer.validation is not None:
            bits = best.val_loss / math.log(2) * trainer.validation.tokens / max(trainer.validation.chars, 1)
            counts["validation bits a character"] = round(bits, 4)
    if state.stopped == "diverged":
        report.notices.append("training diverged; the best epoch before that is used. A lower --learning-rate may help")
    if config.max_training_time_seconds is not None and config.learning_rate_schedule == "auto":
        report.notices.append(
            "with --max-training-time-seconds the clock shapes the model; leave it out, or set --learning-rate-schedule "
            "linear and let --epochs end the run, to get the same weights again"
        )


def _nan_if_none(value: float | None) -> float:
    return math.nan if value is None else value
