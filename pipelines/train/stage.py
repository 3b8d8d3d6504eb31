"""The train stage: token ids in, a model out. One process; what it reads was left by tokenize in the run directory."""

from __future__ import annotations

import logging
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.lease import hold_lease
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.params import save_params
from linesmith.core.artifacts.run_directory import (
    RunDirectory,
    check_overwrite_allowed,
    locked,
    promote,
    run_directory,
    workspace,
)
from linesmith.core.config import preflight
from linesmith.core.config.privacy_checks import check_privacy_settings, check_training_data
from linesmith.core.config.tensorflow_config import SETTINGS_WITHOUT_EFFECT, TensorFlowConfig, fields
from linesmith.core.errors import DataError, InterruptedRunError
from linesmith.core.hardware import matmul_precision
from linesmith.pipelines.remote.local_paths import accepts_remote_run_directory
from linesmith.pipelines.stage_report import StageReport, measured
from linesmith.pipelines.train import private as train_private
from linesmith.pipelines.train.publish import finish

if TYPE_CHECKING:
    from linesmith.model.training.loop import TrainingLoop
    from linesmith.model.training.state import TrainingState
    from linesmith.model.training.token_store import TokenStore

_log = logging.getLogger("linesmith")
# What records are. The names of columns may be told to training alone, and a vocabulary is only counted by now.
_BINDING = ("field_delimiter", "field_delimiter_token", "column_pattern", "quoted")
_OF_RECORDS = (*_BINDING, "columns", "vocab_size")


