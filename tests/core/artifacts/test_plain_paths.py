"""Directories whose names TensorFlow would take for patterns, and JSON with names that are not UTF-8."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.artifacts.plain_paths import is_plain_path, plain_alias


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?", "a{b}", "a\\b", os.fsdecode(b"a\xff")])
def test_a_link_leads_to_a_directory_with_another_name(name, tmp_path, monkeypatch):
    directory = tmp_path / name
    directory.mkdir()
    monkeypatch.chdir(tmp_path)
    with plain_alias(Path(name)) as alias:
        assert is_plain_path(alias)
        (alias / "file").write_text("x")
    assert not alias.parent.exists()
    assert (directory / "file").read_text() == "x"


def test_other_directories_are_used_as_they_are(tmp_path):
    with plain_alias(tmp_path / "a b,é#%") as alias:
        assert alias == tmp_path / "a b,é#%"


def test_a_name_that_is_not_utf8_is_written_to_json_and_read_again(tmp_path):
    content = {os.fsdecode(b"n\xff\xc3\xa9.csv"): ["é", "\U0001f600", "\\udcff"]}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json", "a file") == content
    assert (tmp_path / "a.json").read_bytes().decode("utf-8")
    plain = {"a": "é\n"}
    write_json(tmp_path / "b.json", plain)
    assert (tmp_path / "b.json").read_text("utf-8") == json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
