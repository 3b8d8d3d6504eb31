"""Run the documentation's commands that need a Flink cluster or an object store: `make test-pages`.

    python -m tests.integration.page_blocks [flink] [s3] [gcs]

These are the blocks whose comment begins with `not run here: make test-pages`. Each runs in a shell and in an empty directory,
with small networks, as `tests/helpers/page_blocks.py` does with the others. Addresses of clusters and buckets are replaced by
those of a cluster and of servers that this starts on this machine; commands that install are left out. Exits with 1 at the
first block that fails.
"""

from __future__ import annotations

import gzip
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from linesmith.transforms.storage import objects as storage
from tests.helpers.flink_harness import ROOT, write_airport_lines
from tests.helpers.page_blocks import DOCS, Block, blocks, run_blocks
from tests.integration.servers import stores
from tools.flink.cluster import Cluster

MARK = "make test-pages"
# What a block does to the machine itself: the cluster is up, the package is here.
_LEFT_OUT = re.compile(r"^(make|pip) .*\n", re.MULTILINE)


def marked_blocks(word: str) -> list[tuple[str, Block]]:
    """Return the blocks with the mark that contain a word, each with the name of its page."""
    pages = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    marked = [(page, block) for page in pages for block in blocks(page) if (block.reason or "").startswith(MARK)]
    return [(page, block) for page, block in marked if word in block.text]


def run_all(kind: str, word: str, replaced: Mapping[str, str], place: Path) -> None:
    """Run the marked blocks that contain a word; exit with 1 if one fails or if there is none.

    Args:
        kind: where they run, for the messages.
        word: what tells them from other marked blocks.
        replaced: texts of the pages, such as addresses, with what stands for each here.
        place: an empty directory.
    """
    found = marked_blocks(word)
    for number, (page, block) in enumerate(found):
        text = _LEFT_OUT.sub("", block.text).replace("/runs/one", f"/runs/{number}")  # pages begin anew
        for old, new in replaced.items():
            text = text.replace(old, new)
        folder = place / f"{kind}-{number}"
        folder.mkdir()
        begun = time.monotonic()
        done = run_blocks([replace(block, text=text, reason=None)], folder)
        correct = done.returncode == 0 and "Traceback" not in done.stderr
        print(f"{'ok  ' if correct else 'FAIL'} {time.monotonic() - begun:6.1f} s  {kind}: {page}", flush=True)
        if not correct:
            print(done.stdout[-2000:], done.stderr[-3000:], sep="\n", flush=True)
            sys.exit(1)
    if not found:
        sys.exit(f"no block of a page is marked for {kind}")


def run_on_flink(place: Path) -> None:
    """Run the blocks with a FlinkRunner on a cluster that this starts and stops."""
    shared = place / "shared"
    shared.mkdir()
    write_airport_lines(shared / "lines.csv", 500)
    cluster = Cluster(ROOT / ".flink")
    cluster.down()
    cluster.up()
    try:
        run_all("flink", "FlinkRunner", {"/mnt/shared": str(shared), "jobmanager:8081": "localhost:8081"}, place)
    finally:
        cluster.down()


def run_on_store(kind: str, place: Path) -> None:
    """Run the blocks with a bucket on a server of a kind, `s3` or `gcs`, that this starts and stops."""
    draw = random.Random(0)
    rows = [
        f"{draw.randint(1, 9)},{draw.choice(['red', 'green', 'blue'])},{draw.randint(10, 99)}\n" for _ in range(600)
    ]
    with getattr(stores, kind)(place) as store:
        os.environ.update(store.environment)
        for part in range(2):
            path = place / f"rides-{part}.csv.gz"
            path.write_bytes(gzip.compress("".join(rows[part::2]).encode()))
            storage.put(path, f"{store.bucket}/{path.name}")
        replaced = {"s3://lines": store.bucket, "gs://models": f"{store.bucket}/models"}
        run_all(kind, "s3://", replaced, place)


def main() -> None:
    """Run the blocks of the kinds that are named, or of all that this machine can run."""
    kinds = sys.argv[1:] or ["flink", "s3", "gcs"]
    with tempfile.TemporaryDirectory(prefix="linesmith-pages-") as scratch:
        for kind in kinds:
            place = Path(scratch) / kind
            place.mkdir()
            if kind == "flink":
                run_on_flink(place)
            else:
                run_on_store(kind, place)
    print("pages: all passed")


if __name__ == "__main__":
    main()
