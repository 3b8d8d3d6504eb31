"""Bad input through the command line: one paragraph naming option, value and remedy, exit code 2, and nothing lost."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from linesmith.cli import app as cli
from linesmith.cli import console
from linesmith.core.artifacts.files import sha256_tree

pytestmark = pytest.mark.integration

SMALL = [
    "--field-delimiter",
    ",",
    "--vocab-size",
    "0",
    "--epochs",
    "1",
    "--rnn-units",
    "8",
    "--embedding-dim",
    "8",
    "--rnn-layers",
    "1",
    "--batch-size",
    "8",
]
LINES = "".join(f"{number % 10},{('red', 'green', 'blue')[number % 3]},{number}\n" for number in range(150))


@pytest.fixture(autouse=True)
def _keep_log_levels(monkeypatch):
    """Leave out what the command line changes in its process for good, such as log levels."""
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)


def line(*arguments: object) -> int:
    return cli.run_command_line([str(word) for word in arguments])


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Return a complete run over a small file."""
    place = tmp_path_factory.mktemp("finished")
    (place / "input.txt").write_text(LINES)
    arguments = ["run", "--input", place / "input.txt", "--output", place / "out", *SMALL, "--num-lines", "3"]
    assert line(*arguments) == 0
    return place / "out"


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def refused(capsys, code: int, *named: object) -> str:
    """Check that an error is one paragraph that names what it must; return the message."""
    stderr = capsys.readouterr().err.strip()
    message = stderr.splitlines()[-1]
    assert code == 2, stderr
    assert message.startswith("error: LS")
    assert stderr.count("error: ") == 1
    assert "Traceback" not in stderr
    for name in named:
        assert str(name) in message
    return message


def inputs(tmp_path: Path) -> dict[str, Path]:
    """Write files that are not valid input; return their paths by what is wrong with them."""
    packed = gzip.compress(LINES.encode() * 50)
    content = {
        "empty": b"",
        "binary": bytes(range(256)) * 40,
        "avro": b"Obj\x01" + bytes(200),
        "blank": b"\n" * 50,
        "damaged": b"\xff\xfe\xfd\xfc" * 50,
    }
    for name, body in content.items():
        (tmp_path / f"{name}.txt").write_bytes(body)
    (tmp_path / "cut.txt.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "directory").mkdir()
    paths = {name: tmp_path / f"{name}.txt" for name in content}
    return paths | {
        "cut": tmp_path / "cut.txt.gz",
        "directory": tmp_path / "directory",
        "missing": tmp_path / "missing.txt",
        "glob": tmp_path / "*.nothing",
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["missing", "glob", "directory", "empty", "binary", "avro", "cut", "damaged", "blank"])
@pytest.mark.parametrize("command", ["run", "tokenize"])
def test_an_input_that_is_none(kind, command, tmp_path, capsys):
    path = inputs(tmp_path)[kind]
    code = line(command, "--input", path, "--output", tmp_path / "out", *SMALL)
    refused(capsys, code, path.name if kind != "blank" else "")
    assert not (tmp_path / "out" / "training_data" / "manifest.json").exists()


@pytest.mark.slow
def test_an_input_of_nothing_but_a_header(tmp_path, capsys):
    (tmp_path / "input.txt").write_text("a,b,c\n")
    code = line("tokenize", "--input", tmp_path / "input.txt", "--output", tmp_path / "out", "--header", *SMALL)
    message = refused(capsys, code, "LS207: --input: holds no record", "only a header")
    assert "rejected" not in message


def test_no_input_at_all(tmp_path, capsys):
    refused(capsys, line("run", "--output", tmp_path / "out"), "--input")


def test_no_output(tmp_path, capsys):
    refused(capsys, line("run", "--input", "x.txt"), "--output")


@pytest.mark.parametrize("command", ["run", "tokenize", "train"])
def test_an_output_that_cannot_be_written(command, tmp_path, capsys):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "input.txt").write_text(LINES)
    output = tmp_path / "file" / "out"
    refused(capsys, line(command, "--input", tmp_path / "input.txt", "--output", output, *SMALL), "--output", output)
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.slow
def test_a_used_output_is_kept(finished, capsys):
    before = sha256_tree(finished)
    source = finished.parent / "input.txt"
    refused(capsys, line("run", "--input", source, "--output", finished, *SMALL), "--overwrite", finished)
    refused(capsys, line("train", "--input", source, "--output", finished, *SMALL), "--overwrite", finished)
    refused(capsys, line("generate", "--output", finished), "--overwrite", finished)
    assert sha256_tree(finished) == before


