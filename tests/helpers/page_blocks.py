"""Code blocks of the documentation's pages, and how to run those of one page in order, in a shell and in an empty directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# The pages all of whose blocks are run. docs/python.md has a test of its own.
RUN_PAGES = ("index.md", "tutorial.md", *sorted(f"howto/{path.name}" for path in (DOCS / "howto").glob("*.md")))
# What docs/index.md says that a test adds, so that pages can show what a person would type.
SMALL = {"epochs": 1, "rnn_units": 16, "embedding_dim": 8}
_FLAGS = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in SMALL.items())
_LINESMITH = f"""#!/usr/bin/env bash
case "$1" in run | train) set -- "$@" {_FLAGS} ;; esac
"{sys.executable}" -m linesmith "$@" || {{ code=$?; test $code = 4 || exit $code; }}
"""
_PYTHON_HEAD = f"""import linesmith.api.fitting as _fitting

_fit = _fitting.fit
_fitting.fit = lambda data, **given: _fit(data, **({SMALL!r} | given))
"""
_BLOCK = re.compile(
    r'^(?:<!-- not run here: (?P<reason>[^\n]*) -->\n)?```(?P<language>\w*)(?: title="(?P<title>[^"\n]+)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A code block: its language, its text, the file to save it as, and why it is not run, both None where there is none."""

    language: str
    text: str
    title: str | None
    reason: str | None


def blocks(page: str) -> list[Block]:
    """Return the code blocks of a page of docs/, in order."""
    return blocks_of((DOCS / page).read_text("utf-8"))


def blocks_of(text: str) -> list[Block]:
    """Return the code blocks of a text."""
    return [Block(match["language"], match["text"], match["title"], match["reason"]) for match in _BLOCK.finditer(text)]


def write_script(page_blocks: Sequence[Block], folder: Path) -> Path:
    """Write what runs blocks in order, with the files that they need, and return the script for bash.

    Args:
        page_blocks: blocks of one page. A block with a title is saved as a file of that name. Python blocks without a block of
            the shell between them are one program.
        folder: an empty directory.
    """
    parts: list[tuple[str, str]] = []
    for block in page_blocks:
        if block.title is not None:
            (folder / block.title).write_text(block.text, "utf-8")
        elif block.reason is None and block.language in ("sh", "python"):
            if block.language == "python" and parts and parts[-1][0] == "python":
                parts[-1] = ("python", parts[-1][1] + block.text)
            else:
                parts.append((block.language, block.text))
    lines = ["set -euxo pipefail"]
    for number, (language, text) in enumerate(parts):
        if language == "python":
            (folder / f"block_{number}.py").write_text(_PYTHON_HEAD + text, "utf-8")
            lines.append(f'"{sys.executable}" block_{number}.py\n')
        else:
            lines.append(text)
    script = folder / "page.sh"
    script.write_text("\n".join(lines), "utf-8")
    return script


def run_blocks(page_blocks: Sequence[Block], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run blocks in a directory that has the examples, with small settings.

    Args:
        page_blocks: as for `write_script`.
        folder: an empty directory.
    """
    (folder / "examples").symlink_to(ROOT / "examples")
    commands = folder / ".bin"
    commands.mkdir()
    (commands / "linesmith").write_text(_LINESMITH, "utf-8")
    (commands / "linesmith").chmod(0o755)
    script = write_script(page_blocks, folder)
    environment = os.environ | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", script.name], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
