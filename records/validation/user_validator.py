"""Where a validator comes from: 'package.module:function', or 'file.py:function', whose code is run.

The driver reads a validator file once and ships its source text: workers need neither the file nor its folder, and all of
them judge by the same code even when the file changes meanwhile. A module is imported by name, so it must be installed on
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


@dataclass(frozen=True)
class InProcessValidator:
    """A function that a caller in Python has given, run where it is: in the process that judges."""

    function: Validator

    @property
    def identity(self) -> dict[str, str | None]:
        """There is no digest of a function."""
        return {"option": getattr(self.function, "__qualname__", type(self.function).__name__), "sha256": None}

    def load(self) -> Validator:
        """The function."""
        return self.function


@dataclass(frozen=True)
class ValidatorSource:
    """A validator that can travel to a worker.

    Attributes:
        option: what the user gave.
        place: the module's import name or the file's path.
        function: the function's name, dots for attributes.
        source: the file's text; None for a module.
        packed: a caller's function by value (base64 of cloudpickle's bytes), for a process of its own; it is never stored.
    """

    option: str
    place: str
    function: str
    source: str | None = None
    packed: str | None = None

    @property
    def identity(self) -> dict[str, str | None]:
        """What a manifest says about it: the option, and the digest of a file's text."""
        digest = None if self.source is None else hashlib.sha256(self.source.encode("utf-8")).hexdigest()
        return {"option": self.option, "sha256": digest}

    def load(self) -> Validator:
        """The function. Runs the file, or imports the module.

        Raises:
            ParameterError: it does not import, there is no such function, or it cannot be called.
        """
        if self.packed is not None:
            return _unpack(self)
        found: object = _run(self) if self.source is not None else _import(self)
        for name in self.function.split("."):
            try:
                found = getattr(found, name)
            except AttributeError:
                raise _bad(
                    self.option, f"'{self.place}' has no '{self.function}'", "Give the name of a function in it."
                ) from None
        if not callable(found):
            raise _bad(
                self.option,
                f"'{self.function}' is of type {type(found).__name__} and cannot be called",
                "Give a function that takes the text of a record.",
            )
        return found


def validator_source(option: str) -> ValidatorSource:
    """Reads 'package.module:function' or 'file.py:function'. Runs nothing.

    Raises:
        ParameterError: it has another form, or the file is missing or no UTF-8 text.

    Example:
        >>> validator_source("json:loads").place
        'json'
    """
    place, colon, function = option.rpartition(":")
    if not colon or not place or not all(part.isidentifier() for part in function.split(".")):
        raise _bad(option, "this names no function", "Write package.module:function or file.py:function.")
    if not place.endswith(".py"):
        return ValidatorSource(option, place, function)
    try:
        source = Path(place).read_text("utf-8")
    except UnicodeDecodeError:
        raise _bad(option, f"'{place}' is not UTF-8 text", "Give a Python file.") from None
    except OSError as error:
        raise _bad(option, f"'{place}' cannot be read ({error.strerror})", "Give the path of a Python file.") from None
    return ValidatorSource(option, place, function, source)


def pickled_validator_source(function: Validator) -> ValidatorSource:
    """A caller's function on its way to a process of its own.

    Raises:
        ParameterError: LS107, it holds something that cannot be sent.
    """
    import cloudpickle

    name = getattr(function, "__qualname__", type(function).__name__)
    try:
        packed = base64.b64encode(cloudpickle.dumps(function)).decode("ascii")
    except Exception as error:  # whatever a closure holds decides what is raised
        raise _bad(
            name,
            f"it cannot be sent to a process of its own ({type(error).__name__})",
            "Take out what does not pickle, such as an open file, or leave validator_timeout out.",
        ) from None
    return ValidatorSource(name, getattr(function, "__module__", None) or "", name, packed=packed)


def _unpack(spec: ValidatorSource) -> Validator:
    import cloudpickle

    try:
        function: Validator = cloudpickle.loads(base64.b64decode(spec.packed or ""))
    except Exception as error:
        raise _bad(
            spec.option,
            f"it does not load in a process of its own ({type(error).__name__}: {error})",
            "Leave validator_timeout out, or mend what it needs.",
        ) from None
    return function


def _import(spec: ValidatorSource) -> types.ModuleType:
    try:
        return importlib.import_module(spec.place)
    # A script's sys.exit() at module level would otherwise end the whole run without a word.
    except (Exception, SystemExit) as error:
        raise _bad(
            spec.option,
            f"module '{spec.place}' does not import ({type(error).__name__}: {error})",
            "Install it where the command runs, or give its file as file.py:function.",
        ) from None


def _run(spec: ValidatorSource) -> types.ModuleType:
    source = spec.source or ""
    # Named by content, so that two files of one name do not meet; registered, since dataclasses look their module up.
    name = "linesmith_validator_" + hashlib.sha256(f"{spec.place}\0{source}".encode()).hexdigest()[:16]
    if name in sys.modules:
        return sys.modules[name]
    module = types.ModuleType(name)
    module.__file__ = spec.place
    sys.modules[name] = module
    try:
        exec(compile(source, spec.place, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        line = error.lineno if isinstance(error, SyntaxError) else _line_of(error, spec.place)
        raise _bad(
            spec.option,
            f"'{spec.place}' fails at line {line} ({type(error).__name__}: {getattr(error, 'msg', error)})",
            "Mend the file; it must run with the packages installed here.",
        ) from None
    return module


def _line_of(error: BaseException, file: str) -> int | str:
    """The last line of the file that the error passed through."""
    line: int | str = "?"
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _bad(option: str, found: str, remedy: str) -> ParameterError:
    return ParameterError(f"LS107: --line-validator (line_validator) '{option}': {found}. {remedy}", code="LS107")