@pytest.mark.slow
def test_other_settings_do_not_go_on_with_a_finished_model(copy, capsys):
    shutil.rmtree(copy / "synthetic")
    source = Path(str(copy.parent)) / "input.txt"
    source.write_text(LINES)
    before = sha256_tree(copy / "model")
    refused(capsys, line("run", "--input", source, "--output", copy, *SMALL, "--rnn-units", 16), "rnn_units", "16")
    assert sha256_tree(copy / "model") == before


def test_a_directory_without_a_model(tmp_path, capsys):
    refused(capsys, line("generate", "--output", tmp_path), "LS201", tmp_path, "train")


def test_training_before_tokenizing(tmp_path, capsys):
    refused(capsys, line("train", "--output", tmp_path / "out"), "tokenize")


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "foreign", "gone"])
def test_a_damaged_model(copy, damage, capsys):
    shutil.rmtree(copy / "synthetic")
    for path in (copy / "model").rglob("*"):
        if path.is_file() and "tensorboard" not in path.parts and path.suffix not in (".json", ".csv"):
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"something else")
            if damage == "gone":
                path.unlink()
    refused(capsys, line("generate", "--output", copy), copy)
    assert not (copy / "synthetic").exists()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_damaged_training_data(copy, damage, capsys):
    shutil.rmtree(copy / "model")
    for path in (copy / "training_data").glob("train-*"):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else gzip.compress(b"no TFRecord at all" * 9))
    refused(capsys, line("train", "--output", copy, *SMALL), "tokenize")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--start-string", "☃,"], "U+2603"),
        (["--line-validator", "no_such_module_here:judge"], "no_such_module_here"),
        (["--line-validator", "json:no_such_function"], "no_such_function"),
        (["--line-validator", "nothing"], "--line-validator"),
        (["--checkpoint", "99"], "99"),
        (["--columns", "a,b"], "columns"),
        (["--start-strings-file", "/nonexistent/starts"], "/nonexistent/starts"),
        (["--rnn-units", "64"], "--rnn-units"),
        (["--runner", "NoSuchRunner"], "NoSuchRunner"),
    ],
)
def test_what_generate_cannot_do(copy, arguments, named, capsys):
    before = sha256_tree(copy / "synthetic")
    refused(capsys, line("generate", "--output", copy, "--overwrite", *arguments), named)
    assert sha256_tree(copy / "synthetic") == before


@pytest.mark.slow
def test_a_validator_file_that_does_not_import(copy, tmp_path, capsys):
    (tmp_path / "rules.py").write_text("import no_such_module_here\n")
    rules = f"{tmp_path / 'rules.py'}:judge"
    refused(capsys, line("generate", "--output", copy, "--overwrite", "--line-validator", rules), "rules.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--input", "{place}/missing.csv", "--output", "{place}/out"],
        ["generate", "--output", "{place}/empty"],
    ],
)
def test_through_the_real_command(arguments, tmp_path):
    (tmp_path / "empty").mkdir()
    command = [str(Path(sys.executable).with_name("linesmith")), *(word.format(place=tmp_path) for word in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    stderr = [text for text in done.stderr.splitlines() if not text.startswith("loading")]
    assert len(stderr) == 1
    assert stderr[0].startswith("error: LS20")
    assert str(tmp_path) in stderr[0]
