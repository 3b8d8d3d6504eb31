"""Describe what a user's validator raised, without a word of the record that it was given."""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable
from types import TracebackType

_WORD = re.compile(r"\w+")
_SHOWN_CHARACTERS = 200


def describe_exception(error: BaseException, record: str) -> str:
    """Return the type of an exception, where it was raised, and its message if that has no word in common with the record.

    Args:
        error: what the validator raised; its traceback begins with the caller of the validator.
        record: what the validator was given.

    Example:
        >>> describe_exception(ValueError("no field 7"), "a,b"), describe_exception(ValueError("bad: Rome"), "Rome,7")
        ('ValueError (no field 7)', 'ValueError')
    """
    place = _place(error.__traceback__)
    message = " ".join(str(error).split())[:_SHOWN_CHARACTERS]
    shown = f" ({message})" if message and not _has_common_word(message, record) else ""
    return f"{type(error).__name__}{place}{shown}"


def _place(trace: TracebackType | None) -> str:
    """Return the last line of the validator's own file that was being executed; empty if it was not even entered."""
    trace = None if trace is None else trace.tb_next  # without the caller
    if trace is None:
        return ""
    file, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" at line {line} of {os.path.basename(file)}"


def _has_common_word(message: str, record: str) -> bool:
    """Return whether a message may quote a record: a word of one is part of the other."""
    message, record = message.casefold(), record.casefold()
    return any(word in record for word in _WORD.findall(message)) or any(
        word in message for word in _WORD.findall(record)
    )


def is_deferred(value: object) -> bool:
    """Return whether a value is the promise of an answer and not an answer: a coroutine, another awaitable, or a generator."""
    return inspect.isawaitable(value) or inspect.isgenerator(value) or inspect.isasyncgen(value)


def defers_its_answer(function: Callable[..., object]) -> str | None:
    """Return what kind of function does not answer when it is called, such as an `async def`; None for any other.

    Args:
        function: a function, a method, a partial, or an object that can be called.
    """
    candidates = [inspect.unwrap(_whole(function)), getattr(type(function), "__call__", None)]  # noqa: B004
    for found in candidates:
        if inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found):
            return "an async function, which nobody awaits"
        if inspect.isgeneratorfunction(found):
            return "a generator function, which returns no answer"
    return None


def _whole(function: Callable[..., object]) -> Callable[..., object]:
    while isinstance(function, functools.partial):
        function = function.func
    return function
