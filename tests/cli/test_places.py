"""Where commands run: names of any kind, the home directory, a full disk, and Python started in a run directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from linesmith.cli import app as cli
from linesmith.cli import console
from linesmith.pipelines.generate import stage
from tests.helpers import generation_fakes
from tests.helpers.generation_fakes import fake_run

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
LINES = "".join(f"{n % 10},{('red', 'green', 'blue')[n % 3]},{n}\n" for n in range(150))
SMALL = {"field_delimiter": ",", "vocab_size": 0, "epochs": 1, "rnn_units": 8, "embedding_dim": 8, "rnn_layers": 1}
SMALL |= {"batch_size": 8, "gen_lines": 5, "output_format": ["text", "jsonl", "avro", "parquet"]}
FLAGS = [word for name, value in SMALL.items() for word in (
    {"gen_lines": "--num-lines"}.get(name, "--" + name.replace("_", "-")),
    ",".join(value) if isinstance(value, list) else str(value),
)]  # fmt: skip
STRANGE = os.fsdecode("o[a]{b}*?\\é".encode() + b"\xff")


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)


def line(*arguments: object) -> int:
    return cli.run_command_line([str(word) for word in arguments])


@pytest.mark.slow
def test_a_whole_run_from_a_settings_file_with_a_tilde_in_a_directory_of_any_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x[1]*").mkdir()
    source = "x[1]*/" + os.fsdecode(b"n[0-9]\xff.txt")
    (tmp_path / source).write_text(LINES)
    (tmp_path / "v.py").write_text("def check(text):\n    return True\n")
    settings = {
        **SMALL,
        "input_data_path": "~/x[1]*/*.txt",
        "checkpoint_dir": f"~/{STRANGE}",
        "line_validator": "~/v.py:check",
    }
    (tmp_path / "s.json").write_text(json.dumps(settings))
    assert line("run", "--config=~/s.json") == 0
    run = tmp_path / STRANGE
    assert not (tmp_path / "~").exists()
    assert len((run / "synthetic" / "part-00000-of-00001.txt").read_text().splitlines()) == 5
    inputs = json.loads((run / "training_data" / "manifest.json").read_text())["inputs"]
    assert list(inputs) == [str(tmp_path / source)]
    assert (run / "report" / "index.html").is_file() and list((run / "model" / "tensorboard").iterdir())
    assert (
        line("generate", f"--output=~/{STRANGE}", "--num-lines", "2", "--overwrite", "--unset", "line-validator") == 0
    )
    assert line("evaluate", f"--output=~/{STRANGE}", "--overwrite") == 0
    assert line("export", f"~/{STRANGE}", "~/model.tar.gz") == 0 and (tmp_path / "model.tar.gz").is_file()
    assert line("plan", "--config=~/s.json", "--overwrite") == 0


@pytest.fixture
def faked(monkeypatch):
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_fake)


def test_a_tilde_in_a_settings_file_is_the_home_directory(tmp_path, monkeypatch, faked):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    fake_run(tmp_path / "home" / "run")
    (tmp_path / "s.json").write_text(json.dumps({"checkpoint_dir": "~/run", "gen_lines": 5}))
    assert line("generate", "--config", "s.json") == 0
    assert (tmp_path / "home" / "run" / "synthetic").is_dir() and not (tmp_path / "~").exists()


@pytest.mark.parametrize("name", [os.fsdecode(b"r\xe9sum\xe9"), STRANGE])
def test_names_that_are_not_utf8(name, tmp_path, faked, capsys):
    run = fake_run(tmp_path / name)
    options = ["--num-lines", "5", "--output-format", "text,jsonl,avro,parquet"]
    assert line("generate", "--output", run, *options) == 0, capsys.readouterr().err
    assert len(list((run / "synthetic").glob("part-*"))) == 4
    (tmp_path / f"{name}.csv").write_text(LINES)
    sets = ["--real", tmp_path / f"{name}.csv", "--synthetic", tmp_path / f"{name}.csv", "--field-delimiter", ","]
    assert line("evaluate", *sets, "--output", tmp_path / f"report-{name}") == 0, capsys.readouterr().err
    assert (tmp_path / f"report-{name}" / "report" / "index.html").is_file()


@pytest.mark.slow
def test_brackets_in_the_output(tmp_path, capsys):
    (tmp_path / "rows.txt").write_text(LINES)
    output = tmp_path / "out[1]"
    for command in ("tokenize", "train"):
        assert line(command, "--input", tmp_path / "rows.txt", "--output", output, *FLAGS) == 0, capsys.readouterr().err
    assert (output / "model" / "manifest.json").is_file()


def test_python_starts_in_a_run_directory(tmp_path):
    for name in ("model", "pipelines", "records", "core", "training_data", "tokenizer", "report", "synthetic"):
        (tmp_path / name).mkdir()
    code = "import linesmith, linesmith.cli.app, linesmith.model.training; print(linesmith.__name__)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for command in (["-c", code], ["-m", "linesmith", "--version"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and done.stdout.startswith("linesmith"), done.stderr


def test_files_of_the_names_of_modules_change_no_command(tmp_path):
    for name in ("csv", "random", "json", "model", "runners", "numpy", "rich", "pydantic", "yaml", "queue", "core"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working directory')\n")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "linesmith", "plan", "--input", "rows.txt", "--output", "."]
    (tmp_path / "rows.txt").write_text(LINES)
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
@pytest.mark.parametrize("size", ["40k", "160k", "800k"])
def test_a_full_disk_in_any_stage(size, tmp_path):
    (tmp_path / "rows.txt").write_text(LINES)
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=False).returncode:
        pytest.skip("may not mount")
    try:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "linesmith", "run", "--input", "rows.txt", "--output", "disk/out", *FLAGS]
        command += ["--rnn-units", "48", "--embedding-dim", "48"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["umount", disk], check=True)
    assert done.returncode == 2, done.stderr
    errors = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    assert len(errors) == 1 and "LS209: --output 'disk/out'" in errors[0] and "No space left" in errors[0]
    assert "Traceback" not in done.stderr and "None" not in done.stderr


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("missing.csv", "no such file"),
        ("missing[1].csv", "no such file, and as a pattern"),
        ("*.nothing", "matches no file"),
        ("no/dir/x.csv", "no such file: '.*no' is missing, too"),
        ("file/x.csv", "no such file: '.*file' is not a directory"),
        ("pipe", "a named pipe"),
        ("/dev/null", "a device"),
        ("socket", "a socket"),
        (".", "a directory"),
        ("dangling", "a link to a file that does not exist"),
        ("-", "standard input"),
        ("x" * 300, "File name too long"),
    ],
)
def test_an_input_that_is_no_file_is_told_as_what_it_is(kind, found, tmp_path, monkeypatch, capsys):
    import re
    import socket

    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    (tmp_path / "file").write_text("x")
    os.symlink("nowhere", "dangling")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for command in (["plan", "--input"], ["evaluate", "--output", "out", "--synthetic", "file", "--real"]):
            if command[0] == "evaluate" and kind == ".":
                continue  # evaluate takes the files of a directory
            assert line(*command, kind) == 2
            message = capsys.readouterr().err.strip().splitlines()[-1]
            assert re.search(rf"LS205: --(input|real) '.*': .*{found}", message), message


def test_a_range_error_names_the_option_as_typed_and_a_setting_of_a_file_by_its_name(tmp_path, capsys):
    (tmp_path / "s.yaml").write_text("gen_lines: -1\n")
    wanted = {
        ("--num-lines", "-1"): "LS101: --num-lines '-1': must be greater than or equal to 0",
        ("--gen-lines=-1",): "LS101: --gen-lines '-1'",
        ("--config", str(tmp_path / "s.yaml")): "LS101: gen_lines -1",
        ("--quoted",): "LS101: --quoted needs a --field-delimiter",
    }
    for arguments, message in wanted.items():
        assert line("plan", *arguments) == 2
        assert message in capsys.readouterr().err


BROKEN = """
def index(text):
    return text.split(",")[9] != ""


