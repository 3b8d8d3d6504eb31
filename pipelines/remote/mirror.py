"""A run directory in a bucket: worked on in a local folder, then published.

A bucket has no atomic rename of a directory. A publication therefore first deletes the manifests of all groups that change,
then writes changed files and deletes removed ones, and writes the manifests last. A group that has a manifest is complete; a
publication that broke off leaves groups without manifests, which readers take for incomplete.

The folder is kept after a command that was killed or lost its connection. A journal beside it records what is known of the
bucket. If the bucket is still in that state, the next command on this machine continues with the folder; otherwise the folder
is deleted and copied anew. The process that started last may publish: the object `.writer.json` names it.
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
from linesmith.core.artifacts.params import PARAMS_FILE
from linesmith.core.errors import DataError
from linesmith.pipelines.remote.mirror_folder import exclusive_lock, folder_of
from linesmith.pipelines.remote.published_files import (
    INPUTS,
    WRITER,
    group_of,
    groups_of,
    is_published,
    is_safe,
    manifest_of,
    publish_order,
)
from linesmith.transforms.storage import objects as storage
from linesmith.transforms.storage.addresses import join

_log = logging.getLogger("linesmith")
_TEXT_SUFFIXES = (".json", ".html")  # files of ours that may name the local folder
_MAX_TEXT_BYTES = 256 << 20


@dataclass
class ObjectState:
    """State of one object in the bucket.

    Attributes:
        stamp: changes whenever the object is written.
        local: size, modification time (ns) and inode of its copy when copied or written; None: it was not copied.
    """

    stamp: str
    local: list[int] | None = None


@dataclass
class Mirror:
    """Local folder and bucket address of one run directory.

    Attributes:
        address: address of the run directory.
        folder: its local copy.
        objects: state of every published object in the bucket, by name.
        writes: whether changes may be published.
        token: identifies this process in `.writer.json`.
    """

    address: str
    folder: Path
    objects: dict[str, ObjectState] = field(default_factory=dict)
    writes: bool = True
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()  # guards `objects`, which transfers in parallel change
        self._pending: set[str] = set()  # names that a publication is about to write or delete
        self._folders: list[str] = []  # directories of files that were not copied

    @property
    def _journal(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.json")

    def open(self, needed: Callable[[str], bool], localize: Callable[[Path, Path], None] | None = None) -> None:
        """Copy what is needed and not yet in the folder, and register as the writer.

        Args:
            needed: decides for a file's name whether the stage reads it. Manifests are always copied.
            localize: called with each copied `model_params.json` and the folder for fetched files.

        Raises:
            DataError: LS213, the store failed.
        """
        stored = {name: found for name, found in storage.list_below(self.address).items() if is_published(name)}
        resumed = self._resumable(stored)
        if resumed is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.objects = {name: ObjectState(found.stamp) for name, found in stored.items()}
        else:
            self.objects = resumed
            _log.info("continuing with the files that an earlier command left in '%s'", self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        if resumed is None:
            self._make_folders(needed)
        missing = [
            name
            for name, state in self.objects.items()
            if state.local is None and (needed(name) or Path(name).name == MANIFEST) and is_safe(name)
        ]
        storage.run_in_parallel(lambda name: self._fetch(name, localize), missing)
        self._save_journal()
        if self.writes:
            storage.put(self._journal, join(self.address, WRITER), json.dumps({"writer": self.token}).encode())

    def publish(self) -> None:
        """Write what has changed in the folder to the bucket, manifests last.

        Does nothing for a mirror that does not write, or where nothing has changed.

        Raises:
            DataError: LS213, the store failed; LS203, another command began to write to the run directory after this one.
        """
        changed, removed = self._changes() if self.writes else (set(), set())
        if not changed and not removed:
            return
        self._refuse_second_writer()
        groups = groups_of([*changed, *removed, *self.objects])
        # Saved before the first write: if this process is killed, the next command knows which objects may have changed.
        self._pending = changed | removed | {manifest_of(group) for group in groups}
        self._save_journal()
        self._write_changes(changed, removed)
        self._pending = set()
        self._save_journal()

    def close(self) -> None:
        """Delete the folder and the journal; to be called when everything is published."""
        with contextlib.suppress(DataError):
            if self.writes and self._writer() == self.token:
                storage.delete([join(self.address, WRITER)])
        shutil.rmtree(self.folder, ignore_errors=True)
        self._journal.unlink(missing_ok=True)

    def with_remote_addresses(self, text: str) -> str:
        """Return a text in which paths of the folder and of fetched files are replaced by their addresses.

        Args:
            text: a message, or the content of a JSON or HTML file.
        """
        for record in sorted((self.folder / INPUTS).glob("*.json")):
            address = json.loads(record.read_text("utf-8"))
            text = text.replace(str(record.with_suffix("") / Path(address).name), address)
        return text.replace(str(self.folder), self.address)

    def _make_folders(self, needed: Callable[[str], bool]) -> None:
        """Create the directories of files that are not copied: a stage sees that they exist, and may delete them."""
        left = [name for name in self.objects if "/" in name and is_safe(name) and not needed(name)]
        self._folders = sorted({name.rpartition("/")[0] for name in left})
        for folder in self._folders:
            (self.folder / folder).mkdir(parents=True, exist_ok=True)

    def _fetch(self, name: str, localize: Callable[[Path, Path], None] | None) -> None:
        path = self.folder / name
        storage.fetch(join(self.address, name), path)
        if path.name == PARAMS_FILE and localize is not None:
            localize(path, self.folder / INPUTS)
        with self._lock:
            self.objects[name].local = _signature(path)

    def _changes(self) -> tuple[set[str], set[str]]:
        """Return the names to write and the names to delete."""
        local = {path.relative_to(self.folder).as_posix(): path for path in self.folder.rglob("*") if path.is_file()}
        local = {name: path for name, path in local.items() if is_published(name)}
        changed = {
            name
            for name, path in local.items()
            if name not in self.objects or self.objects[name].local != _signature(path)
        }
        removed = {name for name, state in self.objects.items() if state.local is not None and name not in local}
        groups = groups_of([*local, *self.objects])
        rewritten = {group for group in groups if manifest_of(group) in changed | removed}
        # A stage replaces its directory as a whole: objects of a rewritten group that were never copied are old, too.
        removed |= {name for name in self.objects if name not in local and group_of(name, groups) in rewritten}
        # And so are those of a directory that a stage has deleted.
        gone = {folder for folder in self._folders if not (self.folder / folder).is_dir()}
        removed |= {name for name in self.objects if name not in local and name.rpartition("/")[0] in gone}
        return changed, removed

    def _write_changes(self, changed: set[str], removed: set[str]) -> None:
        """Delete manifests, write files, delete files, write manifests, in this order."""
        groups = groups_of([*changed, *self.objects])
        touched = {group_of(name, groups) for name in changed | removed}
        # The tokenizer has no manifest of its own: those of the data and of the model answer for it.
        if any(name.startswith(("tokenizer/", ".next/tokenizer/")) for name in changed | removed):
            touched |= {group for group in groups if group.split("/")[-1] in ("model", "training_data")}
        stale = {manifest_of(group) for group in touched if group is not None} & set(self.objects)
        self._delete(stale)
        manifests = {name for name in changed if Path(name).name == MANIFEST}
        # A stale manifest is written again even where its own text is unchanged.
        manifests |= {name for name in stale - removed if (self.folder / name).is_file()}
        storage.run_in_parallel(self._put, sorted(changed - manifests))
        self._delete(removed - stale)
        for name in sorted(manifests, key=publish_order):
            self._put(name)

    def _put(self, name: str) -> None:
        path = self.folder / name
        before = _signature(path)  # before it is read: a later write to the file is then seen as a change
        content = None
        if path.suffix in _TEXT_SUFFIXES and path.stat().st_size <= _MAX_TEXT_BYTES:
            content = self.with_remote_addresses(path.read_text("utf-8")).encode("utf-8")
        stored = storage.put(path, join(self.address, name), content)
        with self._lock:
            self.objects[name] = ObjectState(stored.stamp, before)

    def _delete(self, names: Iterable[str]) -> None:
        names = set(names)
        if names:
            storage.delete(join(self.address, name) for name in names)
        for name in names:
            self.objects.pop(name, None)

    def _resumable(self, stored: dict[str, storage.StoredObject]) -> dict[str, ObjectState] | None:
        """Return the states in the journal; None where there is none, or the bucket has changed since it was written."""
        try:
            journal: dict[str, Any] = json.loads(self._journal.read_text("utf-8"))
            known = {name: ObjectState(**state) for name, state in journal["known"].items()}
        except (OSError, ValueError, KeyError, TypeError):
            return None
        pending = set(journal.get("pending", ()))
        before = {name: state.stamp for name, state in known.items() if name not in pending}
        now = {name: found.stamp for name, found in stored.items() if name not in pending}
        if before != now or journal.get("address") != self.address or not self.folder.is_dir():
            return None
        self._folders = list(journal.get("folders", ()))
        certain = {name: state for name, state in known.items() if name not in pending}
        # Pending objects may or may not have been written. The empty signature matches no file, so they are written again.
        return certain | {name: ObjectState(stored[name].stamp, []) for name in pending & stored.keys()}

    def _save_journal(self) -> None:
        known = {name: {"stamp": state.stamp, "local": state.local} for name, state in self.objects.items()}
        journal = {"address": self.address, "known": known, "pending": sorted(self._pending), "folders": self._folders}
        write_json(self._journal, journal)

    def _writer(self) -> str | None:
        """Return the token of the process that may publish; None where there is none."""
        content = storage.read_bytes(join(self.address, WRITER))
        try:
            return None if content is None else str(json.loads(content)["writer"])
        except (ValueError, KeyError, TypeError):
            return None

    def _refuse_second_writer(self) -> None:
        if self._writer() != self.token:
            raise DataError(
                "LS203",
                f"--output '{self.address}'",
                "another process began to write to this run directory after this one, so nothing more is written there",
                "Wait for it, or choose another --output.",
            )


@contextlib.contextmanager
def open_mirror(
    address: str,
    needed: Callable[[str], bool],
    localize: Callable[[Path, Path], None] | None = None,
    writes: bool = True,
) -> Iterator[Mirror]:
    """Yield a mirror of a run directory in a bucket, and publish its changes when the block ends, also by an error.

    A stage that fails or is interrupted leaves in the bucket what it would leave in a local run directory, so that the same
    command can resume.

    Args:
        address: bucket address of the run directory.
        needed: as `Mirror.open` takes it.
        localize: as `Mirror.open` takes it.
        writes: whether changes are published. If not, the mirror lies in a folder that is deleted after the block.

    Raises:
        DataError: LS203, another process on this machine works on the same run directory; LS213, the store failed.
    """
    if not writes:  # not in the lasting folder, which may hold changes that are not published yet
        with tempfile.TemporaryDirectory() as scratch:
            mirror = Mirror(address, Path(scratch) / "run", writes=False)
            mirror.open(needed, localize)
            yield mirror
        return
    folder = folder_of(address)
    with exclusive_lock(folder, address):
        mirror = Mirror(address, folder)
        mirror.open(needed, localize)
        try:
            yield mirror
        finally:
            try:
                mirror.publish()
            except DataError as error:
                raise error.with_message(
                    f"{error} What is not yet in the bucket is kept in '{folder}', and the same command, run again on "
                    "this machine, goes on with it."
                ) from None
            mirror.close()


def _signature(path: Path) -> list[int]:
    """Return size, modification time and inode, which change when a file is written or replaced."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino]
