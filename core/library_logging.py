"""A terminal that shows what concerns its reader: start-up chatter of the libraries below us is held back.

TensorFlow's C++ side writes a few lines while it is loaded, before its own log level applies; only redirecting the file
descriptor silences those. They are shown after all when loading fails.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NOISY_LOGGERS = ("tensorflow", "absl", "apache_beam", "tfx_bsl", "h5py", "google", "fsspec", "grpc")


def quiet_libraries() -> None:
    """Set the levels that TensorFlow, Beam and the Google libraries heed. For a process of our own, before they load."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # for worker processes, which inherit it
    warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    _quiet_broken_calls()


def _quiet_broken_calls() -> None:
    """No traceback of a thread of Beam's whose connection to a job server broke: the main thread meets the same, and tells it."""
    shown = threading.excepthook
    if shown.__module__ == __name__:
        return

    def show(broken: threading.ExceptHookArgs) -> None:
        if not broken.exc_type.__module__.startswith("grpc"):
            shown(broken)

    threading.excepthook = show


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, by whatever language; show it if the block raises."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with tempfile.TemporaryFile() as held:
            os.dup2(held.fileno(), 2)
            try:
                yield
            except Exception:
                sys.stderr.flush()
                os.dup2(saved, 2)
                held.seek(0)
                os.write(2, held.read())
                raise
            finally:
                sys.stderr.flush()
                os.dup2(saved, 2)
    finally:
        os.close(saved)


def quiet_on_import(package: str) -> None:
    """Hold back what the first import of a package writes, whenever that comes; imports nothing now."""
    if package not in sys.modules:
        sys.meta_path.insert(0, _QuietFinder(package))


class _QuietFinder(MetaPathFinder):
    """Finds one package, once, as Python would, and wraps its execution."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._package:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute: Any = spec.loader.exec_module

        def quietly(module: ModuleType) -> None:
            with quiet_import():
                execute(module)

        spec.loader.exec_module = quietly  # type: ignore[method-assign]
        return spec
