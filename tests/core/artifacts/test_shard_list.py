"""Lists of shards: in the manifest while they are few, otherwise in a file of lines that no limit on JSON applies to."""

from __future__ import annotations

import json

import pytest

from linesmith.core.artifacts import shard_list
from linesmith.core.artifacts.manifest import read_manifest, write_manifest
from linesmith.core.artifacts.shard_list import MOST_IN_MANIFEST, SHARDS_FILE, iter_shards, list_shards, shard_totals
from linesmith.core.errors import DataError


def shards(count: int):
    return [
        (f"x=é/part-{n:06d}.{'txt' if n % 3 else 'avro'}", {"records": n, "bytes": 2 * n, "sha256": "0" * 64})
        for n in range(count)
    ]


@pytest.mark.parametrize("most", [100, 99, 0])
def test_both_lists_are_read_alike(most, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_list, "MOST_IN_MANIFEST", most)
    entries = list_shards(tmp_path, iter(shards(100)))
    assert (tmp_path / SHARDS_FILE).exists() is (most < 100)
    assert list(iter_shards(tmp_path, entries)) == shards(100)
    totals = shard_totals(entries)
    assert totals == shard_totals({"outputs": dict(shards(100))})
    assert list(totals) == ["avro", "txt"] and totals["avro"]["files"] == 34
    assert totals["avro"]["records"] + totals["txt"]["records"] == sum(range(100))


def test_nothing_is_listed():
    assert list(iter_shards("nowhere", {})) == [] and shard_totals({}) == {}


def test_a_manifest_stays_small(tmp_path):
    many = shards(MOST_IN_MANIFEST + 1)
    write_manifest(tmp_path, "generate", list_shards(tmp_path, many))
    manifest = read_manifest(tmp_path)
    assert manifest["outputs"] == {} and (tmp_path / "manifest.json").stat().st_size < 2000
    assert list(iter_shards(tmp_path, manifest)) == many
    write_manifest(tmp_path, "generate", list_shards(tmp_path, many[1:]))
    assert read_manifest(tmp_path)["outputs"] == dict(many[1:])


@pytest.mark.parametrize("damage", ["missing", "cut", "changed", "no JSON", "no name", "a list", "a long line"])
def test_a_damaged_list_is_refused(damage, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_list, "MOST_IN_MANIFEST", 0)
    entries = list_shards(tmp_path, shards(5))
    path = tmp_path / SHARDS_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    changed = {
        "cut": lines[:-1],
        "changed": [lines[0].replace(b'"records": 0', b'"records": 9'), *lines[1:]],
        "no JSON": [b"{\n", *lines],
        "no name": [b"{}\n", *lines],
        "a list": [json.dumps([1]).encode() + b"\n", *lines],
        "a long line": [b" " * (1 << 20), *lines],
    }
    path.unlink()
    if damage in changed:
        path.write_bytes(b"".join(changed[damage]))
    with pytest.raises(DataError, match=r"LS201.*list of shards"):
        list(iter_shards(tmp_path, entries))
