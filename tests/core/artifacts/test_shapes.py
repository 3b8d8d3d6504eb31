"""Files of a run directory that somebody else made: an entry of another type is refused, and so is what is no file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from linesmith.core.artifacts.files import open_regular, read_json, reading
from linesmith.core.artifacts.history import COLUMNS, read_history
from linesmith.core.artifacts.lease import LEASE_FILE, wait_for_lease
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.other_kind import files_of_other_kind
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.artifacts.shapes import Audit, Claim, CountedManifest, ManifestShape, RecordsManifest, Statistics
from linesmith.core.artifacts.stored_arrays import load_arrays
from linesmith.core.errors import DataError
from linesmith.model.privacy.ledger import read_ledger
from linesmith.records.input.tfrecord_files import TFRecordError, iter_tfrecords
from tests.helpers.audit_report import audit_body

SPLITS = {"train": {"records": 3, "tokens": 9}}
CLAIM = {"epsilon": 1.5, "delta": 1e-6, "unit": "one record", "adjacency": "add or remove one record"}
WRONG: list[tuple[Any, dict[str, Any], str, Any]] = [
    (ManifestShape, {}, "settings", []),
    (ManifestShape, {}, "outputs", "x"),
    (ManifestShape, {}, "columns", [1]),
    (ManifestShape, {}, "model", None),
    (ManifestShape, {}, "complete", "no"),
    (RecordsManifest, {}, "counts", {"attempts": -1}),
    (RecordsManifest, {}, "counts", {"valid_rate": float("inf")}),
    (RecordsManifest, {}, "counts", {"invalid_by_reason": {"length": "many"}}),
    (CountedManifest, {"counts": {"splits": SPLITS, "vocab_size": 5}}, "counts", []),
    (CountedManifest, {"counts": {"splits": SPLITS, "vocab_size": 5}}, "counts", {"splits": {}, "vocab_size": 5}),
    (CountedManifest, {"counts": {"splits": SPLITS, "vocab_size": 5}}, "counts", {"splits": SPLITS, "vocab_size": "5"}),
    (CountedManifest, {"counts": {"splits": SPLITS, "vocab_size": 5}}, "counts", {"splits": SPLITS, "vocab_size": 10**400}),
    (Statistics, {"length_tokens": {"histogram": [[8, 3]]}}, "length_tokens", {"histogram": [[8]]}),
    (Claim, CLAIM, "epsilon", None),
    (Claim, CLAIM, "epsilon", float("nan")),
    (Claim, CLAIM, "unit", 1),
    (Audit, audit_body(), "text", {}),
    (Audit, audit_body(), "claim", {"epsilon": "much"}),
    (Audit, audit_body(), "gradients", 1),
    (Audit, audit_body(), "verdict", None),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "right", "name", "value"), WRONG)
def test_an_entry_of_another_type_is_refused(
    shape: Any, right: dict[str, Any], name: str, value: Any, tmp_path: Path
) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps({**right, "more": 1}))
    assert read_json(file, "a file", shape) == {**right, "more": 1}
    file.write_text(json.dumps({**right, name: value}))
    with pytest.raises(DataError, match=r"LS201: a file is damaged: .* lacks an entry"):
        read_json(file, "a file", shape)


@pytest.mark.parametrize("content", ["[]", "1", '{"format_version": 1, "settings": "\\ud800"}', "{", "[" * 200])
def test_a_manifest_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DataError, match="LS201"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "directory", "device", "link to itself"])
def test_what_is_no_file_is_refused_and_not_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "x")
    with pytest.raises(OSError):
        open_regular(path)
    with pytest.raises(DataError, match="LS201"):
        read_json(path, "a file")
    with pytest.raises(DataError, match="LS214"):
        load_arrays(path)
    with pytest.raises(TFRecordError):
        list(iter_tfrecords(path, 5))


def test_a_history_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "model_history.csv"
    assert read_history(path) == []
    head = ",".join(COLUMNS)
    path.write_text(f"{head}\n0,2.5,,,,,,1\n")
    row = read_history(path)[0]
    assert (row["loss"], row["accuracy"], row["best"]) == (2.5, None, 1.0)
    for content in (b"a,b\n1,2\n", b"\xff", f"{head}\n0,x,,,,,,1\n".encode(), f"{head}\n0,\0,,,,,,1\n".encode()):
        path.write_bytes(content)
        with pytest.raises(DataError, match="LS201: the history"):
            read_history(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    assert path in files_of_other_kind(RunDirectory(tmp_path))  # of neither kind


@pytest.mark.parametrize("entry", [{"pid": "1"}, {"pid": -1}, {"pid": 10**30}, {"number": None}])
def test_a_lease_of_other_entries_is_refused(entry: dict[str, Any], tmp_path: Path) -> None:
    claim = {"number": 1, "owner": "x", "host": "elsewhere", "pid": 5, "renewed": 0}
    (tmp_path / LEASE_FILE).write_text(json.dumps({**claim, **entry}))
    with pytest.raises(DataError, match="LS201"):
        wait_for_lease(tmp_path)


EVENT = {"noise_multiplier": 1.0, "count": 2, "sample_rate": 0.5}
ENTRY = {"run": "r", "begun": "t", "events": [EVENT], "delta": 1e-6, "epsilon": 2.0}


@pytest.mark.parametrize(
    "entry",
    [
        {**ENTRY, "epsilon": float("nan")},
        {**ENTRY, "epsilon": "2"},
        {**ENTRY, "events": [{**EVENT, "noise_multiplier": "1"}]},
        {**ENTRY, "events": [{**EVENT, "count": -1}]},
        {**ENTRY, "events": [{**EVENT, "sample_rate": 2.0}]},
        {**ENTRY, "events": [{**EVENT, "more": 2.0}]},
        {**ENTRY, "more": 1},
        [],
    ],
)
def test_an_entry_of_a_ledger_is_read_as_it_is_or_not_at_all(entry: Any, tmp_path: Path) -> None:
    path = tmp_path / "spent.json"
    path.write_text(json.dumps({"format_version": 1, "datasets": {"a": [ENTRY]}}))
    assert [one.run for one in read_ledger(path, "a")] == ["r"]
    path.write_text(json.dumps({"format_version": 1, "datasets": {"a": [ENTRY, entry]}}))
    with pytest.raises(DataError, match="LS306"):
        read_ledger(path, "a")


@pytest.mark.parametrize("use", [lambda: {}["x"], lambda: 1 + "a", lambda: None.x, lambda: int("x")])
def test_a_use_of_a_missing_entry_is_told_as_damage(use: Any) -> None:
    with pytest.raises(DataError, match="LS201: the report is damaged: 'x'"), reading("x", "the report"):
        use()
