"""The command line accepts the commands of the README and the examples, which are parsed but not run."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer

import linesmith
from linesmith.cli import app as cli
from linesmith.cli import options
from linesmith.cli.commands import demo
from linesmith.cli.options import CommandLine
from linesmith.cli.settings import resolve
from linesmith.core.config.tensorflow_config import TensorFlowConfig

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def shell_commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("linesmith ")]


def test_the_readme_has_commands():
    assert len(shell_commands()) >= 5


@pytest.mark.parametrize("command", shell_commands(), ids=" ".join)
def test_every_command_of_the_readme_is_understood(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    _, name, *rest = command
    if name == "doctor":
        assert rest == []
        return
    received = []
    if name == "evaluate":
        monkeypatch.setattr(
            "linesmith.cli.commands.evaluate.run_evaluation", lambda options, *_: received.append(options) or 0
        )
        assert cli.run_command_line([name, *rest]) == 0
        assert received[0].beam_args == () and received[0].real and received[0].synthetic and received[0].output
        return
    app = typer.Typer(pretty_exceptions_enable=False)
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=settings)(options.command(name, lambda parsed: received.append(parsed) or 0, ""))
    assert typer.main.get_command(app).main(rest, standalone_mode=False) == 0
    assert received[0].beam_args == ()
    given = CommandLine("run", received[0].settings, received[0].config_file)
    assert resolve(given).checkpoint_dir is not None


def test_the_python_of_the_readme_names_what_is_public():
    (block,) = [found for found in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "TensorFlowConfig" in found]
    tree = ast.parse(block)
    names = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert set(names) <= set(linesmith.__all__)
    call = next(
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "TensorFlowConfig"
    )
    TensorFlowConfig(**{keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords})


def test_every_page_the_readme_points_to_is_there():
    for target in re.findall(r"\]\(((?!http|#)[^)]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_the_example_judges_real_airports_and_turns_down_others(monkeypatch):
    from linesmith.records.validation.user_validator import validator_source

    monkeypatch.chdir(ROOT)
    config = resolve(CommandLine("run", {}, "examples/airports.yaml"))
    judge = validator_source(config.line_validator).load()
    for line in demo.airport_lines(50):
        judge(line)
    for line in ("A|B|US|1|2", "A|B|USA|1|2|3", "A|B|US|high|2|3", "A|B|US|1|91|3"):
        with pytest.raises(ValueError):
            judge(line)
