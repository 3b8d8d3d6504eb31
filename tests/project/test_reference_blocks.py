"""The code blocks of the reference pages and of the README run, each page after what it takes for granted is there."""

from __future__ import annotations

import sys
from itertools import chain

import pytest

from tests.helpers.page_blocks import DOCS, ROOT, RUN_PAGES, Block, blocks, run_blocks

_RIDES = """
import random
draw = random.Random(3)
def rides(count):
    return [f"{draw.randint(1, 9)},{draw.choice(['red', 'green', 'blue'])},{draw.randint(10, 99)}" for _ in range(count)]
for name, count in (("rides.csv", 600), ("train.csv", 400), ("held.csv", 100), ("made.csv", 300)):
    open(name, "w").write("\\n".join(rides(count)) + "\\n")
"""
_RUN = "linesmith run --input rides.csv --field-delimiter , --output out --num-lines 60\n"
_PLACES = """
import random
import pyarrow as pa, pyarrow.parquet as pq
draw = random.Random(4)
rows = [(f"P{draw.randint(100, 999)}", draw.choice(["IT", "DE", "FR"]), draw.choice([5, 200, 1300])) for _ in range(600)]
open("places.csv", "w").write("name,country,elevation\\n" + "".join(f"{a},{b},{c}\\n" for a, b, c in rows))
pq.write_table(pa.table({"country": ["DE", "IT"], "elevation": [5, 200]}), "wanted.parquet")
open("incomplete.csv", "w").write("name,country,elevation\\nP123,,200\\n,IT,\\n")
"""
_CHECKS = 'def ride(line):\n    return line.count(",") == 2\n'
_GRETEL = f"""
import shutil, tarfile
with tarfile.open({str(ROOT / "tests/fixtures/gretel/gretel_models.tar.xz")!r}) as archive:
    archive.extractall("models", filter="data")
shutil.copytree("models/characters", "checkpoints")
for number in range(2):
    shutil.copytree("models/characters", f"checkpoints/batch_{{number}}")
"""
# What the README's `df` may be; `make demo` and `linesmith doctor`, its first blocks, have tests of their own.
_FRAME = """
import pandas as pd
df = pd.DataFrame({"color": ["red", "green", "blue", "red"] * 100, "number": range(400)})
"""
_DEMO = "linesmith demo --lines 600 --seconds 5 --num-lines 100\n"


def shell(text: str) -> Block:
    """Return a block of the shell."""
    return Block("sh", text, None, None)


def program(text: str) -> Block:
    """Return a block that is a program of its own."""
    return Block("sh", f"'{sys.executable}' - <<'END'\n{text}\nEND\n", None, None)


# What a page takes for granted, as blocks before each of its own: a list for each block, in order.
PREPARED: dict[str, list[list[Block]]] = {
    "audit.md": [[program(_RIDES), shell(_RUN.replace("run --", "run --dp --columns a,b,c --", 1))]],
    "cards.md": [
        [program(_RIDES), shell(_RUN + "linesmith generate --output out --output-format parquet --overwrite\n")]
    ],
    "evaluate.md": [[program(_RIDES), shell(_RUN + "cp -r out other-out\nrm -r out/report\n")]],
    "generation.md": [
        [
            program(_RIDES),
            Block("python", _CHECKS, "checks.py", None),
            shell(_RUN.replace("output out", "output received") + "rm -r received/synthetic received/report\n"),
        ],
        [shell(_RUN)],
        [program(_PLACES), shell("rm -r out\n")],
        [],
    ],
    "gretel.md": [[program(_GRETEL)], [], []],
    "privacy.md": [[program(_RIDES)]],
    "../README.md": [[], [], [Block("python", _FRAME, None, None)], [shell(_DEMO)], [], [], [], [], []],
}
_FIRST = {"../README.md": 2}


def test_every_block_of_every_page_is_run_or_says_why_not():
    pages = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    run = {*RUN_PAGES, *PREPARED, "python.md"}  # docs/python.md: tests/api/test_python_page.py
    for page in pages:
        for block in blocks(page):
            known = page in run or block.reason is not None or block.title is not None
            assert known or block.language not in ("sh", "python", "bash"), (page, block.text)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", sorted(PREPARED))
def test_the_blocks_of_a_reference_page_run(page, tmp_path):
    own = [block for block in blocks(page) if block.language in ("sh", "python")]
    assert len(own) == len(PREPARED[page])
    parts = [[*before, block] for before, block in zip(PREPARED[page], own, strict=True)]
    done = run_blocks(list(chain(*parts[_FIRST.get(page, 0) :])), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