@accepts_remote_run_directory("train")
def train(config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> StageReport:
    """Train on the training data that lie in the run directory.

    Resumes an unfinished training of equal settings and data.

    Args:
        config: the settings; `checkpoint_dir` is the run directory.
        beam_args: Beam pipeline options; where they name a cluster, one of its workers trains.

    Raises:
        DataError: no training data, damaged ones, a complete model without `overwrite`, or an unfinished training of other
            settings.
        InterruptedRunError: Ctrl-C; running the same again resumes.
    """
    preflight.check(config, "train")
    run = run_directory(config)
    with locked(run):
        check_overwrite_allowed(run.model, "model", config.overwrite)
        return train_locally_or_on_worker(config, beam_args)


def train_locally_or_on_worker(config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> StageReport:
    """`train_locked` here, or on a worker where the arguments say so. The run directory's lock is held."""
    if beam_args:
        from linesmith.pipelines.train.worker import on_worker, train_on_worker

        options = on_worker(beam_args)
        if options is not None:
            return train_on_worker(config, options)
    return train_locked(config)


def train_locked(config: TensorFlowConfig) -> StageReport:
    """`train` for a caller that holds the run directory's lock, in this process or in the one that submitted this work.

    The lease keeps out a second trainer on another machine, which no lock of this one can.
    """
    space = workspace(config)
    with measured("train") as report, hold_lease(run_directory(config).root) as lease:
        data = _training_data(space)
        check_training_data(config, data.get("settings", {}))
        config = _as_tokenized(config, space, data.get("settings", {}))
        identity = _identity(config, data)
        _drop_other_training(config, space, identity)
        save_params(config, space.root)
        trainer = _trainer(config, space, data, identity, report, space.temporary / f"train-{lease.name}")
        with _interruptible() as stop_requested, _display(config, space, stop_requested) as hooks:
            trainer.hooks = replace(hooks, writing=lease.writing)
            state = trainer.fit()
        with lease.writing():
            finish(config, space, trainer, data, report)
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


def _as_tokenized(config: TensorFlowConfig, space: RunDirectory, before: dict[str, Any]) -> TensorFlowConfig:
    """The settings with what records are as tokenize was told: it need not be said twice, and the model depends on it.

    A setting that has its default counts as not given.

    Raises:
        DataError: one was given that tokenize was told otherwise.
        ParameterError: LS301, LS305: they contradict a private claim.
    """
    told: dict[str, Any] = {}
    for name in _OF_RECORDS:
        now, default = getattr(config, name), fields()[name].default
        if name not in before or now == before[name]:
            continue
        if now == default:
            told[name] = before[name]
        elif name in _BINDING:
            raise DataError(
                f"LS204: --{name.replace('_', '-')} ({name}) is {now!r}, but the training data in '{space.training_data}' were "
                f"made with {before[name]!r}. Leave it out, or tokenize again with it.",
                code="LS204",
            )
    config = config.model_copy(update=told)
    check_privacy_settings(config)
    return config


def _identity(config: TensorFlowConfig, data: dict[str, Any]) -> dict[str, Any]:
    """What an unfinished training and this one must have in common."""
    settings = {
        name: value for name, value in config.stage_settings("train").items() if name not in SETTINGS_WITHOUT_EFFECT
    }
    precision = matmul_precision(config.matmul_precision)  # what it comes to here, since results depend on it
    return {"seed": config.seed, "matmul_precision": precision, **settings, "data": data["data_digest"]}


def _drop_other_training(config: TensorFlowConfig, space: RunDirectory, identity: dict[str, Any]) -> None:
    """Under `overwrite`, an unfinished training of other settings makes room; an equal one is resumed."""
    from linesmith.core.artifacts.checkpoints import has_checkpoint, load_checkpoint
    from linesmith.core.artifacts.model_info import CHECKPOINTS_DIR

    resume = train_private.resume_directory(space) if config.dp else space.model / CHECKPOINTS_DIR
    if not config.overwrite or not has_checkpoint(resume):
        return
    found = load_checkpoint(resume)
    if found is None or found[1].get("identity") != identity:
        for directory in (space.model, resume):
            shutil.rmtree(directory, ignore_errors=True)


def _trainer(
    config: TensorFlowConfig,
    space: RunDirectory,
    data: dict[str, Any],
    identity: dict[str, Any],
    report: StageReport,
    scratch: Path,
) -> TrainingLoop:
    """Everything in memory and ready to fit. Token stores are built in `scratch`, which no other attempt uses."""
    from linesmith.core.artifacts.model_info import CHECKPOINTS_DIR
    from linesmith.model.tokenizers import load_tokenizer
    from linesmith.model.training import replicas
    from linesmith.model.training.trainer import Trainer, build_model

    tokenizer = load_tokenizer(space.tokenizer)
    if tokenizer.digest != data["tokenizer_digest"]:
        raise DataError(
            f"LS206: the tokenizer in '{space.tokenizer}' is not the one of the training data; run tokenize again."
        )
    _check_devices(report)
    strategy = replicas.choose_strategy(config)
    vocab = tokenizer.total_vocab_size
    with replicas.scope(strategy):
        network = build_model(config, vocab)
    places = {"directory": space.model / CHECKPOINTS_DIR, "history_path": space.history, "identity": identity}
    if config.dp:
        return train_private.build_private_trainer(
            config, network, tokenizer, lambda side: _store(space, scratch, data, side, vocab), space, report, **places
        )
    train_store = _store(space, scratch, data, "train", vocab)
    validation = _store(space, scratch, data, "validation", vocab)
    if config.validation_split and len(validation) == 0:
        report.notices.append("no record fell on the validation side; the training loss picks the best epoch")
    if strategy is not None:
        report.notices.append(f"{strategy.num_replicas_in_sync} devices share the rows of each batch")
    with replicas.scope(strategy):
        return Trainer(config, network, train_store, validation, strategy=strategy, **places)


def _store(space: RunDirectory, scratch: Path, data: dict[str, Any], split: str, vocab_size: int) -> TokenStore:
    from linesmith.model.training.token_store import build_token_store

    return build_token_store(
        sorted(space.training_data.glob(f"{split}-*.tfrecord.gz")),
        scratch / f"{split}.tokens",
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
    from linesmith.model.training.trainer import TrainingHooks
    from linesmith.pipelines.train.progress import TrainingProgressDisplay

    with TrainingProgressDisplay(config, _tensorboard_dir(config, space)) as display:
        yield TrainingHooks(on_step=display.on_step, on_epoch=display.on_epoch, stop_requested=stop_requested)


def _tensorboard_dir(config: TensorFlowConfig, space: RunDirectory) -> Path | None:
    return space.model / "tensorboard" if config.tensorboard else None
