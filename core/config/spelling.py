"""How the settings were given: as flags of a command line, which messages repeat as typed, or as arguments in Python.

Errors and notes are written with the flags of the command line. `python_call` turns those of a call from Python into names of
settings and arguments, in one place for all of them.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar

from linesmith.core.config.setting_field import SHORT_FLAGS
from linesmith.core.errors import LinesmithError

# A flag, and the name of its setting where a message gives both: --output (checkpoint_dir).
_FLAG = re.compile(r"(?<![\w-])--(no-)?([a-z][a-z0-9-]*)(?![\w-])(?: \(([a-z_]+)\))?(=(?=\w))?")
# Flags by setting, as typed; None where there is no command line.
_typed: ContextVar[Mapping[str, str] | None] = ContextVar("typed", default=None)
# Arguments of the call from Python, by what stands for them in messages; None where there is no such call.
_arguments: ContextVar[Mapping[str, str] | None] = ContextVar("arguments", default=None)
# Settings that are on or off.
_switches: set[str] = set()


def declare_switches(names: Iterable[str]) -> None:
    """Let messages in Python write settings that are on or off with their value, as in `dp=True`.

    Args:
        names: of these settings.
    """
    _switches.update(names)


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


@contextlib.contextmanager
def python_call(arguments: Mapping[str, str] | None = None) -> Iterator[None]:
    """Name settings as Python does in the errors that a block raises and in the notes that it logs.

    Nothing changes inside a command, and inside another such block, whose arguments hold.

    Args:
        arguments: names of arguments by what stands for them in messages, a flag or a word such as TARGET; the other settings
            have their own names.

    Raises:
        LinesmithError: the error of the block, with another message.
    """
    if _typed.get() is not None or _arguments.get() is not None:
        yield
        return
    token = _arguments.set(arguments or {})
    log, rename = logging.getLogger("linesmith"), _NameFilter()
    log.addFilter(rename)
    try:
        yield
    except LinesmithError as error:
        message = without_flags(str(error))
        if message == str(error):
            raise
        raise error.with_message(message).with_traceback(error.__traceback__) from error.__cause__
    finally:
        log.removeFilter(rename)
        _arguments.reset(token)


class _NameFilter(logging.Filter):
    """Filter that lets every record pass, with names in place of flags."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the message of a record, and let it pass."""
        message = record.getMessage()
        if "--" in message or _arguments.get():
            record.msg, record.args = without_flags(message), ()
        return True


def has_command_line() -> bool:
    """Return whether a command line is being run, which shows notes itself."""
    return _typed.get() is not None


def typed_name(name: str) -> str:
    """Return a setting as it was given: the flag that was typed, the name of the argument, otherwise its own name."""
    return (_typed.get() or {}).get(name, name)


def without_flags(message: str) -> str:
    """Return a message about settings with names in place of flags, unless there is a command line.

    Flags of Beam, which have underscores, are kept.

    Example:
        >>> import linesmith.core.config.tensorflow_config  # declares which settings are on or off
        >>> without_flags("--quoted needs a --field-delimiter, and --no-header is given")
        'quoted=True needs a field_delimiter, and header=False is given'
        >>> without_flags("--output (checkpoint_dir) 'out': not empty. Pass --overwrite, or --s3_region_name.")
        "checkpoint_dir 'out': not empty. Pass overwrite=True, or --s3_region_name."
    """
    if _typed.get() is not None:
        return message
    settings = {flag.removeprefix("--"): name for name, flag in SHORT_FLAGS.items()}
    arguments = _arguments.get() or {}
    for words, argument in arguments.items():
        as_typed = rf"(?<![\w-]){re.escape(words)}(?![\w-])(?: \([a-z_]+\))?"
        message = re.sub(as_typed, argument.replace("\\", r"\\"), message)

    def name(found: re.Match[str]) -> str:
        setting = found[3] or settings.get(found[2], found[2].replace("-", "_"))
        if found[1] or setting in _switches:
            return f"{setting}={not found[1]}"
        return setting + (found[4] or "")

    return _FLAG.sub(name, message)
