"""Linesmith in a notebook: what the examples hold, and that new kernels print it. `make notebooks` executes and saves them.

`make test-wheel` executes the quickstart with an installed wheel.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import nbformat
import pytest

from tests.integration.hostile_directory import make_directory, run_stored_notebook

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOKS = sorted(path.stem for path in EXAMPLES.glob("*.ipynb"))
# What each needs beside the base installation.
LIBRARIES = {
    "beam": ("tensorflow_transform",),
    "data_lake": ("tensorflow_transform", "duckdb", "pyiceberg"),
    "privacy": ("tensorflow_transform", "dp_accounting"),
    "quickstart": ("tensorflow_transform", "sklearn", "matplotlib"),
}
# A folder of a machine, a time, or an address in memory: none of them is a result.
_OF_A_MACHINE = re.compile(r"/(tmp|home|root|work|usr|var)/|\d\d:\d\d:\d\d|0x[0-9a-f]{6,}|\x1b\[")


@pytest.mark.integration
def test_beam_can_import_what_it_imports_where_ipython_runs():
    # Without pandas, and beside pandas 3, this fails with Beam 2.70, and so does every pipeline of a notebook.
    importlib.import_module("apache_beam.dataframe.convert")
    importlib.import_module("apache_beam.runners.interactive.interactive_environment")


def test_the_notebooks_are_there():
    assert sorted(LIBRARIES) == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_holds_small_outputs_of_one_run_from_the_top(name):
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    # Messages of libraries and paths belong to the machine on which it was run.
    printed = [output for output in outputs if output.output_type == "stream" and output.name == "stdout"]
    shown = [output for output in outputs if output.output_type == "execute_result"]
    assert len(printed) + len(shown) == len(outputs) >= len(cells) - 2
    text = "".join(output.text for output in printed)
    assert len(text) < 1000 and _OF_A_MACHINE.search(text) is None
    # The page of a report, whose plots are most of its size.
    pages = [output.data["text/html"] for output in shown]
    assert all(len(page) < 250_000 and "<iframe" in page and _OF_A_MACHINE.search(page) is None for page in pages)


def test_the_quickstart_shows_its_report():
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    results = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert [list(data) for data in results] == [["text/html", "text/plain"]]
    assert results[0]["text/plain"].startswith("<linesmith.Report: closeness 0.")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_begins_with_what_it_needs_and_how_a_hosted_one_gets_it(name):
    first = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4).cells[0].source
    (extras,) = set(re.findall(r"linesmith\[([a-z,]+)\]", first))
    assert first.startswith("# ") and f"`%pip install 'linesmith[{extras}]'" in first


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_beside_hostile_files_and_prints_what_it_says(name, tmp_path):
    for library in LIBRARIES[name]:
        pytest.importorskip(library)
    make_directory(tmp_path / "work", 10)
    run_stored_notebook(tmp_path / "work", EXAMPLES / f"{name}.ipynb")
