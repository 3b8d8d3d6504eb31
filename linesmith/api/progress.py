"""Progress and notes of a call from Python: shown, or only warnings."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping

from linesmith.core.config.spelling import python_call
from linesmith.core.library_logging import quiet_calls, warnings_only

_STEP = 64  # records between two updates of the bar


@contextlib.contextmanager
def messages(progress: bool | None, arguments: Mapping[str, str] | None = None) -> Iterator[None]:
    """Show what Linesmith logs during a block, and name settings in messages as the caller typed them.

    Args:
        progress: True shows everything, False warnings only and no bar; None shows everything in a terminal and in a notebook,
            and warnings only in a script.
        arguments: as for `python_call`.
    """
    log = logging.getLogger("linesmith")
    with contextlib.ExitStack() as stack:
        stack.enter_context(python_call(arguments))
        if not _is_shown(progress) and not log.isEnabledFor(logging.DEBUG):
            stack.enter_context(warnings_only())
        stack.enter_context(quiet_calls())
        yield


def _is_shown(progress: bool | None) -> bool:
    if progress is not None:
        return progress
    from linesmith.pipelines.progress_bar import is_interactive

    return is_interactive()


def counted(texts: Iterable[str], count: int) -> list[str]:
    """Return texts as a list, with a bar while they are made.

    Args:
        texts: the texts.
        count: how many there will be.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from linesmith.pipelines.progress_bar import progress_bar

    columns = TextColumn("sample"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    found: list[str] = []
    with progress_bar(*columns) as bar:
        task = bar.add_task("sample", total=count)
        for text in texts:
            found.append(text)
            if len(found) % _STEP == 0:
                bar.update(task, completed=len(found))
    return found