def quotes(text):
    raise KeyError(text)


async def coroutine(text):
    return False


def hidden(text):
    return coroutine(text)
"""


@pytest.mark.parametrize("timeout", ["0", "10"])
@pytest.mark.parametrize(
    ("function", "code", "shown"),
    [
        ("index", 4, "the first exception of the validator was IndexError at line 3 of v.py (list index out of range)"),
        ("quotes", 4, "the first exception of the validator was KeyError at line 7 of v.py\n"),
        ("coroutine", 2, "LS107"),
        ("hidden", 2, "LS107"),
    ],
)
def test_a_validator_that_fails_is_told_without_a_word_of_the_record(
    function, code, shown, timeout, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_fake)
    (tmp_path / "v.py").write_text(BROKEN)
    run = fake_run(tmp_path / "run")
    options = ["--num-lines", "3", "--max-attempts", "2", "--validator-timeout", timeout]
    assert line("generate", "--output", run, "--line-validator", f"{tmp_path}/v.py:{function}", *options) == code
    printed = capsys.readouterr()
    assert shown in printed.out + printed.err


API = """
import linesmith, sys
config = linesmith.TensorFlowConfig(input_data_path="rows.txt", checkpoint_dir="out", **{settings!r})
linesmith.train(config)
records = list(linesmith.generate_text(config, num_lines=300, parallelism=2))
print(len(records))
"""


@pytest.mark.slow
def test_python_shows_progress_and_no_chatter(tmp_path):
    (tmp_path / "rows.txt").write_text(LINES)
    (tmp_path / "script.py").write_text(API.format(settings={**SMALL, "holdout_fraction": 0.0001}))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 300
    lines = done.stderr.splitlines()
    assert any(text.startswith("epoch 0: loss") for text in lines)
    assert "warning: no record fell on the holdout side: the data are few" in lines
    ours = (
        "tokenize: ",
        "epoch ",
        "warning: no record fell",
        "warning: no GPU",
        "warning: column 'field_2' looks like",
    )
    assert [text for text in lines if not text.startswith(ours)] == []
