"""Imports run one way: linesmith → pipelines → {transforms, runners} → model. The checker is itself shown to be able to fail."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BELOW = {
    "linesmith": ("linesmith", "pipelines", "transforms", "runners", "model"),
    "pipelines": ("pipelines", "transforms", "runners", "model"),
    "transforms": ("transforms", "model"),
    "runners": ("runners", "model.config", "model.errors"),
    "model": ("model",),
}
ROOMS = tuple(BELOW)
HEAVY = ("tensorflow", "keras", "tensorflow_text", "tensorflow_transform", "tfx_bsl", "tf_keras")


def imported(tree: ast.AST) -> list[str]:
    """Dotted names of everything imported anywhere below a node; `from a import b` gives `a.b`."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def at_module_level(tree: ast.Module) -> list[str]:
    """What is imported when the module is: not inside functions, and not for type checkers only."""
    names = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        names += imported(node)
    return names


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def violations(room: str, source: str) -> list[str]:
    """What a module of a room imports although it must not."""
    tree = ast.parse(source)
    wrong = [name for name in imported(tree) if within(name, ROOMS) and not within(name, BELOW[room])]
    if room == "model":
        wrong += [name for name in imported(tree) if within(name, ("apache_beam",))]
    if room == "transforms":
        wrong += [name for name in at_module_level(tree) if within(name, HEAVY)]
    return wrong


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_one_way(room):
    assert modules(room)
    found = {str(path.relative_to(ROOT)): violations(room, path.read_text("utf-8")) for path in modules(room)}
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("model", "import apache_beam as beam"),
        ("model", "def f():\n    from apache_beam.io import ReadFromText"),
        ("model", "from pipelines.report import StageReport"),
        ("transforms", "import tensorflow as tf"),
        ("transforms", "try:\n    from tensorflow import keras\nexcept ImportError:\n    pass"),
        ("transforms", "import runners"),
        ("runners", "from model.run_dir import locked"),
        ("runners", "from model import run_dir"),
        ("pipelines", "def f():\n    import linesmith.cli"),
    ],
)
def test_a_planted_violation_is_found(room, source):
    assert violations(room, source)


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("transforms", "def setup():\n    import tensorflow"),
        ("transforms", "if TYPE_CHECKING:\n    import tensorflow"),
        ("runners", "from model.errors import ParameterError"),
        ("model", "import tensorflow"),
    ],
)
def test_what_is_allowed_is_not_flagged(room, source):
    assert violations(room, source) == []


def modules_loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd="/", check=True
    )
    return set(done.stdout.split())


def test_the_front_door_opens_without_anything_heavy():
    statement = "import linesmith, linesmith.cli, pipelines.workflow; linesmith.TensorFlowConfig, linesmith.GenText"
    assert modules_loaded_by(statement).isdisjoint({*HEAVY, "apache_beam", "numpy", "airportsdata", "google.protobuf"})


def test_a_package_is_absent_only_while_the_block_imports(monkeypatch):
    from model.lean_import import import_without

    monkeypatch.delitem(sys.modules, "wave", raising=False)
    before = list(sys.meta_path)
    with import_without("wave", "shelve"), pytest.raises(ImportError, match="wave"):
        importlib.import_module("wave")
    assert sys.meta_path == before
    assert importlib.import_module("wave").open


def test_workers_import_the_transforms_without_tensorflow():
    names = ["transforms." + path.stem for path in modules("transforms") if path.stem != "__init__"]
    assert modules_loaded_by("import " + ", ".join(["transforms", *names])).isdisjoint(HEAVY)
