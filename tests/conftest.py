"""What every test gets."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _own_logging():
    """The command line owns its process and sets our logger; a test must give it back."""
    log = logging.getLogger("linesmith")
    before = (log.handlers, log.level, log.propagate)
    yield
    log.handlers, log.level, log.propagate = before
