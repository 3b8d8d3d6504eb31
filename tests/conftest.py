"""What every test gets: the tiers, one TensorFlow thread per process, and logging as it was before."""

from __future__ import annotations

import logging
import os
import re
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

import pytest

# Two processes of pytest-xdist share two cores; more threads would only wait for each other. Read when TensorFlow is imported.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

_TIERS = ("integration", "slow")
_HEAVY = ("tensorflow", "apache_beam")  # 10 and 5 seconds of CPU in every worker that imports them


class _HiddenFromKeras(MetaPathFinder):
    """Finder that hides packages which Keras imports for wrappers and galleries: a third of the time it takes."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        keras = sys.modules.get("keras")
        if fullname in ("matplotlib", "sklearn") and getattr(getattr(keras, "__spec__", None), "_initializing", False):
            raise ModuleNotFoundError(f"{fullname} is hidden from Keras by tests/conftest.py", name=fullname)


sys.meta_path.insert(0, _HiddenFromKeras())


class _TooHeavy(Loader):
    """Loader that fails the test, or the collection of the file, that would import the package."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        pytest.fail(f"a unit test loads {module.__name__}: mark the test, or its whole file, `integration`")


class _HeavyPackages(MetaPathFinder):
    """Finder of TensorFlow and Beam for unit runs: each can be found, as `find_spec` asks, and none is loaded."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname not in _HEAVY or (spec := PathFinder.find_spec(fullname)) is None:
            return None
        spec.loader = _TooHeavy()
        return spec


def pytest_configure(config: pytest.Config) -> None:
    if "not integration" in config.option.markexpr:
        sys.meta_path.insert(0, _HeavyPackages())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files that have no test of the chosen tiers: every worker imports what is collected."""
    chosen = config.option.markexpr
    if collection_path.suffix != ".py" or not chosen or " or " in chosen:
        return None
    source = collection_path.read_text("utf-8")
    for tier in _TIERS:
        if re.search(rf"\bnot {tier}\b", chosen):
            if re.search(rf"^pytestmark = .*pytest\.mark\.{tier}\b", source, re.MULTILINE):
                return True
        elif re.search(rf"\b{tier}\b", chosen) and f"pytest.mark.{tier}" not in source:
            return True
    return None


@pytest.fixture(autouse=True)
def _restore_logging():
    """Undo what an earlier test set: the command line owns its process and configures loggers for good."""
    log = logging.getLogger("linesmith")
    log.handlers, log.level, log.propagate, log.disabled = [], logging.NOTSET, True, False
    logging.getLogger().setLevel(logging.WARNING)
    logging.disable(logging.NOTSET)
