"""Turn the exception that ended a command into a message and an exit code."""

from __future__ import annotations

import errno

from linesmith.core.errors import EXIT_INTERNAL_ERROR, EXIT_USER_ERROR, LinesmithError

_ENVIRONMENT_ERRNOS = {errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT, errno.ENAMETOOLONG}
_ENVIRONMENT_ERRNOS |= {
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
}  # something else lies where a file or directory belongs


def explain(failure: BaseException) -> tuple[str, int]:
    """Return a message and an exit code for an exception.

    The message leaves out the text of exceptions that are not Linesmith's own: it may quote a record.
    """
    for error in _exception_chain(failure):
        if isinstance(error, LinesmithError):
            return " ".join(str(error).split()), error.exit_code
    usage = getattr(failure, "format_message", None)  # of click's errors
    if callable(usage):
        return f"{' '.join(str(usage()).split())} See linesmith --help.", int(
            getattr(failure, "exit_code", EXIT_USER_ERROR)
        )
    if isinstance(failure, OSError) and failure.errno in _ENVIRONMENT_ERRNOS:
        return (
            f"{failure.strerror}: '{failure.filename}'; free or change that place and run the same command again.",
            EXIT_USER_ERROR,
        )
    if isinstance(failure, MemoryError):
        return "out of memory; a smaller --batch-size, --rnn-units or --vocab-size needs less.", EXIT_USER_ERROR
    return (
        f"{type(failure).__name__}: this is a fault of Linesmith, not of your input. Run the same command with --debug for the "
        "traceback, which may quote records, and report it.",
        EXIT_INTERNAL_ERROR,
    )


def _exception_chain(failure: BaseException) -> list[BaseException]:
    """Return the exception and its causes, since Beam wraps what its workers raise."""
    chain: list[BaseException] = []
    current: BaseException | None = failure
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return chain
