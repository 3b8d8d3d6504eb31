"""What goes wrong in an object store, in words; and trying again what may pass by itself.

No library's text is repeated in a message: it may hold an address with a key, or what an object holds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from linesmith.core.errors import DataError, LinesmithError

_log = logging.getLogger("linesmith")
T = TypeVar("T")
_WAITS = (1, 2, 4, 8, 15, 30, 30)  # seconds between tries: 90 in all, which outlasts a store's restart
_NOT_AUTHENTICATED, _REFUSED, _ABSENT = 401, 403, 404
_TRANSIENT_STATUS = (408, 425, 429)
_WORDS = {
    _NOT_AUTHENTICATED: "the credentials are missing or wrong (401)",
    _REFUSED: "access is denied, or the credentials are wrong (403)",
    _ABSENT: "there is no such bucket or object (404)",
}
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError")
_BAD_SETTINGS = ("ProfileNotFound", "RefreshError", "TokenRetrievalError", "InvalidRegionError", "ParamValidationError")
_LIBRARIES = ("apache_beam", "botocore", "boto3", "google", "requests", "urllib3")


def with_retries(action: Callable[[], T], address: str, done: str, waits: Sequence[float] | None = None) -> T:
    """Do it, again and again while the store is only away.

    Args:
        action: what may be done any number of times.
        address: what it is about.
        done: what could not be done, as in "cannot be read".
        waits: seconds between tries; None: those that outlast a store's restart.

    Raises:
        DataError: LS213, with the reason; at once where the store refuses, else after the last try.
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
            if wait is None or not failure.passing:
                raise refusal(address, done, failure) from None
            _log.warning("%s cannot be %s: %s; trying again in %d s", _bucket(address), done, failure.reason, wait)
            time.sleep(wait)
    raise AssertionError  # the last try returns or raises


@dataclass(frozen=True)
class StoreFailure:
    """What went wrong in a store, and whether it may pass by itself."""

    reason: str
    passing: bool


def refusal(address: str, done: str, failure: StoreFailure) -> DataError:
    """The error that a user sees."""
    return DataError(
        f"LS213: '{address}' cannot be {done}: {failure.reason}. Check the address, its permissions and the credentials "
        "(AWS_* variables or profile, GOOGLE_APPLICATION_CREDENTIALS) and the endpoint; then run the same command again.",
        code="LS213",
    )


def classify_error(error: BaseException) -> StoreFailure | None:
    """What a library's error means; None where it is not about a store."""
    causes = _causes(error)
    for one in causes:
        found = _refused(one)
        if found is not None:
            return found
    last = causes[-1]
    module = type(last).__module__.partition(".")[0]
    if module in _LIBRARIES or isinstance(last, ConnectionError | TimeoutError):
        return StoreFailure(f"the store cannot be reached or broke off ({type(last).__name__})", True)
    return None


def _refused(error: BaseException) -> StoreFailure | None:
    """What a store, or its client, says; None where this is not what it says."""
    status, kind = _status(error), type(error).__name__
    if isinstance(error, FileNotFoundError):
        status = _ABSENT
    elif isinstance(error, PermissionError):
        status = _REFUSED
    if status is not None:
        passing = status >= 500 or status in _TRANSIENT_STATUS
        return StoreFailure(_WORDS.get(status, f"the store answers with status {status}"), passing)
    if kind in _NO_CREDENTIALS or "Unable to locate credentials" in str(error):
        return StoreFailure("no credentials are found", False)
    if kind in _BAD_SETTINGS:
        return StoreFailure(f"its client refuses its settings or credentials ({kind})", False)
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """The error, those that Beam has packed into it, and what they came from."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or one in found:
            continue
        found.append(one)
        packed = getattr(one, "exception_details", None)
        waiting += list(packed.values()) if isinstance(packed, dict) else []
        waiting += [one.__cause__, None if one.__suppress_context__ else one.__context__]
    return found


def _status(error: BaseException) -> int | None:
    """The HTTP status in an error of boto, Beam's S3 client or Google's libraries."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    answered = getattr(response, "status_code", None)  # of Google's upload library
    if isinstance(answered, int):
        return answered
    status = getattr(error, "code", None)
    return int(status) if isinstance(status, int) and not isinstance(status, bool) and status >= 400 else None


def _bucket(address: str) -> str:
    """The bucket alone: names of objects may tell more than a log should."""
    return "/".join(address.split("/")[:3])
