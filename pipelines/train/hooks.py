"""What a training in this process is asked to stop by, and what it shows: Ctrl-C, a bar, events, records of the model."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.plain_paths import plain_alias
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig

if TYPE_CHECKING:
    from linesmith.model.training.loop import TrainingHooks, TrainingLoop

_log = logging.getLogger("linesmith")


@contextmanager
def training_hooks(
    config: TensorFlowConfig, staged_run: RunDirectory, trainer: TrainingLoop
) -> Iterator[TrainingHooks]:
    """Yield hooks that draw progress, write TensorBoard events (without `dp`) and call the user's callback.

    In the block, Ctrl-C asks training to stop; a second one raises KeyboardInterrupt.

    Args:
        config: the settings.
        staged_run: where the model is written.
        trainer: the training, whose network gives the records of `show_samples`.
    """
    from linesmith.model.training.loop import TrainingHooks
    from linesmith.pipelines.train.progress import TrainingProgressDisplay

    with (
        _interruptible() as stop_requested,
        plain_alias(staged_run.root) as root,
        TrainingProgressDisplay(
            # An event holds its time, and its file the time, the host and the process: none of that may be released.
            tensorboard_dir=root / staged_run.model.name / "tensorboard"
            if config.tensorboard and not config.dp
            else None,
            time_limit=config.max_training_time_seconds,
            epoch_callback=config.epoch_callback,
            epochs=config.epochs,
            samples=_record_preview(config, staged_run, trainer),
        ) as display,
    ):
        yield TrainingHooks(on_step=display.on_step, on_epoch=display.on_epoch, stop_requested=stop_requested)


def _record_preview(
    config: TensorFlowConfig, staged_run: RunDirectory, trainer: TrainingLoop
) -> Callable[[int], Sequence[str | None]] | None:
    """Return what gives the records that are shown after an epoch; None where none are asked for."""
    if not config.show_samples:
        return None
    from linesmith.model.tokenizers import load_tokenizer
    from linesmith.model.training.preview import RecordPreview

    longest = int(max(trainer.train.lengths))
    tokenizer = load_tokenizer(staged_run.tokenizer)
    return RecordPreview(trainer.model, tokenizer, config.show_samples, longest=longest, seed=config.seed).texts


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C was pressed in the block; a second Ctrl-C raises KeyboardInterrupt."""
    pressed = threading.Event()

    def request_stop(_signal: int, _frame: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _log.warning("stopping after this step; press Ctrl-C again to stop at once")

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signal handlers
        yield pressed.is_set
        return
    before = signal.signal(signal.SIGINT, request_stop)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
