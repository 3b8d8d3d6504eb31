"""The house itself: public names, rooms, packaging, and pages that must say what the code says."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import linesmith
from linesmith.options import flag_fields, our_flags
from linesmith.reference import configuration_markdown
from linesmith.rooms import ROOMS, check_rooms
from model.config import fields

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("linesmith", "pipelines", "transforms", "model", "model.evaluation", "model.tokenizers", "runners")
LONGEST = 400  # lines; 300 is the aim
CODE = re.compile(r"LS[1-4]\d\d")


def sources() -> list[Path]:
    return sorted(path for room in ("linesmith", *ROOMS) for path in (ROOT / room).rglob("*.py"))


def test_every_public_name_is_there():
    for name in linesmith.__all__:
        assert getattr(linesmith, name) is not None
    assert linesmith.LocalConfig is linesmith.TensorFlowConfig
    assert linesmith.train_rnn is linesmith.train
    assert set(linesmith._HOME) | {"__version__"} == set(linesmith.__all__)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trane'"):
        linesmith.trane


def test_rooms_are_found_beside_the_front_door():
    check_rooms(ROOT)


def test_a_package_that_shadows_a_room_is_named(tmp_path, monkeypatch):
    (tmp_path / "model_elsewhere").mkdir()
    (tmp_path / "model_elsewhere" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match=r"shadows Linesmith's package 'model_elsewhere'.*Rename or uninstall"):
        check_rooms(ROOT, ("model_elsewhere",))


def test_a_single_file_that_shadows_a_room_is_named(tmp_path, monkeypatch):
    (tmp_path / "runners_elsewhere.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match="shadows"):
        check_rooms(ROOT, ("runners_elsewhere",))


def test_a_missing_room_is_named():
    with pytest.raises(ImportError, match="'no_such_room' is missing"):
        check_rooms(ROOT, ("no_such_room",))


def test_the_wheel_names_every_package():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    there = {
        ".".join(p.parent.relative_to(ROOT).parts)
        for room in ("linesmith", *ROOMS)
        for p in (ROOT / room).rglob("__init__.py")
    }
    assert set(declared) == there == set(PACKAGES)


def test_every_setting_is_a_flag():
    assert set(flag_fields()) == set(fields()) - {"epoch_callback"}
    assert {"--input", "--output", "--num-lines", "--input-data-path", "--no-validation-split"} <= set(our_flags())


def test_the_configuration_page_is_what_the_code_says():
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert page == configuration_markdown(), "run: python -m linesmith.reference > docs/configuration.md"


def test_every_code_is_on_the_errors_page_and_no_other():
    used = {code for path in sources() for code in CODE.findall(path.read_text("utf-8"))}
    listed = {
        line.split("|")[1].strip()
        for line in (ROOT / "docs" / "errors.md").read_text("utf-8").splitlines()
        if line.startswith("| LS")
    }
    assert listed == used


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_small_and_say_what_they_are(path):
    text = path.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= LONGEST


def test_nothing_in_the_repository_names_a_machine():
    tracked = [
        *sources(),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "examples").glob("*"),
        ROOT / "README.md",
        ROOT / "requirements.lock",
    ]
    hits = [str(p) for p in tracked if re.search(r"/(home|root|wor[k])/|index-url|/simple\b", p.read_text("utf-8"))]
    assert hits == []


def test_only_the_supported_python_runs_this():
    assert sys.version_info[:2] == (3, 11)
