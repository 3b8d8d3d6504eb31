"""Run an installed Linesmith in a working directory whose files have the names of its rooms and raise on import.

    python tests/integration/hostile_directory.py DIRECTORY [--lines 400] [--records 60] [--demo-size]

Tokenize, train, generate with `--workers 2` and a line validator, and evaluate: from a script, from `python -m linesmith`, from
the console script and from a notebook kernel, each started in a directory of its own below DIRECTORY. Uses nothing of the
checkout, so that the interpreter of any environment can run it; the notebook needs nbclient and ipykernel there.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path

# Names that a person's own files may well have.
MODULES = ("model", "runners", "core", "records", "pipelines", "transforms", "evaluation", "tests")
FOLDER = "model"

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


def make_directory(place: Path, lines: int) -> None:
    """Write the input, a validator, and files that raise when they are imported.

    Args:
        place: the working directory; created.
        lines: records of the input.
    """
    place.mkdir(parents=True)
    for name in MODULES:
        (place / f"{name}.py").write_text(f"raise RuntimeError('{name}.py of the working directory was imported')\n")
    (place / FOLDER).mkdir()
    (place / FOLDER / "notes.txt").write_text("not a package\n")
    (place / "colors.py").write_text(RULES)
    draw = random.Random(0)
    colors = ["red", "green", "blue"]
    with open(place / "rides.csv", "w") as out:
        for _ in range(lines):
            out.write(f"{draw.randint(1, 9)},{draw.choice(colors)},{draw.randint(10, 99)}\n")


def settings(place: Path, records: int, small: bool) -> dict[str, object]:
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
        "line_validator": f"{place / 'colors.py'}:color",
        "seed": 3,
        **network,
    }


def flags(values: dict[str, object]) -> list[str]:
    """Return settings as words of a command line."""
    names = {"input_data_path": "input", "checkpoint_dir": "output", "gen_lines": "num-lines"}
    pairs = [(names.get(name, name.replace("_", "-")), value) for name, value in values.items()]
    return [word for name, value in pairs for word in (f"--{name}", str(value))]


def call(command: list[str], place: Path) -> None:
    """Run a command in a directory; print what it wrote and end where it fails."""
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-6000:], sep="\n")
        raise SystemExit(f"{command[:3]} ended with {done.returncode}")


def run_script(place: Path, program: str, _values: dict[str, object]) -> None:
    (place / "script.py").write_text(program)
    call([sys.executable, "script.py"], place)


def run_module(place: Path, _program: str, values: dict[str, object]) -> None:
    """Run every stage by a command of its own, then evaluate three files."""
    for stage in ("tokenize", "train", "generate", "evaluate"):
        words = flags(values) if stage != "evaluate" else ["--output", "out", "--overwrite"]
        workers = ["--workers", "2"] if stage in ("tokenize", "generate") else []
        call([sys.executable, "-m", "linesmith", stage, *words, *workers], place)


def run_console_script(place: Path, _program: str, values: dict[str, object]) -> None:
    call([str(Path(sys.executable).with_name("linesmith")), "run", *flags(values), "--workers", "2"], place)


def run_notebook(place: Path, program: str, _values: dict[str, object]) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(program)])
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(place)}}).execute()


WAYS = {
    "a script": run_script,
    "python -m linesmith": run_module,
    "the console script": run_console_script,
    "a notebook": run_notebook,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--lines", type=int, default=400)
    parser.add_argument("--records", type=int, default=60)
    parser.add_argument("--demo-size", action="store_true", help="8,000 lines, 600 records, the default network")
    parser.add_argument("--only", choices=sorted(WAYS), action="append", help="ways to run; by default all")
    asked = parser.parse_args()
    lines, records = (8_000, 600) if asked.demo_size else (asked.lines, asked.records)
    for number, (name, way) in enumerate(WAYS.items()):
        if asked.only and name not in asked.only:
            continue
        start = time.monotonic()
        place = (asked.directory / f"way-{number}").resolve()
        make_directory(place, lines)
        values = settings(place, records, not asked.demo_size)
        program = PROGRAM.format(settings=values, records=records, workers=True)
        way(place, program, values)
        made = json.loads((place / "out" / "synthetic" / "manifest.json").read_text("utf-8"))
        assert made["counts"]["records"] == records, made["counts"]
        assert (place / "out" / "report" / "index.html").is_file()
        print(f"ok   {time.monotonic() - start:5.1f} s  {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
