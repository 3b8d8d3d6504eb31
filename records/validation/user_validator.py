"""Load the user's validator, 'package.module:function' or 'file.py:function'; its code is run.

The driver reads a validator file once and sends its source text to the workers: they need neither the file nor its directory,
and all of them run the same code even if the file changes meanwhile. A module is imported by name, so it must be installed on
the workers.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import sys
import types
from dataclasses import dataclass
from pathlib import Path

from linesmith.core.errors import ParameterError
from linesmith.records.validation.record_validator import Validator
from linesmith.records.validation.validator_faults import defers_its_answer


@dataclass(frozen=True)
class InProcessValidator:
    """A Python caller's function, which runs in the process that checks records."""

    function: Validator

    @property
    def identity(self) -> dict[str, str | None]:
        """The manifest entry: the function's name, without a digest."""
        return {"option": getattr(self.function, "__qualname__", type(self.function).__name__), "sha256": None}

    def load(self) -> Validator:
        """Return the function.

        Raises:
            ParameterError: it is a coroutine or generator function.
        """
        return check_validator(self.function, str(self.identity["option"]))


@dataclass(frozen=True)
class ValidatorSource:
    """A validator in a form that can be sent to a worker or child process.

    Attributes:
        option: what the user wrote.
        location: the module's import name or the file's path.
        function: the function's name; it may contain dots.
        source: the file's text; None for a module.
        pickled: a caller's function by value (base64 of cloudpickle's bytes), to be sent to a child process; it is never stored.
    """

    option: str
    location: str
    function: str
    source: str | None = None
    pickled: str | None = None

    @property
    def identity(self) -> dict[str, str | None]:
        """The manifest entry: the option, and the SHA-256 of a file's text."""
        digest = None if self.source is None else hashlib.sha256(self.source.encode("utf-8")).hexdigest()
        return {"option": self.option, "sha256": digest}

    def load(self) -> Validator:
        """Return the function; runs the file or imports the module.

        Raises:
            ParameterError: the import fails, the function does not exist, cannot be called, or gives no answer when it is called.
        """
        if self.pickled is not None:
            return check_validator(_unpickle(self), self.option)
        found: object = _run_file(self) if self.source is not None else _import_module(self)
        for name in self.function.split("."):
            try:
                found = getattr(found, name)
            except AttributeError:
                raise _bad(
                    self.option, f"'{self.location}' has no '{self.function}'", "Give the name of a function in it."
                ) from None
        if not callable(found):
            raise _bad(
                self.option,
                f"'{self.function}' is of type {type(found).__name__} and cannot be called",
                "Give a function that takes the text of a record.",
            )
        return check_validator(found, self.option)


def check_validator(function: Validator, option: str) -> Validator:
    """Return a validator that answers when it is called; refuse one that does not.

    Args:
        function: the validator.
        option: what the user wrote.

    Raises:
        ParameterError: LS107, it is a coroutine or generator function.
    """
    deferred = defers_its_answer(function)
    if deferred is not None:
        raise _bad(option, deferred, "Give a plain function that returns True or False, or raises.")
    return function


def validator_source(option: str) -> ValidatorSource:
    """Return the validator that 'package.module:function' or 'file.py:function' names. No code is run.

    Args:
        option: what the user wrote.

    Raises:
        ParameterError: it has another form, or the file is missing or not UTF-8 text.

    Example:
        >>> validator_source("json:loads").location
        'json'
    """
    location, colon, function = option.rpartition(":")
    if not colon or not location or not all(part.isidentifier() for part in function.split(".")):
        raise _bad(option, "this names no function", "Write package.module:function or file.py:function.")
    if not location.endswith(".py"):
        return ValidatorSource(option, location, function)
    try:
        source = Path(location).read_text("utf-8")
    except UnicodeDecodeError:
        raise _bad(option, f"'{location}' is not UTF-8 text", "Give a Python file.") from None
    except OSError as error:
        raise _bad(
            option, f"'{location}' cannot be read ({error.strerror})", "Give the path of a Python file."
        ) from None
    return ValidatorSource(option, location, function, source)


def pickled_validator_source(function: Validator) -> ValidatorSource:
    """Pickle a caller's function so that it can be sent to a child process.

    Args:
        function: the validator.

    Raises:
        ParameterError: LS107, it holds something that cannot be pickled.
    """
    import cloudpickle

    name = getattr(function, "__qualname__", type(function).__name__)
    try:
        pickled = base64.b64encode(cloudpickle.dumps(function)).decode("ascii")
    except Exception as error:  # objects in a closure can raise anything when they are pickled
        raise _bad(
            name,
            f"it cannot be sent to a process of its own ({type(error).__name__})",
            "Take out what does not pickle, such as an open file, or leave validator_timeout out.",
        ) from None
    return ValidatorSource(name, getattr(function, "__module__", None) or "", name, pickled=pickled)


def _unpickle(spec: ValidatorSource) -> Validator:
    import cloudpickle

    try:
        function: Validator = cloudpickle.loads(base64.b64decode(spec.pickled or ""))
    except Exception as error:
        raise _bad(
            spec.option,
            f"it does not load in a process of its own ({type(error).__name__}: {error})",
            "Leave validator_timeout out, or mend what it needs.",
        ) from None
    return function


def _import_module(spec: ValidatorSource) -> types.ModuleType:
    try:
        return importlib.import_module(spec.location)
    # sys.exit() at module level would otherwise end the whole run without a message.
    except (Exception, SystemExit) as error:
        raise _bad(
            spec.option,
            f"module '{spec.location}' does not import ({type(error).__name__}: {error})",
            "Install it where the command runs, or give its file as file.py:function.",
        ) from None


def _run_file(spec: ValidatorSource) -> types.ModuleType:
    source = spec.source or ""
    # Named by content, so that two files of the same name are two modules; registered, because dataclasses look up theirs.
    name = "linesmith_validator_" + hashlib.sha256(f"{spec.location}\0{source}".encode()).hexdigest()[:16]
    if name in sys.modules:
        return sys.modules[name]
    module = types.ModuleType(name)
    module.__file__ = spec.location
    sys.modules[name] = module
    try:
        exec(compile(source, spec.location, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        line = error.lineno if isinstance(error, SyntaxError) else _line_of(error, spec.location)
        raise _bad(
            spec.option,
            f"'{spec.location}' fails at line {line} ({type(error).__name__}: {getattr(error, 'msg', error)})",
            "Mend the file; it must run with the packages installed here.",
        ) from None
    return module


def _line_of(error: BaseException, file: str) -> int | str:
    """Return the line of the file at which an error was raised, or from which the code that raised it was called."""
    line: int | str = "?"
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _bad(option: str, found: str, remedy: str) -> ParameterError:
    return ParameterError("LS107", f"--line-validator (line_validator) '{option}'", found, remedy)
