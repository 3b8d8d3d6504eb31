"""Build the package, and let Beam stage it to workers (`--setup_file ./setup.py`); the facts are in pyproject.toml."""

import os
import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

COMMIT_FILE = Path("linesmith") / "_commit.txt"  # in the package; `linesmith --version` shows it


def source_commit() -> str | None:
    """Return the commit of this checkout, marked where files were changed since; None where it is no checkout of git."""
    if "LINESMITH_COMMIT" in os.environ:  # of a copy without .git
        return os.environ["LINESMITH_COMMIT"] or None
    root = Path(__file__).resolve().parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


class BuildWithCommit(build_py):
    """Build of the modules that notes the commit beside them."""

    def run(self) -> None:
        """Build, and write the commit."""
        super().run()
        commit = source_commit()
        if commit is not None and not self.editable_mode:
            (Path(self.build_lib) / COMMIT_FILE).write_text(f"{commit}\n", "utf-8")


# The inner loop of generation, called through ctypes: it uses nothing of Python, so one build is for all versions. Without a
# compiler the installation goes on, and NumPy takes its place.
EXACT = ("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
KERNEL = Path("linesmith/model/sampling/kernel")
extension = Extension(
    "linesmith.model.sampling.kernel.steps",
    sources=[str(KERNEL / "kernel.c")],
    depends=[str(KERNEL / name) for name in ("kernel.h", "layers.h", "draw.h", "fields.h", "trees.h", "undefine.h")],
    # Every operation on floats is rounded by itself, whatever the processor: the same seed gives the same bytes. With -O3, GCC
    # spills the sums of products to memory, which halves their rate.
    extra_compile_args=["-std=gnu11", "-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic", "-g0", *EXACT],
    extra_link_args=["-Wl,-s"],
    py_limited_api=True,
    optional=True,
)
setup(
    cmdclass={"build_py": BuildWithCommit},
    ext_modules=[extension],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
