"""What every test gets: one TensorFlow thread per process, and logging as it was before."""

from __future__ import annotations

import logging
import os

import pytest

# Two processes of pytest-xdist share two cores; more threads would only wait for each other. Read when TensorFlow is imported.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _restore_logging():
    """Undo what an earlier test set: the command line owns its process and configures loggers for good."""
    log = logging.getLogger("linesmith")
    log.handlers, log.level, log.propagate, log.disabled = [], logging.NOTSET, True, False
    logging.getLogger().setLevel(logging.WARNING)
    logging.disable(logging.NOTSET)
