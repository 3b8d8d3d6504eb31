"""Write to the terminal: results to standard output, everything else to standard error."""

from __future__ import annotations

import io
import logging
import sys
import traceback

from rich.console import Console

from linesmith.core.addresses import redact_text
from linesmith.core.library_logging import quiet_libraries


def results() -> Console:
    """Return a console on standard output; a new one per call, so that a redirected `sys.stdout` is used.

    Rich would write a picture for a word between colons, such as the provider in `fake:email:`.
    """
    return Console(file=sys.stdout, highlight=False, soft_wrap=True, emoji=False)


def messages() -> Console:
    """Return a console on standard error."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True, emoji=False)


class _ConsoleHandler(logging.Handler):
    """Handler that writes each distinct warning once, since several stages check the same settings."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = redact_text(record.getMessage())
        if record.levelno >= logging.WARNING:
            if text in self._shown:
                return
            self._shown.add(text)
            text = f"{record.levelname.lower()}: {text}"
        messages().print(text, markup=False)


def set_up_logging(debug: bool = False) -> None:
    """Send Linesmith's log to the terminal, and the logs of the libraries only with `debug`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that is not UTF-8, or a terminal that is not
            stream.reconfigure(errors="backslashreplace")
    log = logging.getLogger("linesmith")
    log.handlers = [_ConsoleHandler()]
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.propagate = False
    if not debug:
        quiet_libraries()


def error(message: str) -> None:
    """Write an error message to standard error, as one paragraph. Addresses in it are redacted."""
    messages().print(f"error: {redact_text(message)}", markup=False, style=None)


def print_traceback() -> None:
    """Write the traceback of the exception that is being handled to standard error. Addresses in it are redacted."""
    messages().out(redact_text(traceback.format_exc()), highlight=False, end="")
