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
import weakref
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from linesmith.core.addresses import redact_text

# Packages that write lines while they are imported.
_NOISY_PACKAGES = ("tensorflow", "apache_beam", "tfx_bsl", "tensorflow_text", "tensorflow_transform")
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
def quiet_calls() -> Iterator[None]:
    """Keep the libraries quiet during a call from Python, and show Linesmith's own log if nobody has arranged for it.

    Progress and notes are records of the logger `linesmith`. Where the caller gave neither it nor the root logger a handler, they
    go to standard error while the block runs. The levels of loggers and the warnings filters of the caller are restored after it.
    With the level DEBUG, nothing is suppressed. Messages name settings as Python does, unless a command is being run.
    """
    from linesmith.core.config.spelling import python_call  # loads pydantic

    with python_call(), _quiet_block():
        yield


@contextlib.contextmanager
def _quiet_block() -> Iterator[None]:
    log = logging.getLogger("linesmith")
    if log.isEnabledFor(logging.DEBUG):
        yield
        return
    quiet_later_imports()
    before = {name: logging.getLogger(name).level for name in NOISY_LOGGERS}
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", module=r"(tensorflow|keras|apache_beam|tfx_bsl|google|absl|h5py)\b")
        for name in NOISY_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL if name == "apache_beam" else logging.ERROR)
        stack.enter_context(_shown_log(logging.INFO))
        try:
            yield
        finally:
            for name, number in before.items():
                logging.getLogger(name).setLevel(number)


@contextlib.contextmanager
def warnings_only() -> Iterator[None]:
    """Show Linesmith's warnings and not its progress during a block; loggers are restored after it."""
    log = logging.getLogger("linesmith")
    level = log.level
    with _shown_log(logging.WARNING):
        log.setLevel(logging.WARNING)
        try:
            yield
        finally:
            log.setLevel(level)


@contextlib.contextmanager
def _shown_log(least: int) -> Iterator[None]:
    """Write Linesmith's log to standard error during a block, unless the caller has arranged for it.

    Args:
        least: the least level that is shown.
    """
    log = logging.getLogger("linesmith")
    root = list(logging.root.handlers)
    handler = None if _is_arranged(log) else _LogHandler()
    level, propagate = log.level, log.propagate
    if handler is not None:
        log.addHandler(handler)
        log.setLevel(least)
        log.propagate = False
    try:
        yield
    finally:
        # What the block loaded may have given the root logger a handler, as absl and Beam do.
        _handlers_of_libraries.update(one for one in logging.root.handlers if one not in root)
        if handler is not None:
            log.removeHandler(handler)
            log.setLevel(level)
            log.propagate = propagate


_handlers_of_libraries: weakref.WeakSet[logging.Handler] = weakref.WeakSet()


def _is_arranged(log: logging.Logger) -> bool:
    """Return whether the caller, and not a library, gave a logger or the root logger a handler."""
    handlers = log.handlers + (logging.root.handlers if log.propagate else [])
    return any(handler not in _handlers_of_libraries for handler in handlers)


def quiet_later_imports() -> None:
    """Suppress what TensorFlow, Beam and their companions write when they are imported, whenever that happens.

    It leaves alone what is imported already, and the settings of the caller's environment.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when it is loaded
    if "grpc" not in sys.modules:
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    for package in _NOISY_PACKAGES:
        quiet_on_import(package)
    tensorflow_log = logging.getLogger("tensorflow")
    if _is_not_of_ours not in tensorflow_log.filters:
        tensorflow_log.addFilter(_is_not_of_ours)


def _is_not_of_ours(record: logging.LogRecord) -> bool:
    """Return whether a message of TensorFlow is not its advice about Linesmith's own functions, which callers cannot follow."""
    message = record.getMessage()
    return not ("tf.function retracing" in message and "linesmith" in message)


class _LogHandler(logging.Handler):
    """Handler that writes messages to standard error as it is at that moment, warnings marked as such."""

    def emit(self, record: logging.LogRecord) -> None:
        text = redact_text(record.getMessage())
        sys.stderr.write(f"warning: {text}\n" if record.levelno >= logging.WARNING else f"{text}\n")


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Suppress warnings and what a block writes to file descriptor 2, from C++ too; show what was written if the block raises."""
    sys.stderr.flush()
    saved = os.dup(2)
    disabled = logging.root.manager.disable
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.disable(
                max(disabled, logging.WARNING)
            )  # where standard error is not file descriptor 2, as in notebooks
            with _held_stderr(saved):
                yield
    finally:
        logging.disable(disabled)
        os.close(saved)


@contextlib.contextmanager
def _held_stderr(saved: int) -> Iterator[None]:
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


def quiet_on_import(package: str) -> None:
    """Suppress what the first import of a package writes, whenever that happens; import nothing now."""
    waiting = any(isinstance(finder, _QuietFinder) and finder.package == package for finder in sys.meta_path)
    if package not in sys.modules and not waiting:
        sys.meta_path.insert(0, _QuietFinder(package))


class _QuietFinder(MetaPathFinder):
    """Finder of one package, as Python would find it, until it is imported; it wraps the execution of the package."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.package:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)  # whoever only looks whether the package is there imports nothing
        if spec is None or spec.loader is None:
            return spec
        execute: Any = spec.loader.exec_module

        def quietly(module: ModuleType) -> None:
            with contextlib.suppress(ValueError):
                sys.meta_path.remove(self)
            with quiet_import():
                execute(module)

        spec.loader.exec_module = quietly  # type: ignore[method-assign]
        return spec
