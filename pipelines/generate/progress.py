"""Progress of a generation: a bar with an estimate on a terminal, a log line every few seconds elsewhere."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from linesmith.pipelines.durations import duration

_log = logging.getLogger("linesmith")
_BAR_SECONDS, _LINE_SECONDS = 0.5, 5.0
_WINDOW_SECONDS = 30.0  # over which the rate is averaged


class GenerationProgressDisplay:
    """Context manager that shows the number of records, the valid rate, records per second and the time left.

    A thread reads the figures every half second on a terminal, and every five seconds elsewhere.

    Args:
        progress: returns the numbers of valid records and of attempts so far.
        requested: number of records requested.
        console: where the bar is drawn; None: standard error.
        clock: time in seconds, replaced by tests.
    """

    def __init__(
        self,
        progress: Callable[[], tuple[int, int]],
        requested: int,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._requested = requested
        self._clock = clock
        console = Console(stderr=True) if console is None else console
        self._terminal = console.is_terminal
        self._bar = Progress(
            TextColumn("generate"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[measured]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not self._terminal,
        )
        self._task = self._bar.add_task("generate", total=requested, measured="")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="linesmith-progress", daemon=True)
        self._points: list[tuple[float, int]] = [(clock(), 0)]  # times and numbers of records

    def __enter__(self) -> Self:
        self._bar.start()
        self._thread.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._bar.stop()

    def _watch(self) -> None:
        while not self._ended.wait(_BAR_SECONDS if self._terminal else _LINE_SECONDS):
            self.show()

    def show(self) -> None:
        """Update the bar, or write a log line; nothing is shown before the first attempt."""
        records, attempts = self._progress()
        if not attempts:
            return  # the model is being loaded
        measured = self._rates(records, attempts)
        if self._terminal:
            self._bar.update(self._task, completed=min(records, self._requested), measured=measured)
        else:
            _log.info("generate: %s of %s records, %s", f"{records:,}", f"{self._requested:,}", measured)

    def _rates(self, records: int, attempts: int) -> str:
        now = self._clock()
        # An older point is kept where the window is empty, so that there is always a point to compare with.
        recent = [point for point in self._points if now - point[0] <= _WINDOW_SECONDS]
        self._points = recent or self._points[-1:]
        since, before = self._points[0]
        self._points.append((now, records))
        rate = (records - before) / max(now - since, 1e-9)
        left = "" if rate <= 0 else f", {duration((self._requested - records) / rate)} left"
        return f"{records / attempts:.1%} of the attempts valid, {rate:,.0f} records/s{left}"
