"""Build the wheel and the source distribution, the same bytes for the same commit: `python -m tools.dist [FOLDER]`.

Setuptools takes the times of files into both, and the time of the build into the second. Here all of them are the commit's, and
the members of the source distribution are sorted and have no owner.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def commit_time() -> int:
    """Return the time of the last commit, or SOURCE_DATE_EPOCH where it is set."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def normalize(path: Path, seconds: int) -> None:
    """Write a source distribution again, so that its bytes depend on the content of its files only.

    Args:
        path: a gzip-compressed tar.
        seconds: time of every member.
    """
    packed = io.BytesIO()
    with (
        tarfile.open(path, "r:gz") as old,
        # The name and the time in the header would make equal archives differ.
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as compressed,
        tarfile.open(mode="w", fileobj=compressed, format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = seconds, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    path.write_bytes(packed.getvalue())


def main(target: Path) -> None:
    """Build into a folder.

    Args:
        target: created where it is missing; distributions of the same names are replaced.
    """
    seconds = commit_time()
    with tempfile.TemporaryDirectory() as scratch:
        source, out = Path(scratch) / "source", Path(scratch) / "out"
        # Only what is tracked: caches and results beside it must not get into a release.
        names = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True).stdout
        for name in filter(None, names.decode().split("\0")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
        command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
        commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(seconds), "LINESMITH_COMMIT": commit}
        for kind in ("--wheel", "--sdist"):
            build = [sys.executable, "-m", "build", kind, "--no-isolation", "--outdir", str(out), str(source)]
            subprocess.run(build, env=environment, check=True, stdout=subprocess.DEVNULL)
        target.mkdir(parents=True, exist_ok=True)
        for made in sorted(out.iterdir()):
            if made.name.endswith(".tar.gz"):
                normalize(made, seconds)
            shutil.move(made, target / made.name)
            sys.stdout.write(f"{target / made.name}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist"))
