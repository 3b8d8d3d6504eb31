"""What an import loads. Which room may import which is checked by import-linter (`make lint`)."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "records", "model", "evaluation", "transforms", "runners", "pipelines")
HEAVY = ("tensorflow", "keras", "tensorflow_text", "tensorflow_transform", "tfx_bsl", "tf_keras")


def modules_loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd="/", check=True
    )
    return set(done.stdout.split())


def test_the_front_door_opens_without_anything_heavy():
    statement = "import linesmith, linesmith.cli.app, linesmith.pipelines.workflow; linesmith.TensorFlowConfig, linesmith.GenText"
    assert modules_loaded_by(statement).isdisjoint({*HEAVY, "apache_beam", "numpy", "airportsdata", "google.protobuf"})


def test_a_package_is_absent_only_while_the_block_imports(monkeypatch):
    from linesmith.cli.import_blocker import import_without

    monkeypatch.delitem(sys.modules, "wave", raising=False)
    before = list(sys.meta_path)
    with import_without("wave", "shelve"), pytest.raises(ImportError, match="wave"):
        importlib.import_module("wave")
    assert sys.meta_path == before
    assert importlib.import_module("wave").open


def test_workers_import_the_transforms_without_tensorflow():
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "transforms").rglob("*.py")]
    assert len(names) > 15
    loaded = modules_loaded_by("import " + ", ".join(f"linesmith.{name.removesuffix('.__init__')}" for name in names))
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imported_by_its_bare_name_says_the_right_one(room):
    code = f"import {room}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"import linesmith.{room}")
