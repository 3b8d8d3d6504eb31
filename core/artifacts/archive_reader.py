"""Unpack an archive of a model, which may be hostile, to a directory: every member is checked before it is read.

The headers of the tar file are read here and not by `tarfile`, which follows extended headers, links and sparse maps.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from linesmith.core.artifacts.files import sha256_file
from linesmith.core.artifacts.manifest import MANIFEST, check_format_version
from linesmith.core.errors import DataError, ParameterError
from linesmith.core.parsing import parse_json

KIND = "linesmith-model"
MAX_BYTES = 8 << 30  # of all members together, unpacked
MAX_RATIO = 200  # of unpacked to packed bytes: weights hardly compress
FREE_BYTES = 64 << 20  # an archive that unpacks to fewer bytes may have any ratio
_MAX_MEMBERS = 64
_MAX_MANIFEST = 1 << 20
_BLOCK = tarfile.BLOCKSIZE
_CHUNK_BYTES = 1 << 20
_NAME_CHARS = 100  # of a member's name that a message shows


def refused(path: str | Path, found: str) -> DataError:
    """Return the error for an archive that is damaged, foreign or hostile."""
    return DataError(
        "LS210", f"--model (model_archive) '{path}'", found, "Give an archive that linesmith export wrote."
    )


def unpack_members(path: Path, root: Path, names: re.Pattern[str]) -> dict[str, Any]:
    """Unpack an archive to a new directory, every member checked against the manifest.

    Args:
        path: of the archive.
        root: the directory.
        names: matches the whole name of each member that an archive may hold beside its manifest.

    Returns:
        The manifest.

    Raises:
        ParameterError: LS210, there is no such file.
        DataError: LS210, the archive is damaged, foreign or hostile; LS202, a newer Linesmith wrote it.
    """
    try:
        packed_bytes = path.stat().st_size
        with open(path, "rb") as stored, gzip.GzipFile(fileobj=stored) as packed:
            archive = _Archive(path, cast("IO[bytes]", packed), names)
            return archive.unpack(root, min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * packed_bytes)))
    except FileNotFoundError:
        raise ParameterError(
            "LS210", f"--model (model_archive) '{path}'", "no such file", "Give an archive that linesmith export wrote."
        ) from None
    except (gzip.BadGzipFile, zlib.error, EOFError, tarfile.TarError, UnicodeError, IsADirectoryError):
        raise refused(path, "it is no gzip tar archive, or it is cut off") from None


class _Archive:
    """A tar stream that is read once, from its beginning.

    Args:
        path: of the archive, for messages.
        packed: the decompressed bytes.
        names: as in `unpack_members`.
    """

    def __init__(self, path: Path, packed: IO[bytes], names: re.Pattern[str]) -> None:
        self._path = path
        self._packed = packed
        self._names = names

    def unpack(self, root: Path, limit: int) -> dict[str, Any]:
        """Unpack all members.

        Args:
            root: the directory to unpack to.
            limit: most bytes of all members together.
        """
        headers = self._headers()
        first = next(headers, None)
        if first is None or first.name != MANIFEST or first.size > _MAX_MANIFEST:
            raise refused(self._path, f"it does not begin with a {MANIFEST}")
        manifest = self._manifest(b"".join(self._content(first.size)), limit)
        expected = dict(manifest["members"])
        for member in headers:
            facts = expected.pop(member.name, None)
            if facts is None or member.size != facts["bytes"]:
                raise refused(self._path, f"member '{member.name[:_NAME_CHARS]}' is not what its manifest lists")
            target = root / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb") as out:
                out.writelines(self._content(member.size))
            if sha256_file(target) != facts["sha256"]:
                raise refused(self._path, f"member '{member.name}' is damaged")
        if expected:
            raise refused(self._path, f"member '{min(expected)}' is missing")
        return manifest

    def _manifest(self, content: bytes, limit: int) -> dict[str, Any]:
        try:
            manifest = parse_json(content)
            if manifest["kind"] != KIND:
                raise ValueError("kind")
            members = manifest["members"]
            facts_are_plain = all(
                type(facts["bytes"]) is int and facts["bytes"] >= 0 and isinstance(facts["sha256"], str)
                for facts in members.values()
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            facts_are_plain = False
        if not facts_are_plain:
            raise refused(self._path, f"its {MANIFEST} is not one of ours")
        foreign = next((name for name in members if self._names.fullmatch(name) is None), None)
        if foreign is not None:
            raise refused(self._path, f"its manifest lists '{foreign[:_NAME_CHARS]}', which is no file of a model")
        check_format_version(manifest.get("format_version"), str(self._path))
        total = sum(facts["bytes"] for facts in members.values())
        if total > limit or len(members) > _MAX_MEMBERS:
            raise refused(
                self._path, f"it would unpack to {total:,} bytes in {len(members)} files, more than is allowed"
            )
        return cast("dict[str, Any]", manifest)

    def _headers(self) -> Iterator[tarfile.TarInfo]:
        """Yield the headers of the members, in order. The caller must read the content of each before it asks for the next.

        Only plain headers of regular files are accepted: an extended header could hide another name, or a gigabyte of text.
        """
        seen: set[str] = set()
        while True:
            block = self._exactly(_BLOCK)
            if block == b"\0" * _BLOCK:
                return
            member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.name.endswith("/"):
                raise refused(
                    self._path, f"member '{member.name[:_NAME_CHARS]}' is no regular file (type {member.type!r})"
                )
            if member.name != MANIFEST and self._names.fullmatch(member.name) is None:
                raise refused(self._path, f"member '{member.name[:_NAME_CHARS]}' is no file of a model")
            if member.name in seen:
                raise refused(self._path, f"member '{member.name}' stands in it twice")
            if member.size < 0 or len(seen) > _MAX_MEMBERS:
                raise refused(self._path, "it has too many members, or one of negative size")
            seen.add(member.name)
            yield member

    def _content(self, size: int) -> Iterator[bytes]:
        """Yield the content of a member in parts, and skip what pads it to whole blocks."""
        left = size
        while left:
            part = self._exactly(min(left, _CHUNK_BYTES))
            left -= len(part)
            yield part
        self._exactly(-size % _BLOCK)

    def _exactly(self, count: int) -> bytes:
        content = self._packed.read(count)
        if len(content) < count:
            raise EOFError
        return content
