"""Suppress the start-up messages of TensorFlow, Beam and the libraries that they load.

TensorFlow's C++ code writes a few lines while it is loaded, before its own log level applies; only redirecting the file
descriptor suppresses those. They are shown when loading fails.
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
    """Set the log levels of TensorFlow, Beam and the Google libraries; call it before they are loaded.

    It changes the environment, the warnings filter and the root logger, so it is for a process of Linesmith's own only.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # for worker processes, which inherit it
    warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    # Beam logs the traceback of a worker's error, which the driver raises anyway, and which may quote a record.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    _quiet_broken_connections()


def _quiet_broken_connections() -> None:
    """Suppress the traceback of a thread of Beam whose connection to a job server broke: the main thread reports the same."""
    show_traceback = threading.excepthook
    if show_traceback.__module__ == __name__:  # it is replaced already
        return

    def show(broken: threading.ExceptHookArgs) -> None:
        if not broken.exc_type.__module__.startswith("grpc"):
            show_traceback(broken)

    threading.excepthook = show


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Suppress what a block writes to file descriptor 2, from C++ too; show it if the block raises."""
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
    """Suppress what the first import of a package writes, whenever that happens; import nothing now."""
    if package not in sys.modules:
        sys.meta_path.insert(0, _QuietFinder(package))


class _QuietFinder(MetaPathFinder):
    """Finder of one package, once, as Python would find it, that wraps the execution of the package."""

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
