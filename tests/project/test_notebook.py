"""Linesmith in a notebook. `make test-wheel` executes the example in a new kernel and compares what it prints."""

from __future__ import annotations

import importlib
from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "quickstart.ipynb"


@pytest.mark.integration
def test_beam_can_import_what_it_imports_where_ipython_runs():
    # Without pandas, and beside pandas 3, this fails with Beam 2.70, and so does every pipeline of a notebook.
    importlib.import_module("apache_beam.dataframe.convert")
    importlib.import_module("apache_beam.runners.interactive.interactive_environment")


def test_the_quickstart_holds_small_outputs_of_one_run_from_the_top():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    # Messages of libraries and paths belong to the machine on which it was run.
    assert all(output.output_type == "stream" and output.name == "stdout" for output in outputs)
    assert len(outputs) == len(cells)
    assert sum(len(output.text) for output in outputs) < 500
