"""What an import loads. Which room may import which is checked by import-linter (`make lint`)."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Mapping, Set
from pathlib import Path

import grimp
import pytest

from tests.helpers.tiny_model import tiny_run

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "records", "model", "evaluation", "transforms", "runners", "pipelines")
HEAVY = ("tensorflow", "keras", "tensorflow_text", "tensorflow_transform", "tfx_bsl", "tf_keras")


def modules_loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd="/", check=True
    )
    return set(done.stdout.split())


def test_importing_linesmith_loads_no_heavy_package():
    statement = "import linesmith, linesmith.cli.commands.definitions, linesmith.pipelines.workflow\n"
    statement += "linesmith.TensorFlowConfig, linesmith.GenText"
    assert modules_loaded_by(statement).isdisjoint({*HEAVY, "apache_beam", "numpy", "airportsdata", "google.protobuf"})


def test_help_and_version_load_no_settings():
    for words in (["--help"], ["--version"], []):
        loaded = modules_loaded_by(f"from linesmith.cli.app import run_command_line\nrun_command_line({words})")
        assert "linesmith.cli.app" in loaded
        assert loaded.isdisjoint({*HEAVY, "apache_beam", "numpy", "pydantic", "yaml", "linesmith.cli.options"}), words


def test_generate_and_evaluate_load_neither_tensorflow_nor_what_beam_has_for_clouds(tmp_path):
    """A short job is mostly imports: TensorFlow alone takes three times as long as everything else."""
    tiny_run(tmp_path)
    files = str(tmp_path / "synthetic" / "part-*")
    commands = [
        ["generate", "--output", str(tmp_path), "--num-lines", "30", "--no-field-aware"],
        ["evaluate", "--real", files, "--synthetic", files, "--output", str(tmp_path / "judged")],
    ]
    for words in commands:
        run = f"from linesmith.cli.app import run_command_line\nprint(run_command_line({words}))"
        loaded = modules_loaded_by(run)
        assert "0" in loaded, words  # the exit code
        assert "apache_beam" in loaded
        assert loaded.isdisjoint({*HEAVY, "google.cloud.storage", "boto3", "IPython"}), words
        assert len(loaded) < 4_000


def test_a_package_is_absent_only_while_the_block_imports(monkeypatch):
    from linesmith.core.import_blocker import import_without

    monkeypatch.delitem(sys.modules, "wave", raising=False)
    before = list(sys.meta_path)
    with import_without("wave", "shelve"), pytest.raises(ImportError, match="wave"):
        importlib.import_module("wave")
    assert sys.meta_path == before
    assert importlib.import_module("wave").open


@pytest.mark.slow
def test_workers_import_the_transforms_without_tensorflow():
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "transforms").rglob("*.py")]
    assert len(names) > 15
    loaded = modules_loaded_by("import " + ", ".join(f"linesmith.{name.removesuffix('.__init__')}" for name in names))
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("room", ROOMS)
def test_the_error_of_importing_a_room_by_its_bare_name_names_the_right_import(room):
    code = f"import {room}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"import linesmith.{room}")


def import_graph(package: str) -> dict[str, set[str]]:
    """Return the modules that each module imports, also inside functions; imports for type checkers alone do not count."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def import_cycles(edges: Mapping[str, Set[str]]) -> list[list[str]]:
    """Return the groups of modules that import one another, directly or through others (strongly connected components)."""
    reachable: dict[str, set[str]] = {}
    for module in edges:
        seen: set[str] = set()
        to_visit = set(edges[module])
        while to_visit:
            seen |= to_visit
            to_visit = {imported for name in to_visit for imported in edges[name]} - seen
        reachable[module] = seen
    cycles = {
        frozenset(other for other in reachable[module] if module in reachable[other])
        for module in edges
        if module in reachable[module]
    }
    return sorted(sorted(cycle) for cycle in cycles)


def test_there_are_no_circular_imports():
    assert import_cycles(import_graph("linesmith")) == []


def test_a_circular_import_is_found(tmp_path, monkeypatch):
    """Three modules form a cycle, with one import inside a function; an import for type checkers alone forms no cycle."""
    package = tmp_path / "planted"
    package.mkdir()
    sources = {
        "__init__": "",
        "a": "from planted import b",
        "b": "def use():\n    from planted.c import name",
        "c": "import planted.a\nname = 1",
        "d": "from planted.a import b\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import planted.e",
        "e": "import planted.d",
    }
    for name, source in sources.items():
        (package / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert import_cycles(import_graph("planted")) == [["planted.a", "planted.b", "planted.c"]]
