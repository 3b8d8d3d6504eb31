"""What a person sees of generation while it runs: a bar with an estimate on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_log = logging.getLogger("linesmith")
_BAR_SECONDS, _LINE_SECONDS = 0.5, 5.0
_WINDOW = 30.0  # seconds over which the rate is taken


class GenerationProgressDisplay:
    """Shows records done, valid rate, records a second and the time that is left, until it is closed.

    A thread of its own asks for the figures; nothing waits for it, and it never fails a run.

    Args:
        progress: valid records and attempts so far.
        requested: records asked for.
        console: for tests; None: standard error.
        clock: for tests.
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
        self._seen: list[tuple[float, int]] = [(clock(), 0)]

    def __enter__(self) -> Self:
        self._bar.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._bar.stop()

    def _watch(self) -> None:
        while not self._ended.wait(_BAR_SECONDS if self._terminal else _LINE_SECONDS):
            self.show()

    def show(self) -> None:
        """Show the figures as they are now."""
        records, attempts = self._progress()
        if not attempts:
            return  # the model is being loaded
        measured = self._measured(records, attempts)
        if self._terminal:
            self._bar.update(self._task, completed=min(records, self._requested), measured=measured)
        else:
            _log.info("generate: %s of %s records, %s", f"{records:,}", f"{self._requested:,}", measured)

    def _measured(self, records: int, attempts: int) -> str:
        now = self._clock()
        self._seen = [seen for seen in self._seen if now - seen[0] <= _WINDOW] or self._seen[-1:]
        since, before = self._seen[0]
        self._seen.append((now, records))
        rate = (records - before) / max(now - since, 1e-9)
        left = "" if rate <= 0 else f", {_duration((self._requested - records) / rate)} left"
        return f"{records / attempts:.1%} of the attempts valid, {rate:,.0f} records/s{left}"


def _duration(seconds: float) -> str:
    """
    >>> _duration(7.2), _duration(75), _duration(3700)
    ('7 s', '1 min 15 s', '1 h 1 min')
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
