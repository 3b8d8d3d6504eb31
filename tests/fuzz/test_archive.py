"""Fuzz the archive of a model, and the file of arrays in it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from functools import cache
from pathlib import Path
from random import Random

import pytest

from linesmith.core.artifacts.archive import unpack_archive, write_archive
from linesmith.core.artifacts.stored_arrays import load_arrays
from linesmith.model.tokenizers import tokenizer_from_model_dir
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated, mutated_json
from tests.helpers.plain_run import plain_run
from tests.helpers.run_states import write_run

WEIGHTS = "model/checkpoints/best.npz"
ARRAY_TOKENS = [b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06"]
ARRAY_TOKENS += [b"\x93NUMPY\x01\x00", b"'shape': (", b"<f4", b"|O", b"9, "]
TAR_TOKENS = [bytes(512), b"0000000", b"../", b"/", b"L", b"x", b"2", b"ustar\x0000", b"manifest.json"]
Members = dict[str, bytes]


@cache
def examples() -> list[Members]:
    """Return the members of archives: of a plain model and of a private one."""
    folder = Path("examples")
    plain_run(folder / "plain")
    write_run(folder / "private", private=True)
    tokenizer = folder / "private" / "tokenizer"
    shutil.rmtree(tokenizer)
    shutil.copytree(folder / "plain" / "tokenizer", tokenizer)
    found = []
    for name in ("plain", "private"):
        write_archive(folder / name, folder / f"{name}.tar.gz")
        with tarfile.open(folder / f"{name}.tar.gz") as tar:
            found.append({member.name: tar.extractfile(member).read() for member in tar})  # type: ignore[union-attr]
    shutil.rmtree(folder)
    return found


def tar_of(members: Members) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def listed(members: Members) -> Members:
    """Return the members with a manifest that lists them as they are."""
    rest = {name: data for name, data in members.items() if name != "manifest.json"}
    facts = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in rest.items()}
    manifest = {**json.loads(members["manifest.json"]), "members": facts}
    return {"manifest.json": json.dumps(manifest).encode(), **rest}


def damaged(random: Random, name: str, data: bytes) -> bytes:
    """Return a member with a change that its format has room for."""
    if name.endswith(".json") and random.randint(0, 3):
        return mutated_json(random, [json.loads(data)])
    return mutated(random, [data], ARRAY_TOKENS if name.endswith(".npz") else [])


def make(random: Random) -> bytes:
    """Return an archive that is damaged in its compression, its headers, its manifest, or in members that its manifest lists."""
    members = dict(random.choice(examples()))
    kind = random.randint(0, 9)
    if kind == 0:
        return mutated(random, [gzip.compress(tar_of(members), mtime=0)], [])
    if kind <= 2:
        return gzip.compress(mutated(random, [tar_of(members)], TAR_TOKENS), 1, mtime=0)
    if kind == 3:
        members["manifest.json"] = damaged(random, "manifest.json", members["manifest.json"])
        return gzip.compress(tar_of(members), 1, mtime=0)
    for name in random.sample([*members][1:], random.choice([1, 1, 2])):
        members[name] = damaged(random, name, members[name])
    members = listed(members)
    return gzip.compress(tar_of(members), 1, mtime=0)


def read(content: bytes) -> None:
    """Unpack an archive to an empty run directory."""
    Path("model.tar.gz").write_bytes(content)
    try:
        unpack_archive("model.tar.gz", "run", lambda root: tokenizer_from_model_dir(root) and None)
    finally:
        assert {path.name for path in Path().iterdir()} <= {"model.tar.gz", "run", "x.npz"}
        shutil.rmtree("run", ignore_errors=True)


def read_arrays(content: bytes) -> None:
    """Read a file of arrays, none of which may be larger than the file."""
    Path("x.npz").write_bytes(content)
    arrays, _ = load_arrays("x.npz")
    assert sum(array.nbytes for array in arrays.values()) <= len(content)


TARGET = Target("archive", read)
ARRAY_TARGET = Target("arrays", read_arrays)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("content", TARGET.corpus())
def test_found_cases(content: bytes) -> None:
    TARGET.check(content)


@pytest.mark.parametrize("content", ARRAY_TARGET.corpus())
def test_found_arrays(content: bytes) -> None:
    ARRAY_TARGET.check(content)


def test_the_examples_are_read() -> None:
    for members in examples():
        read(gzip.compress(tar_of(members)))
        read_arrays(members[WEIGHTS])


@pytest.mark.integration
def test_fuzz_archives() -> None:
    TARGET.fuzz(make, 100)


@pytest.mark.integration
def test_fuzz_arrays() -> None:
    stored = [members[WEIGHTS] for members in examples()]
    ARRAY_TARGET.fuzz(lambda random: mutated(random, stored, ARRAY_TOKENS), 100)
