"""What every test gets."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _own_logging():
    """The command line owns its process and sets loggers; what an earlier test left of that is taken back."""
    log = logging.getLogger("linesmith")
    log.handlers, log.level, log.propagate, log.disabled = [], logging.NOTSET, True, False
    logging.getLogger().setLevel(logging.WARNING)
    logging.disable(logging.NOTSET)
