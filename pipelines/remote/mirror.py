"""A run directory in a bucket, worked on in a local folder and published from there.

A bucket has no rename, so what is published becomes whole in another way: the manifests of all that changes are deleted,
then files are written and left-overs deleted, and the manifests are written last. Whoever finds a manifest finds all that it
names; a publication that broke off leaves what looks incomplete, and is.

The folder outlives a command that was killed or whose store went away. While the bucket is as that command knew it, the next
command on this machine goes on with the folder; otherwise the folder is thrown away. Who starts last is the one who may
publish: an object `.writer.json` says who that is.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import write_json
from linesmith.core.artifacts.manifest import MANIFEST
from linesmith.core.errors import DataError
from linesmith.pipelines.remote.mirror_folder import alone, folder_of
from linesmith.pipelines.remote.published_files import (
    INPUTS,
    WRITER,
    group_of,
    groups_of,
    is_published,
    is_safe,
    manifest_of,
    rank,
)
from linesmith.transforms.storage import objects as storage
from linesmith.transforms.storage.addresses import join

_log = logging.getLogger("linesmith")
_TEXT = (".json", ".html")  # files of ours that may name the folder
_LARGEST_TEXT = 256 << 20


@dataclass
class ObjectState:
    """What is known of an object: its stamp in the bucket, and how its copy in the folder looked; None: it was not copied."""

    stamp: str
    local: list[int] | None = None


@dataclass
class Mirror:
    """The folder and the bucket behind it.

    Attributes:
        address: of the run directory.
        folder: its copy.
        known: what is in the bucket, by name.
        writes: something may be published.
    """

    address: str
    folder: Path
    known: dict[str, ObjectState] = field(default_factory=dict)
    writes: bool = True
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self._turn = threading.Lock()
        self._pending: set[str] = set()  # names that a publication is about to write or delete

    @property
    def _journal(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.json")

    def open(self, wanted: Callable[[str], bool], adapt: Callable[[Path], None]) -> None:
        """Bring the folder up to date.

        Args:
            wanted: says of a name whether the stage needs that file; manifests are always copied.
            adapt: told of each `model_params.json` that was copied.

        Raises:
            DataError: LS213.
        """
        there = {name: stored for name, stored in storage.list_below(self.address).items() if is_published(name)}
        resumed = self._resumable(there)
        if resumed is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.known = {name: ObjectState(stored.stamp) for name, stored in there.items()}
        else:
            self.known = resumed
            _log.info("going on with what an earlier command left in '%s'", self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = [
            name
            for name, known in self.known.items()
            if known.local is None and (wanted(name) or Path(name).name == MANIFEST) and is_safe(name)
        ]
        storage.run_in_parallel(lambda name: self._fetch(name, adapt), missing)
        self._save()
        if self.writes:
            storage.put(self._journal, join(self.address, WRITER), json.dumps({"writer": self.token}).encode())

    def publish(self) -> None:
        """Write what has changed in the folder to the bucket, manifests last.

        Raises:
            DataError: LS213, the store; LS203, another command began to write to the run directory after this one.
        """
        changed, gone = self._changes() if self.writes else (set(), set())
        if not changed and not gone:
            return
        self._refuse_second_writer()
        groups = groups_of([*changed, *gone, *self.known])
        self._pending = changed | gone | {manifest_of(group) for group in groups}
        self._save()  # whatever ends this, the next command knows what may have been done
        self._publish(changed, gone)
        self._pending = set()
        self._save()

    def close(self) -> None:
        """Remove the folder, when all is published."""
        with contextlib.suppress(DataError):
            if self.writes and self._writer() == self.token:
                storage.delete([join(self.address, WRITER)])
        shutil.rmtree(self.folder, ignore_errors=True)
        self._journal.unlink(missing_ok=True)

    def told(self, text: str) -> str:
        """A text with the address where it names the folder, or a file in it that was fetched."""
        for noted in sorted((self.folder / INPUTS).glob("*.json")):
            given = json.loads(noted.read_text("utf-8"))
            text = text.replace(str(noted.with_suffix("") / Path(given).name), given)
        return text.replace(str(self.folder), self.address)

    def _fetch(self, name: str, adapt: Callable[[Path], None]) -> None:
        path = self.folder / name
        storage.fetch(join(self.address, name), path)
        if path.name == "model_params.json":
            adapt(path)
        with self._turn:
            self.known[name].local = _signature(path)

    def _changes(self) -> tuple[set[str], set[str]]:
        """Names to write and names to delete."""
        local = {path.relative_to(self.folder).as_posix(): path for path in self.folder.rglob("*") if path.is_file()}
        local = {name: path for name, path in local.items() if is_published(name)}
        changed = {
            name for name, path in local.items() if name not in self.known or self.known[name].local != _signature(path)
        }
        gone = {name for name, known in self.known.items() if known.local is not None and name not in local}
        groups = groups_of([*local, *self.known])
        rewritten = {group for group in groups if manifest_of(group) in changed | gone}
        gone |= {name for name in self.known if name not in local and group_of(name, groups) in rewritten}
        return changed, gone

    def _publish(self, changed: set[str], gone: set[str]) -> None:
        groups = groups_of([*changed, *self.known])
        touched = {group_of(name, groups) for name in changed | gone}
        if any(name.startswith(("tokenizer/", ".next/tokenizer/")) for name in changed | gone):
            touched |= {group for group in groups if group.split("/")[-1] in ("model", "training_data")}
        stale = {manifest_of(group) for group in touched if group is not None} & set(self.known)
        self._delete(stale)
        manifests = {name for name in changed if Path(name).name == MANIFEST}
        # A manifest that was deleted although its own text is unchanged comes back.
        manifests |= {name for name in stale - gone if (self.folder / name).is_file()}
        storage.run_in_parallel(self._put, sorted(changed - manifests))
        self._delete(gone - stale)
        for name in sorted(manifests, key=rank):
            self._put(name)

    def _put(self, name: str) -> None:
        path = self.folder / name
        before = _signature(path)
        content = None
        if path.suffix in _TEXT and path.stat().st_size <= _LARGEST_TEXT:
            content = self.told(path.read_text("utf-8")).encode("utf-8")
        stored = storage.put(path, join(self.address, name), content)
        with self._turn:
            self.known[name] = ObjectState(stored.stamp, before)

    def _delete(self, names: Iterable[str]) -> None:
        names = set(names)
        if names:
            storage.delete(join(self.address, name) for name in names)
        for name in names:
            self.known.pop(name, None)

    def _resumable(self, there: dict[str, storage.StoredObject]) -> dict[str, ObjectState] | None:
        """What an earlier command knew, where the bucket is still as it left it; None where it is not, or there was none."""
        try:
            stored: dict[str, Any] = json.loads(self._journal.read_text("utf-8"))
            known = {name: ObjectState(**one) for name, one in stored["known"].items()}
        except (OSError, ValueError, KeyError, TypeError):
            return None
        pending = set(stored.get("pending", ()))
        before = {name: one.stamp for name, one in known.items() if name not in pending}
        now = {name: one.stamp for name, one in there.items() if name not in pending}
        if before != now or stored.get("address") != self.address or not self.folder.is_dir():
            return None
        settled = {name: one for name, one in known.items() if name not in pending}
        # Of the others nothing is sure but that they are this machine's to write or to delete.
        return settled | {name: ObjectState(there[name].stamp, []) for name in pending & there.keys()}

    def _save(self) -> None:
        known = {name: {"stamp": one.stamp, "local": one.local} for name, one in self.known.items()}
        write_json(self._journal, {"address": self.address, "known": known, "pending": sorted(self._pending)})

    def _writer(self) -> str | None:
        content = storage.read_bytes(join(self.address, WRITER))
        try:
            return None if content is None else str(json.loads(content)["writer"])
        except (ValueError, KeyError, TypeError):
            return None

    def _refuse_second_writer(self) -> None:
        if self._writer() != self.token:
            raise DataError(
                f"LS203: another process began to write to the run directory '{self.address}' after this one, so nothing more "
                "is written there. Wait for it, or choose another --output.",
                code="LS203",
            )


@contextlib.contextmanager
def mirrored(
    address: str,
    wanted: Callable[[str], bool],
    adapt: Callable[[Path, Path], None] | None = None,
    writes: bool = True,
) -> Iterator[Mirror]:
    """A mirror of a run directory in a bucket, published when the block ends, in whatever way it ends.

    What a stage leaves when it fails or is interrupted is what it would leave in a local run directory: something that a
    re-run goes on from.

    Raises:
        DataError: LS203, another process on this machine works on the same run directory; LS213, the store.
    """
    if not writes:  # in a folder of its own: the one that lasts may hold what is yet to be published
        with tempfile.TemporaryDirectory() as scratch:
            mirror = Mirror(address, Path(scratch) / "run", writes=False)
            mirror.open(wanted, _adapter(adapt, mirror))
            yield mirror
        return
    folder = folder_of(address)
    with alone(folder, address):
        mirror = Mirror(address, folder)
        mirror.open(wanted, _adapter(adapt, mirror))
        try:
            yield mirror
        finally:
            try:
                mirror.publish()
            except DataError as error:
                raise DataError(
                    f"{error} What is not yet in the bucket is kept in '{folder}', and the same command, run again on this "
                    "machine, goes on with it.",
                    code=error.code,
                ) from None
            mirror.close()


def _adapter(adapt: Callable[[Path, Path], None] | None, mirror: Mirror) -> Callable[[Path], None]:
    return (lambda path: None) if adapt is None else (lambda path: adapt(path, mirror.folder / INPUTS))


def _signature(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino]
