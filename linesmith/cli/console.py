"""Where words go: results to standard output, everything else to standard error."""

from __future__ import annotations

import logging
import sys

from rich.console import Console

from linesmith.core.library_logging import quiet_libraries


def results() -> Console:
    """Standard output. Made on demand, so that a redirected stream is the one written to."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=True)


def messages() -> Console:
    """Standard error."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


class _ToConsole(logging.Handler):
    """One line a message, each distinct warning once: several stages read the same settings."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            if text in self._said:
                return
            self._said.add(text)
            text = f"{record.levelname.lower()}: {text}"
        messages().print(text, markup=False)


def set_up_logging(debug: bool = False) -> None:
    """Our own log to the terminal, that of the libraries below us only with `debug`."""
    log = logging.getLogger("linesmith")
    log.handlers = [_ToConsole()]
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.propagate = False
    if not debug:
        quiet_libraries()


def error(message: str) -> None:
    """One paragraph on standard error."""
    messages().print(f"error: {message}", markup=False, style=None)
