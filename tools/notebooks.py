"""Execute the notebooks of `examples/` from clean kernels, and save what their cells print.

    python -m tools.notebooks [NAME …]

Each runs in an empty directory of its own with files that raise where they are imported by mistake (`model.py` and others), as
the tests do. Outputs of libraries that are no result, such as warnings, are left out; a cell that fails ends the command.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat

from tests.integration.hostile_directory import execute, make_directory

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run_notebook(path: Path) -> None:
    """Execute a notebook and save its outputs."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "work"
        make_directory(directory, 10)
        execute(notebook, directory)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times of cells
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _is_result(output)]
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def _is_result(output: nbformat.NotebookNode) -> bool:
    """Return whether an output is printed text or a page: a result without one, as of `subprocess.run`, names the machine."""
    shows_page = output.output_type == "execute_result" and "text/html" in output.data
    return output.get("name") == "stdout" or shows_page


def main() -> None:
    """Run the notebooks that are named, or all."""
    names = sys.argv[1:] or sorted(path.stem for path in EXAMPLES.glob("*.ipynb"))
    for name in names:
        run_notebook(EXAMPLES / f"{name}.ipynb")
        sys.stdout.write(f"{name}: executed and saved\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
