"""Run an installed Linesmith in a working directory whose files have the names of its rooms and raise on import.

    python tests/integration/hostile_directory.py DIRECTORY [--lines 400] [--records 60] [--demo-size] [--notebook FILE]

Tokenize, train, generate with `--workers 2` and a line validator, and evaluate: from a script, from `python -m linesmith` and
from a notebook kernel, each started in its own directory below DIRECTORY; then the notebook FILE, whose cells must print what it
says that they print. Uses no other file of the checkout, so that the interpreter of any environment can run it; the notebooks
need nbclient and ipykernel there.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# Names that a user's files may have.
MODULES = ("model", "runners", "core", "records", "pipelines", "transforms", "evaluation", "tests")
FOLDER = "model"
# Tag of a notebook's cell whose output differs between processors: only its number of lines is compared.
DIFFERS = "differs-between-processors"

PROGRAM = """
import linesmith

config = linesmith.TensorFlowConfig(**{settings!r})
reports = linesmith.run(config, ["--workers", "2"] if {workers} else [])
assert [report.stage for report in reports] == ["tokenize", "train", "generate", "evaluate"], reports
assert reports[2].counts["records"] == {records}, reports[2]
"""
RULES = '''
def color(line):
    """Accept a line whose second field is a known color."""
    return line.split(",")[1] in ("red", "green", "blue")
'''


def make_directory(directory: Path, lines: int) -> None:
    """Write the input, a validator, and files that raise when they are imported.

    Args:
        directory: the working directory, which is created.
        lines: records of the input.
    """
    directory.mkdir(parents=True)
    for name in MODULES:
        (directory / f"{name}.py").write_text(
            f"raise RuntimeError('{name}.py of the working directory was imported')\n"
        )
    (directory / FOLDER).mkdir()
    (directory / FOLDER / "notes.txt").write_text("not a package\n")
    (directory / "colors.py").write_text(RULES)
    draw = random.Random(0)
    colors = ["red", "green", "blue"]
    with open(directory / "rides.csv", "w") as out:
        for _ in range(lines):
            out.write(f"{draw.randint(1, 9)},{draw.choice(colors)},{draw.randint(10, 99)}\n")


def settings(directory: Path, records: int, small: bool) -> dict[str, object]:
    """Return the settings of a run in a working directory."""
    network: dict[str, object] = {"epochs": 3}
    if small:
        network = {
            "rnn_units": 32,
            "embedding_dim": 16,
            "rnn_layers": 1,
            "epochs": 15,
            "batch_size": 16,
            "learning_rate": 0.01,
        }
    return {
        "input_data_path": "rides.csv",
        "checkpoint_dir": "out",
        "field_delimiter": ",",
        "vocab_size": 0,
        "gen_lines": records,
        "unit_size": max(1, records // 4),  # so that both workers have something to do
        "line_validator": f"{directory / 'colors.py'}:color",
        "seed": 3,
        **network,
    }


def flags(values: dict[str, object]) -> list[str]:
    """Return settings as arguments of a command line."""
    names = {"input_data_path": "input", "checkpoint_dir": "output", "gen_lines": "num-lines"}
    pairs = [(names.get(name, name.replace("_", "-")), value) for name, value in values.items()]
    return [word for name, value in pairs for word in (f"--{name}", str(value))]


def call(command: list[str], directory: Path) -> None:
    """Run a command in a directory; if it fails, print its output and exit."""
    process = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if process.returncode:
        print(process.stdout[-4000:], process.stderr[-6000:], sep="\n")
        raise SystemExit(f"{command[:3]} ended with {process.returncode}")


def run_script(directory: Path, program: str, _values: dict[str, object]) -> None:
    (directory / "script.py").write_text(program)
    call([sys.executable, "script.py"], directory)


def run_module(directory: Path, _program: str, values: dict[str, object]) -> None:
    """Run every stage by a command of its own, then evaluate three files."""
    for stage in ("tokenize", "train", "generate", "evaluate"):
        arguments = flags(values) if stage != "evaluate" else ["--output", "out", "--overwrite"]
        workers = ["--workers", "2"] if stage in ("tokenize", "generate") else []
        call([sys.executable, "-m", "linesmith", stage, *arguments, *workers], directory)


def run_notebook(directory: Path, program: str, _values: dict[str, object]) -> None:
    import nbformat

    execute(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(program)]), directory)


def run_stored_notebook(directory: Path, path: Path) -> None:
    """Execute a notebook's cells in a new kernel, and compare what they print with the outputs that the file holds.

    Of a result that is shown as a page only the forms are compared: HTML and plain text.
    """
    import nbformat

    stored = nbformat.read(path, as_version=4)
    executed = copy.deepcopy(stored)
    execute(executed, directory)
    for before, after in zip(stored.cells, executed.cells, strict=True):
        expected, found = printed(before), printed(after)
        if DIFFERS in before.metadata.get("tags", []):
            expected, found = ([f"{len(lines)} lines"] for lines in (expected, found))
        if found != expected:
            raise SystemExit(f"a cell of {path.name} printed {found} instead of {expected}:\n{before.source}")
        if (found := result_forms(after)) != (expected := result_forms(before)):
            raise SystemExit(f"a cell of {path.name} showed {found} instead of {expected}:\n{before.source}")


def execute(notebook: Any, directory: Path) -> None:
    """Execute a notebook's cells in a new kernel that is started in a directory."""
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(directory)}}).execute()


def printed(cell: Any) -> list[str]:
    """Return the lines that a cell has written to standard output."""
    outputs = [output for output in cell.get("outputs", []) if output.get("name") == "stdout"]
    return "".join(output["text"] for output in outputs).splitlines()


def result_forms(cell: Any) -> list[str]:
    """Return the MIME types of a cell's result that is shown as a page; others are not kept in the notebooks."""
    results = [output["data"] for output in cell.get("outputs", []) if output["output_type"] == "execute_result"]
    return sorted(form for result in results if "text/html" in result for form in result)


METHODS = {
    "a script": run_script,
    "python -m linesmith": run_module,
    "a notebook": run_notebook,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--lines", type=int, default=400)
    parser.add_argument("--records", type=int, default=60)
    parser.add_argument("--demo-size", action="store_true", help="8,000 lines, 600 records, the default network")
    parser.add_argument("--only", choices=sorted(METHODS), action="append", help="methods to run; by default all")
    parser.add_argument("--notebook", type=Path, help="a notebook to execute as well")
    options = parser.parse_args()
    lines, records = (8_000, 600) if options.demo_size else (options.lines, options.records)
    for number, (name, method) in enumerate(METHODS.items()):
        if options.only and name not in options.only:
            continue
        start = time.monotonic()
        directory = (options.directory / f"directory-{number}").resolve()
        make_directory(directory, lines)
        values = settings(directory, records, not options.demo_size)
        program = PROGRAM.format(settings=values, records=records, workers=True)
        method(directory, program, values)
        manifest = json.loads((directory / "out" / "synthetic" / "manifest.json").read_text("utf-8"))
        assert manifest["counts"]["records"] == records, manifest["counts"]
        assert (directory / "out" / "report" / "index.html").is_file()
        print(f"ok   {time.monotonic() - start:5.1f} s  {name}", flush=True)
    if options.notebook is not None:
        start = time.monotonic()
        directory = (options.directory / "directory-notebook").resolve()
        make_directory(directory, lines)
        run_stored_notebook(directory, options.notebook)
        print(f"ok   {time.monotonic() - start:5.1f} s  {options.notebook.name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
