"""Errors that workers raise on purpose, as the driver should show them: the same error, not a runner's account of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from model.errors import DataError, LinesmithError

# Runners hand an error on as text, with the step's name appended and a traceback around it.
_OURS = re.compile(r"(?:\w*Error: )((LS2\d\d): [^\n]*?)(?: \[while running .*)?$", re.MULTILINE)


@contextmanager
def our_errors() -> Iterator[None]:
    """Raises the DataError that a worker meant, where a pipeline fails with one inside.

    Raises:
        DataError: as raised by the worker. Every other failure passes unchanged.
    """
    try:
        yield
    except Exception as error:
        meant = _OURS.search(str(error)) or _OURS.search(f"{type(error).__name__}: {error}")
        if meant is None or (isinstance(error, LinesmithError) and meant[1] == str(error)):
            raise
        raise DataError(meant[1], code=meant[2]) from None
