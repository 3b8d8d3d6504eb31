"""Errors that workers raise on purpose, as the driver should show them: the same error, not a runner's account of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from linesmith.core.errors import DataError, LinesmithError, ParameterError

# Runners hand an error on as text, with the step's name appended and a traceback around it.
_OURS = re.compile(r"(?:\w*Error: )((LS2\d\d): [^\n]*?)(?: \[while running .*)?$", re.MULTILINE)
# All that Flink tells of a worker that ended: `linesmith.runners.flink_worker` ends with this where its versions are others.
_OTHER_VERSIONS = re.compile(r"[Ee]xit(?:ed with)? code:? 64\b")


@contextmanager
def reraise_worker_errors() -> Iterator[None]:
    """Raises the DataError that a worker meant, where a pipeline fails with one inside.

    Raises:
        DataError: as raised by the worker.
        ParameterError: a worker refused to begin, since what is installed there differs from here; or the job server is gone.

    Every other failure passes unchanged.
    """
    try:
        yield
    except Exception as error:
        if _is_gone(error):
            raise ParameterError(
                "LS407: the cluster's job server stopped answering while the job ran. See that the cluster is up, and run the "
                "same command again: nothing unfinished was put in place."
            ) from None
        if _OTHER_VERSIONS.search(str(error)):
            raise ParameterError(
                "LS404: a worker of the cluster has other versions of Python, Beam, TensorFlow, numpy or Linesmith than this "
                "machine, and did not begin; its TaskManager's log names them. Install the same ones there."
            ) from None
        meant = _OURS.search(str(error)) or _OURS.search(f"{type(error).__name__}: {error}")
        if meant is None or (isinstance(error, LinesmithError) and meant[1] == str(error)):
            raise
        raise DataError(meant[1], code=meant[2]) from None


def _is_gone(error: BaseException) -> bool:
    """Whether the connection to a job server broke. Only runners that have one raise errors of gRPC."""
    code = getattr(error, "code", None)
    return type(error).__module__.startswith("grpc") and callable(code) and code().name in ("UNAVAILABLE", "CANCELLED")
