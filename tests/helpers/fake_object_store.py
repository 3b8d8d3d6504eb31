"""A store for unit tests: Beam's client of S3, as far as ours use it, over a folder. Real servers:
`make test-buckets`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linesmith.transforms.storage import clients as store_clients


class FakeObjectStore:
    """Objects are files below `root`; `before` is called before each operation with its name and address, and may raise."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.before: Callable[[str, str], None] = lambda operation, address: None
        self.log: list[tuple[str, str]] = []

    def path(self, address: str) -> Path:
        return self.root / address.partition("://")[2]

    def _enter(self, operation: str, address: str) -> None:
        self.before(operation, address)
        self.log.append((operation, address))

    def list_files(self, prefix: str, with_metadata: bool = True) -> Iterator[tuple[str, tuple[int, float]]]:
        self._enter("list", prefix)
        scheme = prefix.partition("://")[0]
        for path in sorted(self.root.rglob("*")):
            address = f"{scheme}://{path.relative_to(self.root).as_posix()}"
            if path.is_file() and address.startswith(prefix):
                yield address, (path.stat().st_size, path.stat().st_mtime)

    def exists(self, address: str) -> bool:
        self._enter("exists", address)
        return self.path(address).is_file()

    def delete(self, address: str) -> None:
        self._enter("delete", address)
        self.path(address).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _reader(self, address: str) -> Iterator:
        with open(self.path(address), "rb") as content:
            yield content

    def open(self, address: str, mode: str):
        self._enter(mode, address)
        if mode == "r":
            return self._reader(address)
        self.path(address).parent.mkdir(parents=True, exist_ok=True)
        return open(self.path(address), "wb")


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeObjectStore:
    """A store that is taken for any bucket; folders of mirrors lie in the test's own place."""
    found = FakeObjectStore(tmp_path / "store")
    monkeypatch.setattr(store_clients, "_new_client", lambda address, options: found)
    monkeypatch.setattr(store_clients, "_idle", {})
    monkeypatch.setattr(store_clients, "check_reachable", lambda address: None)
    monkeypatch.setattr("linesmith.transforms.storage.retries._WAITS", ())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return found
