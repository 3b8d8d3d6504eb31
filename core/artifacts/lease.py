"""A fenced lease in the run directory: one trainer at a time on any machine, and no late writes by an earlier one.

A lock of the operating system ends with its process or its connection, and a cluster that starts a stage again cannot tell a
worker that died from one that cannot be reached. Therefore the trainer renews a small file, and a second attempt takes the
lease over only when the file has not changed for a whole term by the second attempt's own clock; clocks of machines are never
compared. Each holder writes a unique owner name, the fence: a trainer that was suspended and wakes up finds another name, or
no file, and may not write any more. The name is checked and results are written under one lock of the file system, so that no
take-over falls between the check and the write. A lease that is released leaves no file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from linesmith.core.artifacts.files import open_lock_file, read_json, write_json
from linesmith.core.artifacts.shapes import LeaseShape
from linesmith.core.errors import DataError

LEASE_FILE = ".lease.json"
LEASE_TERM_SECONDS = 20.0
_RENEWALS_PER_TERM = 4


@dataclass(frozen=True)
class Claim:
    """Content of the lease file.

    Attributes:
        number: 1, and one more for each take-over from an owner that did not release it.
        owner: the fence, a unique name of this holder.
        host: machine of the owner.
        pid: process number of the owner.
        renewed: how often the lease was renewed; while it grows, the owner is alive.
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
        """Number of the lease, as in `Claim`."""
        return self._claim.number

    @property
    def name(self) -> str:
        """Unique name of this holder, which can name a scratch directory."""
        return self._claim.owner

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Guard a block that writes results: it runs only while this process holds the lease, and no one takes over meanwhile.

        Raises:
            DataError: LS203, another attempt has taken over.
        """
        with _guarded(self._root):
            found = _read(self._root)
            if found is None or found.owner != self._claim.owner:
                raise DataError(
                    "LS203",
                    None,
                    f"another attempt has taken over the training in '{self._root}' (lease {self.number} is "
                    f"{found.number if found else 'gone'} now)",
                    "This one ends and writes nothing more.",
                )
            yield

    def release(self) -> None:
        """Give the lease up, so that the next attempt need not wait. Does nothing where another attempt has taken over."""
        self._stop.set()
        self._thread.join()
        with _guarded(self._root):
            found = _read(self._root)
            if found is not None and found.owner == self._claim.owner:
                (self._root / LEASE_FILE).unlink()

    def _renew(self) -> None:
        while not self._stop.wait(LEASE_TERM_SECONDS / _RENEWALS_PER_TERM):
            with contextlib.suppress(OSError, DataError), _guarded(self._root):
                found = _read(self._root)
                if found is None or found.owner != self._claim.owner:
                    return
                write_json(self._root / LEASE_FILE, asdict(replace(found, renewed=found.renewed + 1)))


@contextlib.contextmanager
def hold_lease(root: Path, term: float = LEASE_TERM_SECONDS, patience: float = LEASE_TERM_SECONDS) -> Iterator[Lease]:
    """Hold the lease of a run directory during a block.

    Args:
        root: the run directory, which must exist.
        term: seconds after which a lease that is not renewed may be taken over.
        patience: seconds to wait for a lease that is being renewed.

    Raises:
        DataError: LS203, another process holds the lease and keeps renewing it.
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
    """Wait until no one holds the lease: there is none, its process on this machine has ended, or a term passed without renewal.

    Args:
        root: the run directory.
        term: seconds after which a lease that is not renewed may be taken over.
        patience: seconds to wait for a lease that is being renewed.
        clock: gives the time in seconds; only differences count.

    Raises:
        DataError: LS203, the lease is renewed for longer than `patience`.
    """
    begun = clock()
    seen, since = _read(root), begun
    while seen is not None and not _is_dead(seen):
        if clock() - since >= term:
            return
        if clock() - begun > patience and since > begun:  # the lease was renewed while this loop waited
            raise _in_use(root, seen)
        time.sleep(min(0.2, term / 10))
        now = _read(root)
        if now != seen:
            seen, since = now, clock()


def _in_use(root: Path, claim: Claim) -> DataError:
    return DataError(
        "LS203",
        f"--output '{root}'",
        f"process {claim.pid} on {claim.host} is training in this run directory and goes on (lease {claim.number})",
        "Wait for it, end it, or choose another --output.",
    )


def _is_dead(claim: Claim) -> bool:
    """Return whether the owner ran on this machine and has ended; False for other machines, of which nothing is known."""
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
    with open_lock_file(root / f"{LEASE_FILE}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(root: Path) -> Claim | None:
    path = root / LEASE_FILE
    if not path.is_file():
        return None
    try:
        return Claim(**read_json(path, "the lease", LeaseShape))
    except TypeError:
        raise DataError(
            "LS201", None, f"'{path}' is damaged: it is not a lease", "Delete it when nothing trains there."
        ) from None
