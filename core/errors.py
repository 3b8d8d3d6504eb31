"""The errors a caller may want to tell apart, and the exit code each one ends the command line with.

Every message is one paragraph that names the option, its value, what was found and the remedy. None ever holds the text
of a record: a file and a line number at most.
"""

from __future__ import annotations

EXIT_SUCCESS = 0
EXIT_INTERNAL_ERROR = 1
EXIT_USER_ERROR = 2
EXIT_QUALITY = 3
EXIT_SHORTFALL = 4
EXIT_INTERRUPTED = 130


class LinesmithError(Exception):
    """Base of all errors raised on purpose. `code` is the stable preflight code (LS1xx … LS4xx), where one exists."""

    exit_code: int = EXIT_USER_ERROR

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple:
        # Errors cross process boundaries (loky); the default reduction would drop the keyword-only code.
        return (_rebuild, (type(self), str(self), self.code))


def _rebuild(kind: type[LinesmithError], message: str, code: str | None) -> LinesmithError:
    return kind(message, code=code)


class ParameterError(LinesmithError, ValueError):
    """A setting has a value that cannot work."""


class VocabSizeTooSmall(ParameterError):
    """`vocab_size` cannot hold the characters and symbols that the data needs."""


class DataError(LinesmithError, ValueError):
    """The input, or an artefact of an earlier stage, cannot be used as it is."""


class TooFewRecordsError(DataError):
    """There are not enough accepted records to do what was asked."""


class TokenizerError(LinesmithError):
    """A text or a sequence of ids cannot be represented by the tokenizer."""


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
