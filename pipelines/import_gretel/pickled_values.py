"""Plain values from a pickle, without unpickling: nothing is imported, called or looked up.

`pickletools.genops` cuts the bytes into opcodes; the few that make dictionaries, lists, strings and numbers are carried out
here, and any other opcode is refused. The opcodes are described in CPython's `pickletools`.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

_MARK = object()
_VALUES = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
}  # fmt: skip


class PickleRefusedError(ValueError):
    """The bytes are no pickle, are cut off, or hold something else than dictionaries, lists, strings and numbers."""


def read_plain_pickle(content: bytes) -> Any:
    """Return the value of a pickle that holds dictionaries, lists, strings and numbers alone.

    Args:
        content: a whole pickle of protocol 2 to 5.

    Raises:
        PickleRefusedError: it holds anything else, or is damaged; the message names the opcode, never a value.

    Example:
        >>> import pickle
        >>> read_plain_pickle(pickle.dumps({"a": [1, 2.5]}))
        {'a': [1, 2.5]}
        >>> read_plain_pickle(pickle.dumps(print))
        Traceback (most recent call last):
            ...
        linesmith.pipelines.import_gretel.pickled_values.PickleRefusedError: the opcode STACK_GLOBAL
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                return machine.result()
            machine.carry_out(opcode.name, argument)
    except PickleRefusedError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        pass  # `genops` raises these for bytes that are no opcodes, the machine for a stack that does not fit
    raise PickleRefusedError("bytes that are no pickle, or end too early")


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._actions: dict[str, Callable[[Any], None]] = {
            "PROTO": lambda _: None,
            "FRAME": lambda _: None,
            "EMPTY_DICT": lambda _: self._stack.append({}),
            "EMPTY_LIST": lambda _: self._stack.append([]),
            "MARK": lambda _: self._stack.append(_MARK),
            "MEMOIZE": lambda _: self._remember(len(self._memo)),
            "BINPUT": self._remember,
            "LONG_BINPUT": self._remember,
            "BINGET": self._recall,
            "LONG_BINGET": self._recall,
            "SETITEM": lambda _: self._set_items([self._stack.pop(), self._stack.pop()][::-1]),
            "SETITEMS": lambda _: self._set_items(self._marked()),
            "APPEND": lambda _: self._extend([self._stack.pop()]),
            "APPENDS": lambda _: self._extend(self._marked()),
            **dict.fromkeys(_VALUES, self._stack.append),
        }

    def carry_out(self, name: str, argument: Any) -> None:
        """Carry out one opcode."""
        if name not in self._actions:
            raise PickleRefusedError(f"the opcode {name}")
        self._actions[name](argument)

    def result(self) -> Any:
        """Return the one value that is left."""
        (value,) = self._stack
        if value is _MARK:
            raise ValueError
        return value

    def _remember(self, number: int) -> None:
        if self._stack[-1] is _MARK:
            raise ValueError
        self._memo[number] = self._stack[-1]

    def _recall(self, number: int) -> None:
        self._stack.append(self._memo[number])

    def _marked(self) -> list[Any]:
        """Take everything above the last mark off the stack, and the mark."""
        position = len(self._stack) - 1
        while self._stack[position] is not _MARK:
            position -= 1  # a stack without a mark ends in an IndexError
        items = self._stack[position + 1 :]
        del self._stack[position:]
        return items

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not dict or len(items) % 2 or _MARK in items:
            raise TypeError
        target.update(zip(items[::2], items[1::2], strict=True))  # a key that has no hash is a TypeError

    def _extend(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not list or _MARK in items:
            raise TypeError
        self._stack[-1].extend(items)
