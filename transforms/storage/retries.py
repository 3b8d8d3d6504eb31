"""Retry operations on an object store, and turn failures into messages.

No message repeats the text of a library's error: it may hold an address with a key, or the content of an object.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from linesmith.core.addresses import redact_address
from linesmith.core.errors import DataError, LinesmithError

_log = logging.getLogger("linesmith")
T = TypeVar("T")
_WAITS = (1, 2, 4, 8, 15, 30, 30)  # seconds between tries: 90 in all, which outlasts a store's restart
_NOT_AUTHENTICATED, _REFUSED, _ABSENT = 401, 403, 404
_TRANSIENT_STATUS = (408, 425, 429)
_STATUS_REASONS = {
    _NOT_AUTHENTICATED: "the credentials are missing or wrong (401)",
    _REFUSED: "access is denied, or the credentials are wrong (403)",
    _ABSENT: "there is no such bucket or object (404)",
}
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError")
_BAD_SETTINGS = ("ProfileNotFound", "RefreshError", "TokenRetrievalError", "InvalidRegionError", "ParamValidationError")
_LIBRARIES = ("apache_beam", "botocore", "boto3", "google", "requests", "urllib3")


def with_retries(action: Callable[[], T], address: str, done: str, waits: Sequence[float] | None = None) -> T:
    """Call an action, again and again while the failure may pass by itself.

    Args:
        action: may be called any number of times.
        address: the object or bucket, for messages.
        done: participle for messages, as in "cannot be read".
        waits: seconds between tries; None: 90 seconds in all, which outlast a restart of the store.

    Returns:
        What the action returns.

    Raises:
        DataError: LS213, with the reason; at once if the store refuses, otherwise after the last try.
    """
    for wait in (*(_WAITS if waits is None else waits), None):
        try:
            return action()
        except LinesmithError:
            raise
        except Exception as error:
            failure = classify_error(error)
            if failure is None:
                raise
            if wait is None or not failure.transient:
                raise store_error(address, done, failure) from None
            _log.warning("%s cannot be %s: %s; trying again in %d s", _bucket(address), done, failure.reason, wait)
            time.sleep(wait)
    raise AssertionError  # the last try returns or raises


@dataclass(frozen=True)
class StoreFailure:
    """Why an operation failed, and whether the failure may pass by itself."""

    reason: str
    transient: bool


def store_error(address: str, done: str, failure: StoreFailure) -> DataError:
    """Return the error that a user sees."""
    return DataError(
        "LS213",
        None,
        f"'{address}' cannot be {done}: {failure.reason}",
        "Check the address, its permissions, the credentials (AWS_* variables or profile, "
        "GOOGLE_APPLICATION_CREDENTIALS) and the endpoint; then run the same command again.",
    )


def classify_error(error: BaseException) -> StoreFailure | None:
    """Return what an error of a library means; None if it is not about a store."""
    causes = _causes(error)
    for cause in causes:
        failure = _answered(cause)
        if failure is not None:
            return failure
    last = causes[-1]
    module = type(last).__module__.partition(".")[0]
    if module in _LIBRARIES or isinstance(last, ConnectionError | TimeoutError):
        return StoreFailure(f"the store cannot be reached or broke off ({type(last).__name__})", True)
    return None


def _answered(error: BaseException) -> StoreFailure | None:
    """Return the failure that a store or its client reports by an error; None if the error is of another kind."""
    status, error_name = _status(error), type(error).__name__
    if isinstance(error, FileNotFoundError):
        status = _ABSENT
    elif isinstance(error, PermissionError):
        status = _REFUSED
    if status is not None:
        transient = status >= 500 or status in _TRANSIENT_STATUS
        return StoreFailure(_STATUS_REASONS.get(status, f"the store answers with status {status}"), transient)
    if error_name in _NO_CREDENTIALS or "Unable to locate credentials" in str(error):
        return StoreFailure("no credentials are found", False)
    if error_name in _BAD_SETTINGS:
        return StoreFailure(f"its client refuses its settings or credentials ({error_name})", False)
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """Return the error, the errors that Beam keeps inside it, and all their causes."""
    causes: list[BaseException] = []
    pending: list[Any] = [error]
    while pending:
        cause = pending.pop(0)
        if not isinstance(cause, BaseException) or cause in causes:
            continue
        causes.append(cause)
        details = getattr(cause, "exception_details", None)  # BeamIOError: one error per path
        pending += list(details.values()) if isinstance(details, dict) else []
        pending += [cause.__cause__, None if cause.__suppress_context__ else cause.__context__]
    return causes


def _status(error: BaseException) -> int | None:
    """Return the HTTP status in an error of boto, of Beam's S3 client or of Google's libraries; None if it has none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    response_status = getattr(response, "status_code", None)  # Google's upload library
    if isinstance(response_status, int):
        return response_status
    status = getattr(error, "code", None)
    return int(status) if isinstance(status, int) and not isinstance(status, bool) and status >= 400 else None


def _bucket(address: str) -> str:
    """Return the bucket alone: names of objects may reveal more than a log should hold."""
    return "/".join(redact_address(address).split("/")[:3])
