"""The train stage: token ids in, a model out. One process; what it reads was left by tokenize in the run directory."""

from __future__ import annotations

import logging
import math
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from model import preflight
from model.config import MOOT, TensorFlowConfig
from model.config_io import save_params
from model.errors import DataError, InterruptedRunError
from model.files import read_json, sha256_tree
from model.history import EpochState
from model.manifest import read_manifest, write_manifest
from model.privacy_checks import check_training_data
from model.run_dir import RunDirectory, locked, promote, refuse_complete, run_directory, workspace
from pipelines import train_private
from pipelines.report import StageReport, measured

if TYPE_CHECKING:
    from model.private_training import PrivateTrainer
    from model.token_store import TokenStore
    from model.training_loop import TrainingLoop, TrainingState

_log = logging.getLogger("linesmith")


def train(config: TensorFlowConfig) -> StageReport:
    """Train on the training data that lie in the run directory.

    Resumes an unfinished training of equal settings and data.

    Raises:
        DataError: no training data, damaged ones, a complete model without `overwrite`, or an unfinished training of other
            settings.
        InterruptedRunError: Ctrl-C; running the same again resumes.
    """
    preflight.check(config, "train")
    run = run_directory(config)
    with locked(run):
        refuse_complete(run.model, "model", config.overwrite)
        return train_locked(config)


def train_locked(config: TensorFlowConfig) -> StageReport:
    """`train` for a caller that holds the run directory's lock."""
    space = workspace(config)
    with measured("train") as report:
        data = _training_data(space)
        check_training_data(config, data.get("settings", {}))
        identity = _identity(config, data)
        _drop_other_training(config, space, identity)
        save_params(config, space.root)
        trainer = _trainer(config, space, data, identity, report)
        with _interruptible() as stop_requested, _display(config, space, stop_requested) as hooks:
            trainer.hooks = hooks
            state = trainer.fit()
        _finish(config, space, trainer, data, report)
        if state.stopped is None:
            raise _interrupted(config, state)
        promote(config)
    return report


def _training_data(space: RunDirectory) -> dict[str, Any]:
    """The manifest of the training data.

    Raises:
        DataError: tokenize has not finished here.
    """
    manifest = read_manifest(space.training_data)
    if manifest is None:
        raise DataError(
            f"LS201: '{space.training_data}' holds no complete training data; run tokenize with the same --output first."
        )
    return manifest


def _identity(config: TensorFlowConfig, data: dict[str, Any]) -> dict[str, Any]:
    """What an unfinished training and this one must have in common."""
    settings = {name: value for name, value in config.stage_settings("train").items() if name not in MOOT}
    return {"seed": config.seed, **settings, "data": data["data_digest"]}


def _drop_other_training(config: TensorFlowConfig, space: RunDirectory, identity: dict[str, Any]) -> None:
    """Under `overwrite`, an unfinished training of other settings makes room; an equal one is resumed."""
    from model.checkpoints import load_arrays
    from model.trained_model import CHECKPOINTS
    from model.training import LAST

    resume = train_private.resume_directory(space) if config.dp else space.model / CHECKPOINTS
    last = resume / LAST
    if not config.overwrite or not last.is_file():
        return
    try:
        equal = load_arrays(last)[1].get("identity") == identity
    except DataError:
        equal = False
    if not equal:
        for directory in (space.model, resume):
            shutil.rmtree(directory, ignore_errors=True)


def _trainer(
    config: TensorFlowConfig, space: RunDirectory, data: dict[str, Any], identity: dict[str, Any], report: StageReport
) -> TrainingLoop:
    """Everything in memory and ready to fit."""
    from model.tokenizers import load_tokenizer
    from model.trained_model import CHECKPOINTS
    from model.training import Trainer, build_model

    tokenizer = load_tokenizer(space.tokenizer)
    if tokenizer.digest != data["tokenizer_digest"]:
        raise DataError(
            f"LS206: the tokenizer in '{space.tokenizer}' is not the one of the training data; run tokenize again."
        )
    _check_devices(report)
    vocab = tokenizer.total_vocab_size
    network = build_model(config, vocab)
    train_store = _store(space, data, "train", vocab)
    places = {"directory": space.model / CHECKPOINTS, "history_path": space.history, "identity": identity}
    if config.dp:
        return train_private.private_trainer(config, network, train_store, space, report, **places)
    validation = _store(space, data, "validation", vocab)
    if config.validation_split and len(validation) == 0:
        report.notices.append("no record fell on the validation side; the training loss picks the best epoch")
    return Trainer(config, network, train_store, validation, **places)


