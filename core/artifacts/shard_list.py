"""Lists of the shards of an output: in its manifest, or, where there are many, in a file of lines beside it.

A manifest is read whole, within limits that some 800,000 shards would pass. The file has one shard a line and is read line by
line; the manifest then holds its digest and the totals by format.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import atomic_path, open_regular
from linesmith.core.errors import DataError
from linesmith.core.parsing import parse_json

SHARDS_FILE = "_shards.jsonl"  # readers of data lakes pass over names that begin so
MOST_IN_MANIFEST = 10_000
_MOST_LINE_BYTES = 64 << 10
Shard = tuple[str, dict[str, Any]]  # name, relative to the manifest's directory; records, bytes and sha256


def list_shards(directory: str | Path, shards: Iterable[Shard]) -> dict[str, Any]:
    """Return the entries of a manifest that list shards, and write the file of lines where there are too many for it.

    Args:
        directory: of the manifest.
        shards: in order.
    """
    shards = list(shards)
    if len(shards) <= MOST_IN_MANIFEST:
        return {"outputs": dict(shards)}
    digest = hashlib.sha256()
    with atomic_path(Path(directory) / SHARDS_FILE) as temporary, open(temporary, "wb") as lines:
        for name, shard in shards:
            line = json.dumps({"name": name, **shard}, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
            digest.update(line)
            lines.write(line)
    listed = {"file": SHARDS_FILE, "sha256": digest.hexdigest(), "by_suffix": _totals(shards)}
    return {"outputs": {}, "shard_list": listed}


def iter_shards(directory: str | Path, manifest: Mapping[str, Any]) -> Iterator[Shard]:
    """Yield the shards that a manifest lists, in order.

    Args:
        directory: of the manifest.
        manifest: its content.

    Raises:
        DataError: LS201, the file of lines is missing or damaged, or is not the one that the manifest was written with.
    """
    listed = manifest.get("shard_list")
    if listed is None:
        yield from (manifest.get("outputs") or {}).items()
        return
    path, digest = Path(directory) / SHARDS_FILE, hashlib.sha256()
    try:
        with open_regular(path) as lines:
            while line := lines.readline(_MOST_LINE_BYTES):
                digest.update(line)
                shard = parse_json(line.decode())
                yield str(shard.pop("name")), shard
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(path) from None
    if digest.hexdigest() != listed.get("sha256"):
        raise _damaged(path)


def shard_totals(manifest: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Return the numbers of files, records and bytes of an output by suffix, without the dot, in order.

    Args:
        manifest: that of the output.
    """
    listed = manifest.get("shard_list")
    return _totals((manifest.get("outputs") or {}).items()) if listed is None else dict(listed["by_suffix"])


def _totals(shards: Iterable[Shard]) -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {}
    for name, shard in shards:
        total = totals.setdefault(name.rpartition(".")[2], {"files": 0, "records": 0, "bytes": 0})
        total["files"] += 1
        for key in ("records", "bytes"):
            total[key] += shard[key]
    return dict(sorted(totals.items()))


def _damaged(path: Path) -> DataError:
    found = f"the list of shards is missing or damaged: '{path}' is not the file that the manifest was written with"
    return DataError("LS201", None, found, "Run generate again with --overwrite.")
