"""A fenced lease in the run directory: one trainer at a time, whatever machine it runs on, and no late writes of a former one.

A lock of the operating system ends with its process or its connection; a cluster that starts a stage again cannot tell a
worker that died from one that only cannot be reached. So the trainer renews a small file, and a second attempt takes it over
only when it has stood still for a whole term by the second one's own clock (clocks of machines are never compared). Each
taking has an owner's name of its own, the fence: whoever wakes up late finds another's name, or none, and may not write any
more. Name and writes are checked under a lock of the file system, so that no write falls between the check and a take-over.
A lease that is given back leaves no file.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.errors import DataError

LEASE_FILE = ".lease.json"
LEASE_TERM_SECONDS = 20.0
_RENEWALS_A_TERM = 4


@dataclass(frozen=True)
class Claim:
    """What the file says.

    Attributes:
        number: 1, and one more for each take-over from an owner that was lost.
        owner: the fence, unique to the taking.
        host: machine of the owner.
        pid: its process.
        renewed: how often it was renewed; its growth is what tells that the owner lives.
    """

    number: int
    owner: str
    host: str
    pid: int
    renewed: int = 0


class Lease:
    """A lease that this process holds.

    Args:
        root: the run directory.
        claim: what was written when it was taken.
    """

    def __init__(self, root: Path, claim: Claim) -> None:
        self._root = root
        self._claim = claim
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="lease")
        self._thread.start()

    @property
    def number(self) -> int:
        return self._claim.number

    @property
    def name(self) -> str:
        """What no other taking is called: fit for a scratch directory."""
        return self._claim.owner

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """What is written inside is written by the holder, or not at all.

        Raises:
            DataError: another attempt has taken over.
        """
        with _guarded(self._root):
            found = _read(self._root)
            if found is None or found.owner != self._claim.owner:
                raise DataError(
                    f"LS203: another attempt has taken over the training in '{self._root}' (lease {self.number} is "
                    f"{found.number if found else 'gone'} now); this one ends and writes nothing more.",
                    code="LS203",
                )
            yield

    def release(self) -> None:
        """Let the next one in at once. Does nothing where another attempt has taken over."""
        self._stop.set()
        self._thread.join()
        with _guarded(self._root):
            found = _read(self._root)
            if found is not None and found.owner == self._claim.owner:
                (self._root / LEASE_FILE).unlink()

    def _renew(self) -> None:
        while not self._stop.wait(LEASE_TERM_SECONDS / _RENEWALS_A_TERM):
            with contextlib.suppress(OSError, DataError), _guarded(self._root):
                found = _read(self._root)
                if found is None or found.owner != self._claim.owner:
                    return
                write_json(self._root / LEASE_FILE, asdict(replace(found, renewed=found.renewed + 1)))


@contextlib.contextmanager
def hold_lease(root: Path, term: float = LEASE_TERM_SECONDS, patience: float = LEASE_TERM_SECONDS) -> Iterator[Lease]:
    """Hold the lease of a run directory.

    Args:
        root: the run directory, which must exist.
        term: seconds after which a lease that nobody renews may be taken over.
        patience: how long to wait for one that is being renewed.

    Raises:
        DataError: another process holds it and goes on.
    """
    wait_for_lease(root, term, patience)
    with _guarded(root):
        found = _read(root)
        claim = Claim(1 if found is None else found.number + 1, uuid.uuid4().hex, platform.node(), os.getpid())
        write_json(root / LEASE_FILE, asdict(claim))
    lease = Lease(root, claim)
    try:
        yield lease
    finally:
        lease.release()


def wait_for_lease(
    root: Path, term: float = LEASE_TERM_SECONDS, patience: float = 0.0, clock: Callable[[], float] = time.monotonic
) -> None:
    """Return when nobody holds the lease: there is none, its process on this machine is gone, or it stood still for a term.

    Raises:
        DataError: it is renewed for longer than `patience`.
    """
    begun = clock()
    seen, since = _read(root), begun
    while seen is not None and not _is_dead(seen):
        if clock() - since >= term:
            return
        if clock() - begun > patience and since > begun:  # it was renewed while we looked
            raise _in_use(root, seen)
        time.sleep(min(0.2, term / 10))
        now = _read(root)
        if now != seen:
            seen, since = now, clock()


def _in_use(root: Path, claim: Claim) -> DataError:
    return DataError(
        f"LS203: process {claim.pid} on {claim.host} is training in the run directory '{root}' and goes on (lease "
        f"{claim.number}); wait for it, end it, or choose another --output.",
        code="LS203",
    )


def _is_dead(claim: Claim) -> bool:
    """The owner ran on this machine and is gone; of other machines nothing is known."""
    if claim.host != platform.node():
        return False
    try:
        os.kill(claim.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@contextlib.contextmanager
def _guarded(root: Path) -> Iterator[None]:
    with open(root / f"{LEASE_FILE}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(root: Path) -> Claim | None:
    path = root / LEASE_FILE
    if not path.is_file():
        return None
    try:
        return Claim(**read_json(path, "the lease"))
    except (TypeError, json.JSONDecodeError):
        raise DataError(
            f"LS201: '{path}' is damaged: it is no lease. Delete it when nothing trains there.", code="LS201"
        ) from None
