"""A fake object store for unit tests: the part of Beam's S3 client that we use, with files of a folder as objects.

Real servers are tested by `make test-buckets`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linesmith.transforms.storage import clients as store_clients


class FakeObjectStore:
    """Object store whose objects are files below a folder.

    Attributes:
        root: the folder.
        before: called before each operation with its name and the address; it may raise.
        log: name and address of each operation that was not refused.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.before: Callable[[str, str], None] = lambda operation, address: None
        self.log: list[tuple[str, str]] = []

    def path(self, address: str) -> Path:
        """Return the file of an object."""
        return self.root / address.partition("://")[2]

    def _enter(self, operation: str, address: str) -> None:
        self.before(operation, address)
        self.log.append((operation, address))

    def list_files(self, prefix: str, with_metadata: bool = True) -> Iterator[tuple[str, tuple[int, float]]]:
        """Yield address, size and time of each object whose address begins with a prefix."""
        self._enter("list", prefix)
        scheme = prefix.partition("://")[0]
        for path in sorted(self.root.rglob("*")):
            address = f"{scheme}://{path.relative_to(self.root).as_posix()}"
            if path.is_file() and address.startswith(prefix):
                yield address, (path.stat().st_size, path.stat().st_mtime)

    def exists(self, address: str) -> bool:
        """Return whether an object exists."""
        self._enter("exists", address)
        return self.path(address).is_file()

    def delete(self, address: str) -> None:
        """Delete an object if it exists."""
        self._enter("delete", address)
        self.path(address).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _reader(self, address: str) -> Iterator:
        with open(self.path(address), "rb") as content:
            yield content

    def open(self, address: str, mode: str):
        """Open an object to read ("r") or to write."""
        self._enter(mode, address)
        if mode == "r":
            return self._reader(address)
        self.path(address).parent.mkdir(parents=True, exist_ok=True)
        return open(self.path(address), "wb")


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeObjectStore:
    """Replace all buckets by one fake store for a test; local copies of run directories lie in the test's directory."""
    fake = FakeObjectStore(tmp_path / "store")
    monkeypatch.setattr(store_clients, "_new_client", lambda address, options: fake)
    monkeypatch.setattr(store_clients, "_idle", {})
    monkeypatch.setattr(store_clients, "check_reachable", lambda address: None)
    monkeypatch.setattr("linesmith.transforms.storage.retries._WAITS", ())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return fake