def _store(space: RunDirectory, data: dict[str, Any], split: str, vocab_size: int) -> TokenStore:
    from model.token_store import build_token_store

    return build_token_store(
        sorted(space.training_data.glob(f"{split}-*.tfrecord.gz")),
        space.temporary / f"{split}.tokens",
        vocab_size=vocab_size,
        expected=data["counts"]["splits"][split]["records"],
    )


def _check_devices(report: StageReport) -> None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        report.notices.append("no GPU was found: training runs on the CPU")


def _finish(
    config: TensorFlowConfig,
    space: RunDirectory,
    trainer: TrainingLoop,
    data: dict[str, Any],
    report: StageReport,
) -> None:
    """Write what generation needs; the manifest, last, only where training came to its end."""
    from model.trained_model import CHECKPOINTS
    from model.training import epoch_file

    state = trainer.state
    best = state.history[state.best_epoch] if state.best_epoch is not None else None
    if config.dp:
        train_private.state_claim(config, cast("PrivateTrainer", trainer), space)
    _refuse_diverged(config, trainer, best)
    if state.stopped is None and best is None:
        return
    _write_model(config, space, trainer, data)
    _fill_report(report, config, trainer, best)
    if config.dp:
        train_private.report_claim(cast("PrivateTrainer", trainer), report)
    report.outputs = {"model": str(run_directory(config).model), "history": str(run_directory(config).history)}
    if state.stopped is not None:
        shutil.rmtree(space.temporary, ignore_errors=True)
        if not config.save_all_checkpoints:
            for leftover in (space.model / CHECKPOINTS).glob(epoch_file(0).replace("0000", "*")):
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
    from model.checkpoints import digest_arrays, load_arrays, save_arrays
    from model.trained_model import BEST_WEIGHTS, CHECKPOINTS, LAST_WEIGHTS, ModelInfo, write_model_info

    state = trainer.state
    checkpoints = space.model / CHECKPOINTS
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
    write_model_info(space.model, info)


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
    return {
        # A quarter over the longest record seen: rarely in a true record's way, and no row runs away.
        "length_cap_tokens": longest + longest // 4 + 8,
        "field_count": int(next(iter(field_counts)))
        if config.field_delimiter is not None and len(field_counts) == 1
        else None,
        "columns": columns,
    }


def _fill_report(report: StageReport, config: TensorFlowConfig, trainer: TrainingLoop, best: EpochState | None) -> None:
    state, counts = trainer.state, report.counts
    counts["records"] = len(trainer.train)
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


def _interrupted(config: TensorFlowConfig, state: TrainingState) -> InterruptedRunError:
    again = "Run the same command again to go on from here."
    if not state.history:
        return InterruptedRunError(
            f"interrupted before the first epoch ended: there is no model to generate with yet. {again}"
        )
    if run_directory(config) != workspace(config):
        return InterruptedRunError(
            f"interrupted after epoch {state.history[-1].epoch}; the old model stays in use. {again}"
        )
    return InterruptedRunError(
        f"interrupted after epoch {state.history[-1].epoch}; the model so far can generate already. {again}"
    )


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks training to stop after its step; a second one ends it at once."""
    asked = threading.Event()

    def ask(_signal: int, _frame: Any) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _log.warning("stopping after this step; press Ctrl-C again to stop at once")

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _display(config: TensorFlowConfig, space: RunDirectory, stop_requested: Callable[[], bool]) -> Iterator[Any]:
    """Hooks that draw progress, write TensorBoard events and call the user's callback."""
    from model.training import Hooks
    from pipelines.training_display import TrainingDisplay

    with TrainingDisplay(config, _tensorboard_dir(config, space)) as display:
        yield Hooks(on_step=display.on_step, on_epoch=display.on_epoch, stop_requested=stop_requested)


def _tensorboard_dir(config: TensorFlowConfig, space: RunDirectory) -> Path | None:
    return space.model / "tensorboard" if config.tensorboard else None
