"""What a person sees of training while it runs: a progress bar with an estimate on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import logging
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from linesmith.core.artifacts.history import EpochState
from linesmith.core.config.tensorflow_config import TensorFlowConfig

if TYPE_CHECKING:
    from linesmith.model.training.trainer import Progress as TrainingProgress

_log = logging.getLogger("linesmith")


class TrainingProgressDisplay:
    """Progress bar, TensorBoard events and the user's `epoch_callback`.

    Args:
        config: settings of the run.
        tensorboard_dir: where event files go; None for none.
    """

    def __init__(self, config: TensorFlowConfig, tensorboard_dir: Path | None) -> None:
        self._config = config
        self._events: Any = None
        self._tensorboard_dir = tensorboard_dir
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[measured]}"),
            TimeElapsedColumn(),
            TextColumn("epoch ends in"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[limit]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=None, epoch=0, measured="", limit="")
        self._epoch = -1

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._events is not None:
            self._events.close()

    def on_step(self, progress: TrainingProgress) -> None:
        if progress.epoch != self._epoch:
            self._epoch = progress.epoch
            self._bar.reset(self._task, total=progress.steps)
        limit = self._config.max_training_time_seconds
        shown = (("loss", progress.loss), ("accuracy", progress.accuracy))
        measured = " ".join(f"{name} {value:.3f}" for name, value in shown if value is not None)
        self._bar.update(
            self._task,
            completed=progress.step,
            epoch=progress.epoch,
            measured=measured,
            limit="" if limit is None else f"limit in {max(0, round(limit - progress.elapsed))} s",
        )

    def on_epoch(self, state: EpochState, is_best: bool) -> None:
        numbers = [f"{name} {value:.4f}" for name in _SHOWN if (value := getattr(state, name)) is not None]
        if state.val_source is not None:
            numbers.append(f"validation is {state.val_source}")
        # Without validation the latest epoch of private training is the best, whatever it is worth.
        better = is_best and (state.epsilon is None or state.val_loss is not None)
        _log.info("epoch %d: %s%s", state.epoch, ", ".join(numbers), " (best so far)" if better else "")
        self._write_events(state)
        if self._config.epoch_callback is not None:
            self._config.epoch_callback(state)

    def _write_events(self, state: EpochState) -> None:
        if self._tensorboard_dir is None:
            return
        import tensorflow as tf

        if self._events is None:
            self._events = tf.summary.create_file_writer(str(self._tensorboard_dir))
        # What tf.summary.scalar writes; that function itself needs the tensorboard package, which only a viewer needs.
        kind = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class="DATA_CLASS_SCALAR"
        )
        with self._events.as_default(step=state.epoch):
            for name in _SHOWN:
                value = getattr(state, name)
                if value is not None:
                    tf.summary.write(name, tf.constant(value, tf.float32), metadata=kind)
        self._events.flush()


_SHOWN = ("loss", "accuracy", "val_loss", "val_accuracy", "epsilon")
