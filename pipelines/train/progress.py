"""Progress of a training: a bar with an estimate where somebody watches, one log line per epoch, and TensorBoard events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from linesmith.core.artifacts.history import EpochState
from linesmith.pipelines.durations import duration
from linesmith.pipelines.progress_bar import progress_bar

if TYPE_CHECKING:
    from linesmith.model.training.loop import TrainingProgress

_log = logging.getLogger("linesmith")
_SHOWN = ("loss", "accuracy", "val_loss", "val_accuracy", "epsilon")  # of each epoch


class TrainingProgressDisplay:
    """Context manager that shows a training's progress.

    Args:
        tensorboard_dir: where event files go; None writes none.
        time_limit: seconds after which training ends, to be shown; None shows none.
        epoch_callback: called with the state of each finished epoch.
        epochs: planned number of epochs, to be shown; None shows none.
        samples: gives records of the model after an epoch, to be shown; None shows none.
        console: where bar and records are shown; None: standard error.
    """

    def __init__(
        self,
        tensorboard_dir: Path | None,
        time_limit: float | None,
        epoch_callback: Callable[[EpochState], Any] | None,
        epochs: int | None = None,
        samples: Callable[[int], Sequence[str | None]] | None = None,
        console: Console | None = None,
    ) -> None:
        self._tensorboard_dir = tensorboard_dir
        self._time_limit = time_limit
        self._epoch_callback = epoch_callback
        self._epochs, self._samples = epochs, samples
        self._events: Any = None  # a TensorBoard writer, made at the first epoch
        self._console = console = Console(stderr=True, highlight=False) if console is None else console
        self._bar = progress_bar(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[measured]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[limit]}"),
            console=console,
        )
        self._task = self._bar.add_task("train", total=None, epoch=0, measured="", limit="")
        self._epoch = -1
        # Seconds, and steps of all epochs, at the first step that was shown.
        self._begun: tuple[float, int] | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._events is not None:
            self._events.close()

    def on_step(self, progress: TrainingProgress) -> None:
        """Move the bar to a finished step.

        Args:
            progress: epoch, step, and loss and accuracy so far.
        """
        if progress.epoch != self._epoch:
            self._epoch = progress.epoch
            self._bar.reset(self._task, total=progress.steps)
        limit = self._time_limit
        shown = (("loss", progress.loss), ("accuracy", progress.accuracy))
        measured = " ".join(f"{name} {value:.3f}" for name, value in shown if value is not None)
        self._bar.update(
            self._task,
            completed=progress.step,
            epoch=progress.epoch if self._epochs is None else f"{progress.epoch} of {self._epochs}",
            measured=measured,
            limit=self._all_left(progress)
            if limit is None
            else f"limit in {max(0, round(limit - progress.elapsed))} s",
        )

    def _all_left(self, progress: TrainingProgress) -> str:
        """Return how long all planned epochs take still; patience may end training earlier."""
        if self._epochs is None:
            return ""
        done = progress.epoch * progress.steps + progress.step
        if self._begun is None:  # the first steps compile the graphs, and those of an earlier start took other seconds
            self._begun = (progress.elapsed, done)
        seconds, before = progress.elapsed - self._begun[0], self._begun[1]
        if done <= before:
            return ""
        left = seconds / (done - before) * (self._epochs * progress.steps - done)
        return f"{duration(left)} left at most"

    def on_epoch(self, state: EpochState, is_best: bool) -> None:
        """Log a finished epoch, write its events, and call the user's callback.

        Args:
            state: measurements of the epoch.
            is_best: whether it is the best epoch so far.
        """
        numbers = [f"{name} {value:.4f}" for name in _SHOWN if (value := getattr(state, name)) is not None]
        if state.val_source is not None:
            numbers.append(f"validation is {state.val_source}")
        # Private training without validation calls its latest epoch the best; nothing was measured that could say so.
        better = is_best and (state.epsilon is None or state.val_loss is not None)
        _log.info("epoch %d: %s%s", state.epoch, ", ".join(numbers), " (best so far)" if better else "")
        self._write_events(state)
        self._show_samples(state.epoch)
        if self._epoch_callback is not None:
            self._epoch_callback(state)

    def _show_samples(self, epoch: int) -> None:
        """Print records of the model. They are no part of the log, which never holds the text of a record."""
        if self._samples is None or not _log.isEnabledFor(logging.INFO):
            return
        for text in self._samples(epoch):
            shown = "(no text yet)" if text is None else "".join(c if c.isprintable() else "\ufffd" for c in text)
            self._console.print(Text(f"  {shown}"), soft_wrap=True)

    def _write_events(self, state: EpochState) -> None:
        if self._tensorboard_dir is None:
            return
        import tensorflow as tf

        if self._events is None:
            self._events = tf.summary.create_file_writer(str(self._tensorboard_dir))
        # The same event as tf.summary.scalar writes, which would need the tensorboard package; only a viewer needs that.
        metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class="DATA_CLASS_SCALAR"
        )
        with self._events.as_default(step=state.epoch):
            for name in _SHOWN:
                value = getattr(state, name)
                if value is not None:
                    tf.summary.write(name, tf.constant(value, tf.float32), metadata=metadata)
        self._events.flush()
