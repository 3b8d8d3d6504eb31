"""Jars and Java for `make flink-up`: what is not as pinned is refused, replaced, and never left where it would be run."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tools.flink import checksums, downloads

JARS = {"beam-sdks-java-core-1.jar": b"beam", "flink.jar": b"flink"}


@pytest.fixture
def maven(tmp_path, monkeypatch):
    """Put a Java and a Maven in place that serve a dictionary of jars, which is returned; the true contents are pinned."""
    served = dict(JARS)
    pins = tmp_path / "jars.sha512"
    pins.write_text("".join(f"{hashlib.sha512(body).hexdigest()}  {name}\n" for name, body in JARS.items()))
    java = tmp_path / "java-home" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.touch()

    def copy_jars(command, **_options):
        assert "--strict-checksums" in command
        target = Path(next(word for word in command if word.startswith("-DoutputDirectory=")).partition("=")[2])
        target.mkdir(parents=True)
        for name, body in served.items():
            (target / name).write_bytes(body)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(checksums, "PINS", pins)
    monkeypatch.setattr(downloads, "write_loopback_jar", lambda core, target: target.touch())
    monkeypatch.setenv("JAVA_HOME", str(java.parents[1]))
    monkeypatch.setattr(downloads.shutil, "which", lambda name: f"/nowhere/{name}")
    monkeypatch.setattr(downloads.subprocess, "run", copy_jars)
    return served


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_pinned_jars_are_put_in_place(tmp_path, maven):
    home = tmp_path / "home"
    assert downloads.fetch_software(home).endswith("bin/java")
    assert contents(home / "lib") == JARS
    assert (home / downloads.JAR).is_file()


@pytest.mark.parametrize(
    ("served", "told"),
    [
        ({"beam-sdks-java-core-1.jar": b"beam", "flink.jar": b"flinc"}, "flink.jar has the digest"),
        ({"beam-sdks-java-core-1.jar": b"beam"}, "flink.jar is missing"),
        ({**JARS, "more.jar": b"more"}, "more.jar is not pinned"),
    ],
)
def test_other_jars_are_refused_and_deleted(tmp_path, maven, served, told):
    maven.clear()
    maven.update(served)
    home = tmp_path / "home"
    with pytest.raises(downloads.ClusterError, match=told):
        downloads.fetch_software(home)
    assert not home.exists() or contents(home) == {}


def test_a_jar_changed_after_the_download_is_replaced_and_refused_if_it_cannot_be(tmp_path, maven):
    home = tmp_path / "home"
    downloads.fetch_software(home)
    (home / "lib" / "flink.jar").write_bytes(b"changed")
    downloads.fetch_software(home)
    assert contents(home / "lib") == JARS
    (home / "lib" / "flink.jar").write_bytes(b"changed")
    maven["flink.jar"] = b"changed"
    with pytest.raises(downloads.ClusterError, match=r"flink\.jar has the digest"):
        downloads.fetch_software(home)


def test_a_link_is_not_a_jar(tmp_path, maven):
    home = tmp_path / "home"
    downloads.fetch_software(home)
    (home / "lib" / "flink.jar").rename(tmp_path / "flink.jar")
    (home / "lib" / "flink.jar").symlink_to(tmp_path / "flink.jar")
    assert checksums.find_differences(home / "lib") == ["flink.jar is not a plain file"]
    downloads.fetch_software(home)
    assert not (home / "lib" / "flink.jar").is_symlink()


def test_pins_are_written_as_they_are_read(tmp_path, maven):
    maven["new.jar"] = b"new"
    assert downloads.pin_jars() == 3
    downloads.fetch_software(tmp_path / "home")
    assert contents(tmp_path / "home" / "lib") == {**JARS, "new.jar": b"new"}


def test_java_is_installed_by_its_digests_only(tmp_path, monkeypatch):
    commands = []

    def refuse(command, **_options):
        commands.append(command)
        return subprocess.CompletedProcess(command, 1, "", "")

    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(downloads.shutil, "which", lambda name: None)
    monkeypatch.setattr(downloads.subprocess, "run", refuse)
    with pytest.raises(downloads.ClusterError, match="Java 11"):
        downloads.fetch_software(tmp_path)
    lock = Path(commands[0][-1])
    assert "--require-hashes" in commands[0] and "--hash=sha256:" in lock.read_text()


def test_every_pin_is_a_sha_512_and_the_versions_are_those_of_the_list():
    lines = checksums.PINS.read_text().splitlines()
    assert len(lines) > 100
    assert all(len(digest) == 128 for digest, _, _ in (line.partition("  ") for line in lines))
    names = {line.partition("  ")[2] for line in lines}
    assert {"beam-runners-flink-1.19-2.70.0.jar", "beam-runners-java-job-service-2.65.0.jar"} <= names
