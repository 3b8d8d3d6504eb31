"""The bar of a long call: drawn by rich in a terminal, as an output of its cell in a notebook, and not at all elsewhere."""

from __future__ import annotations

import io
import logging
import time
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, TaskID

_log = logging.getLogger("linesmith")
_NOTEBOOK_SECONDS = 0.5  # between two drawings
_NOTEBOOK_WIDTH = 110
_NOTEBOOK_PAGE = '<pre style="margin:0;line-height:normal">{code}</pre>'


def is_interactive() -> bool:
    """Return whether somebody watches standard error: in a terminal or in a notebook."""
    console = Console(stderr=True)
    return console.is_terminal or console.is_jupyter


def progress_bar(*columns: ProgressColumn, console: Console | None = None) -> Progress:
    """Return a bar that vanishes when it is stopped. It draws nothing where nobody watches, or where progress is not logged.

    Args:
        columns: what it shows.
        console: where it is drawn; None: standard error.
    """
    console = Console(stderr=True) if console is None else console
    is_logged = _log.isEnabledFor(logging.INFO)
    if console.is_jupyter and is_logged:
        return NotebookProgress(*columns)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal or not is_logged)


class NotebookProgress(Progress):
    """A bar in the output of a notebook's cell. rich itself would need ipywidgets for that."""

    def __init__(self, *columns: ProgressColumn) -> None:
        super().__init__(*columns, disable=True)  # nothing is drawn in a terminal
        self._handle: Any = None
        self._drawn = 0.0

    def start(self) -> None:
        """Show the bar."""
        from IPython.display import display

        self._handle = display(self._page(), display_id=True)

    def stop(self) -> None:
        """Remove the bar."""
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True)
            self._handle = None

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Change a task; arguments as for rich."""
        super().update(task_id, **changes)
        now = time.monotonic()
        if self._handle is not None and now - self._drawn >= _NOTEBOOK_SECONDS:
            self._drawn = now
            self._handle.update(self._page())

    def _page(self) -> Any:
        from IPython.display import HTML

        console = Console(file=io.StringIO(), record=True, width=_NOTEBOOK_WIDTH, force_jupyter=False)
        console.print(self.get_renderable())
        return HTML(console.export_html(code_format=_NOTEBOOK_PAGE, inline_styles=True))
