"""Raise on the driver the error that a worker raised on purpose, instead of the report that a runner makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from linesmith.core.errors import DataError, LinesmithError, ParameterError

# Runners report an error as text, with the name of the step appended and a traceback around it.
_WORKER_ERROR = re.compile(r"(?:\w*Error: )((LS2\d\d): [^\n]*?)(?: \[while running .*)?$", re.MULTILINE)
# Flink reports nothing else of a worker that ended. `linesmith.runners.flink_worker` ends with this code if versions differ.
_OTHER_VERSIONS = re.compile(r"[Ee]xit(?:ed with)? code:? 64\b")


@contextmanager
def reraise_worker_errors() -> Iterator[None]:
    """Raise the DataError of a worker in place of the failure of the pipeline that holds it. Other failures pass unchanged.

    Raises:
        DataError: as raised by the worker.
        ParameterError: LS404, a worker did not start, since its installed versions differ; LS407, the job server is gone.
    """
    try:
        yield
    except Exception as error:
        if _is_gone(error):
            raise ParameterError(
                "LS407",
                None,
                "the cluster's job server stopped answering while the job ran",
                "See that the cluster is up, and run the same command again: nothing unfinished was put in place.",
            ) from None
        if _OTHER_VERSIONS.search(str(error)):
            raise ParameterError(
                "LS404",
                None,
                "a worker of the cluster has other versions of Python, Beam, TensorFlow, numpy or Linesmith than this "
                "machine, and did not begin; its TaskManager's log names them",
                "Install the same ones there.",
            ) from None
        match = _WORKER_ERROR.search(str(error)) or _WORKER_ERROR.search(f"{type(error).__name__}: {error}")
        if match is None or (isinstance(error, LinesmithError) and match[1] == str(error)):
            raise
        raise DataError.from_message(match[2], match[1]) from None


def _is_gone(error: BaseException) -> bool:
    """Return whether the connection to a job server broke. Only runners that have one raise errors of gRPC."""
    code = getattr(error, "code", None)
    return type(error).__module__.startswith("grpc") and callable(code) and code().name in ("UNAVAILABLE", "CANCELLED")
