"""Turn the exception that ended a command into a message and an exit code."""

from __future__ import annotations

from linesmith.core.artifacts.disk_errors import disk_error
from linesmith.core.errors import EXIT_INTERNAL_ERROR, EXIT_USER_ERROR, LinesmithError, exception_chain


def explain(failure: BaseException) -> tuple[str, int]:
    """Return a message and an exit code for an exception.

    The message leaves out the text of exceptions that are not Linesmith's own: it may quote a record.
    """
    for error in exception_chain(failure):
        if isinstance(error, LinesmithError):
            return " ".join(str(error).split()), error.exit_code
    usage = getattr(failure, "format_message", None)  # of click's errors
    if callable(usage):
        return f"{' '.join(str(usage()).split())} See linesmith --help.", int(
            getattr(failure, "exit_code", EXIT_USER_ERROR)
        )
    on_disk = disk_error(failure)
    if on_disk is not None:
        return " ".join(str(on_disk).split()), on_disk.exit_code
    if isinstance(failure, MemoryError):
        return "out of memory; a smaller --batch-size, --rnn-units or --vocab-size needs less.", EXIT_USER_ERROR
    return (
        f"{type(failure).__name__}: this is a fault of Linesmith, not of your input. Run the same command with --debug for the "
        "traceback, which may quote records, and report it.",
        EXIT_INTERNAL_ERROR,
    )
