"""Where a bar is drawn: in a terminal by rich, in a notebook as an output of the cell, elsewhere nowhere."""

from __future__ import annotations

import io
import logging
import sys
from types import ModuleType

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn

from linesmith.api.progress import counted, messages
from linesmith.core.library_logging import quiet_calls
from linesmith.pipelines import progress_bar as bars


class Handle:
    def __init__(self, shown: list[str]) -> None:
        self.shown = shown

    def update(self, page, raw: bool = False) -> None:
        self.shown.append(page["text/plain"] if raw else page)


@pytest.fixture
def notebook(monkeypatch) -> list[str]:
    """Play a notebook, and return what its cell has shown."""
    shown: list[str] = []
    display = ModuleType("IPython.display")
    display.display = lambda page, display_id: (shown.append(page), Handle(shown))[1]
    display.HTML = str
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(bars, "_NOTEBOOK_SECONDS", 0)
    monkeypatch.setattr(bars, "Console", _notebook_console)
    return shown


def _notebook_console(**options) -> Console:
    return Console(**options) if "record" in options else Console(file=io.StringIO(), force_jupyter=True)


def test_a_notebook_shows_a_bar_that_goes_away(notebook):
    logging.getLogger("linesmith").setLevel(logging.INFO)
    with bars.progress_bar(BarColumn(), MofNCompleteColumn()) as bar:
        task = bar.add_task("x", total=10)
        bar.update(task, completed=4)
    assert isinstance(bar, bars.NotebookProgress)
    assert "<pre" in notebook[0] and "4/10" in notebook[-2] and notebook[-1] == ""


@pytest.mark.parametrize(
    ("progress", "terminal", "shown"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_a_script_is_silent_unless_it_asks(monkeypatch, capsys, progress, terminal, shown):
    monkeypatch.setattr(bars, "Console", lambda **options: Console(file=io.StringIO(), force_terminal=terminal))
    log = logging.getLogger("linesmith")
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])  # those of pytest
    with messages(progress):
        log.info("epoch 0: loss 1")
        log.warning("mind this")
    said = capsys.readouterr().err
    assert ("epoch 0" in said) == shown and "warning: mind this" in said


def test_a_handler_that_a_library_adds_hides_nothing_from_the_next_call(monkeypatch, capsys):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    with quiet_calls():
        root.addHandler(logging.StreamHandler())  # as absl does when TensorFlow is loaded
    with quiet_calls():
        logging.getLogger("linesmith").info("epoch 0")
    assert capsys.readouterr().err == "epoch 0\n"
    root.handlers[:] = [logging.NullHandler()]  # the user's
    with quiet_calls():
        logging.getLogger("linesmith").info("epoch 1")
    assert capsys.readouterr().err == ""


def test_records_are_counted_while_they_are_made(notebook):
    logging.getLogger("linesmith").setLevel(logging.INFO)
    assert counted(map(str, range(130)), 130) == [str(number) for number in range(130)]
    assert "64/130" in "".join(notebook) and "128/130" in "".join(notebook)


def test_nothing_is_drawn_where_progress_is_off(notebook):
    logging.getLogger("linesmith").setLevel(logging.WARNING)
    assert len(counted(map(str, range(130)), 130)) == 130
    assert notebook == []
