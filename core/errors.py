"""Errors that a caller may want to tell apart, and the exit code with which each one ends the command line.

Every message is one paragraph that names the option, its value, what was found and the remedy. No message holds the text of
a record: it names a file and a line number at most. `linesmith.core.error_codes` lists the codes.
"""

from __future__ import annotations

from typing import Any, Self

from linesmith.core.addresses import redact_text
from linesmith.core.error_codes import ERROR_CODES

_MAX_CHARS = 3000  # of a part of a message

EXIT_SUCCESS = 0
EXIT_INTERNAL_ERROR = 1
EXIT_USER_ERROR = 2
EXIT_QUALITY = 3
EXIT_SHORTFALL = 4
EXIT_INTERRUPTED = 130


def coded_message(code: str, option: str | None, found: str, remedy: str) -> str:
    """Return the paragraph of an error or a warning: `code: option: found. remedy`. Addresses in it are redacted.

    Args:
        code: one of `ERROR_CODES`.
        option: the option as typed on the command line, with its value; None where no option is to blame.
        found: what is wrong, without a full stop at the end.
        remedy: what to do, in whole sentences.

    Raises:
        KeyError: the code is not in the table.

    Example:
        >>> coded_message("LS205", "--input 'x.csv'", "no such file", "Give a file of lines.")
        "LS205: --input 'x.csv': no such file. Give a file of lines."
    """
    if code not in ERROR_CODES:
        raise KeyError(code)
    subject = "" if option is None else f"{_cut(option)}: "
    return redact_text(f"{code}: {subject}{_cut(found)}. {remedy}")


def _cut(text: str) -> str:
    """Return the beginning of a text that is longer than anybody reads: names in a file may have any length."""
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}…"


class LinesmithError(Exception):
    """Base of all errors raised on purpose.

    Args:
        code: stable code of what is wrong, one of `ERROR_CODES`.
        option: the option as typed on the command line, with its value; None where no option is to blame.
        found: what is wrong, without a full stop at the end.
        remedy: what to do, in whole sentences.

    Raises:
        KeyError: the code is not in the table.
    """

    exit_code: int = EXIT_USER_ERROR
    code: str

    def __init__(self, code: str, option: str | None, found: str, remedy: str) -> None:
        super().__init__(coded_message(code, option, found, remedy))
        self.code = code

    @classmethod
    def from_message(cls, code: str, message: str) -> Self:
        """Return the error that another process or thread described by its code and its whole message."""
        error = cls.__new__(cls)
        Exception.__init__(error, redact_text(message))
        error.code = code
        return error

    def with_message(self, message: str) -> Self:
        """Return an error of the same class and code with another message."""
        return type(self).from_message(self.code, message)

    def as_dict(self) -> dict[str, str]:
        """Return class, code and message as plain JSON types; `error_from_dict` reads them."""
        return {"error": type(self).__name__, "code": self.code, "message": str(self)}

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries (loky); the default reduction would call __init__ with the message alone.
        return (type(self).from_message, (self.code, str(self)))


class ParameterError(LinesmithError, ValueError):
    """A setting has a value that cannot work."""


class VocabSizeTooSmall(ParameterError):
    """`vocab_size` cannot hold the characters and symbols that the data needs."""


class DataError(LinesmithError, ValueError):
    """The input, or an artifact of an earlier stage, cannot be used as it is."""


class TooFewRecordsError(DataError):
    """There are not enough accepted records to do what was asked."""


class TokenizerError(LinesmithError):
    """A text or a sequence of ids cannot be represented by the tokenizer."""

    @property
    def reason(self) -> str:
        """The reason under which generation counts such a record as invalid."""
        return _TOKENIZER_REASONS[self.code]


_TOKENIZER_REASONS = {"LS223": "unknown", "LS224": "range", "LS225": "utf8", "LS226": "escape", "LS227": "difference"}


class GenerationError(LinesmithError, RuntimeError):
    """Generation could not begin or go on."""


class TooManyInvalidError(GenerationError):
    """More invalid records than `max_invalid` allows."""

    exit_code = EXIT_SHORTFALL


class ShortfallError(GenerationError):
    """Fewer valid records than were asked for; what there is was written and marked as partial."""

    exit_code = EXIT_SHORTFALL


class InterruptedRunError(LinesmithError):
    """Stopped by Ctrl-C; the run directory can be resumed."""

    exit_code = EXIT_INTERRUPTED


def error_from_dict(described: dict[str, str]) -> LinesmithError:
    """Return the error that `LinesmithError.as_dict` described; a `DataError` where its class is not known here."""
    named = globals().get(described["error"])
    error_class = named if isinstance(named, type) and issubclass(named, LinesmithError) else DataError
    return error_class.from_message(described["code"], described["message"])


def exception_chain(failure: BaseException) -> list[BaseException]:
    """Return an exception and its causes, since Beam wraps what its workers raise."""
    chain: list[BaseException] = []
    current: BaseException | None = failure
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return chain
