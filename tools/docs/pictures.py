"""Make the pictures of the documentation again: `make pictures`, or `python -m tools.docs.pictures [SECONDS]`.

The demo is run, with SECONDS of training (default 150), and shown three times: what it prints, its report in a headless Chromium,
and its records on a map beside as many real ones. The airports that it learns from are public.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
LARGEST = 150_000  # bytes of one picture
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class _Lines(logging.Handler):
    """Handler that prints messages as the command line does, to a console that is recorded."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(record.getMessage(), markup=False, highlight=False)


@contextlib.contextmanager
def _scratch_directory() -> Iterator[None]:
    """Work in an empty directory during a block, so that no path of this machine is in a picture."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            yield
        finally:
            os.chdir(before)


def record_demo(seconds: int) -> Console:
    """Run the demo in the working directory, and return a console that holds what it printed.

    Args:
        seconds: longest time of training.
    """
    from linesmith.cli.commands.demo import DemoPlan, run_demo
    from linesmith.cli.libraries import load_libraries
    from linesmith.core.config.spelling import settings_typed_as
    from linesmith.core.library_logging import quiet_libraries

    console = Console(record=True, width=108, file=io.StringIO(), highlight=False)
    log = logging.getLogger("linesmith")
    log.handlers, log.propagate = [_Lines(console)], False
    log.setLevel(logging.INFO)
    quiet_libraries()
    console.print("$ linesmith demo", style="bold")
    with settings_typed_as({}):  # as in a command: a summary shows each note once
        code = run_demo(console, DemoPlan(seconds=seconds), load=load_libraries)
    if code:
        sys.exit(f"the demo ended with exit code {code}")
    return console


def write_run(console: Console, path: Path) -> None:
    """Write what a console recorded as SVG, without the web fonts that rich names; a browser takes its own."""
    svg = console.export_svg(title="linesmith demo", unique_id="demo")
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), encoding="utf-8")


def write_report(page: Path, path: Path) -> None:
    """Write the top of a report as it looks in a window of 1280 by 900 pixels.

    Args:
        page: index.html of the report.
        path: PNG to write, in a palette of 128 colors.
    """
    from PIL import Image

    browser = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit("The picture of the report needs Chromium: apt-get install chromium")
    shot = Path("report.png").resolve()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1280,900"]
    subprocess.run(
        [browser, *options, f"--screenshot={shot}", page.resolve().as_uri()], check=True, capture_output=True
    )
    Image.open(shot).convert("RGB").quantize(128).save(path, optimize=True)


def write_map(real: list[str], synthetic: list[str], path: Path) -> None:
    """Write a map of the real airports beside one of the synthetic ones.

    Args:
        real: lines of the input; as many are drawn as there are synthetic ones.
        synthetic: generated lines.
        path: PNG to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 2.9), sharey=True, layout="constrained")
    panels = (("real", real[: len(synthetic)], "#5b6770"), ("synthetic", synthetic, "#3f51b5"))
    for axis, (name, lines, color) in zip(axes, panels, strict=True):
        places = [line.split("|")[-2:] for line in lines]
        axis.scatter(
            [float(east) for _, east in places], [float(north) for north, _ in places], s=3, c=color, alpha=0.7
        )
        axis.set(title=f"{len(lines):,} {name} airports", xlim=(-180, 180), ylim=(-70, 85), xlabel="longitude")
    axes[0].set_ylabel("latitude")
    figure.savefig(path, dpi=110)


def main(seconds: int = 150) -> None:
    """Write the three pictures.

    Args:
        seconds: longest time of training.
    """
    from linesmith.cli.commands.demo import text_records

    IMAGES.mkdir(exist_ok=True)
    with _scratch_directory():
        console = record_demo(seconds)
        write_run(console, IMAGES / "run.svg")
        write_report(Path("demo-out/report/index.html"), IMAGES / "report.png")
        real = Path("demo-out/input.txt").read_text("utf-8").splitlines()
        write_map(real, text_records(Path("demo-out/synthetic")), IMAGES / "airports.png")
    for path in sorted(IMAGES.iterdir()):
        size = path.stat().st_size
        sys.stdout.write(f"{path.name}: {size:,} bytes\n")
        if size > LARGEST:
            sys.exit(f"{path.name} is larger than {LARGEST:,} bytes")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
