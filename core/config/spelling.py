"""How the settings were given: as flags of a command line, which messages repeat as typed, or by their names."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

from linesmith.core.config.setting_field import SHORT_FLAGS

_FLAG = re.compile(r"(?<![\w-])--(no-)?([a-z][a-z0-9-]*)")
# Flags by setting, as typed; None where there is no command line.
_typed: ContextVar[Mapping[str, str] | None] = ContextVar("typed", default=None)


@contextlib.contextmanager
def settings_typed_as(flags: Mapping[str, str]) -> Iterator[None]:
    """Let messages name settings by flags during a block.

    Args:
        flags: the flag of each setting that was typed; the other settings come from a file and have their own names.
    """
    token = _typed.set(flags)
    try:
        yield
    finally:
        _typed.reset(token)


def has_command_line() -> bool:
    """Return whether a command line is being run, which shows notes itself."""
    return _typed.get() is not None


def typed_name(name: str) -> str:
    """Return a setting as it was given: the flag that was typed, otherwise its name."""
    return (_typed.get() or {}).get(name, name)


def without_flags(message: str) -> str:
    """Return a message about settings with their names in place of flags, unless there is a command line.

    Example:
        >>> without_flags("--quoted needs a --field-delimiter, and --no-header is given")
        'quoted needs a field_delimiter, and header=False is given'
    """
    if _typed.get() is not None:
        return message
    settings = {flag.removeprefix("--"): name for name, flag in SHORT_FLAGS.items()}

    def name(found: re.Match[str]) -> str:
        setting = settings.get(found[2], found[2].replace("-", "_"))
        return f"{setting}=False" if found[1] else setting

    return _FLAG.sub(name, message)
