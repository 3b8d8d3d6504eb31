"""Archives of a model: their content, equal bytes generated from them, and the refusal of malicious archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from linesmith.cli.app import run_command_line
from linesmith.cli.options import CommandLine
from linesmith.cli.settings import resolve
from linesmith.core.artifacts import archive_reader
from linesmith.core.artifacts.archive import unpack_archive, write_archive
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, LinesmithError
from linesmith.model.generation.python_api import generate_text
from linesmith.model.tokenizers import tokenizer_from_model_dir
from linesmith.pipelines.export import export
from linesmith.pipelines.generate.stage import generate
from tests.helpers.tiny_model import tiny_run

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("model") / "run"
    tiny_run(root, private=True)
    params = json.loads((root / "model_params.json").read_text())
    secrets = {
        "input_data_path": "/people/secret.csv",
        "line_validator": "evil.py:f",
        "dp_unsafe_fixed_key": "ab",
        "start_string": "a, ",
    }
    (root / "model_params.json").write_text(json.dumps({**params, **secrets}))
    for directory in ("training_data", "rejects", "private", "synthetic", "model/tensorboard"):
        (root / directory).mkdir()
        (root / directory / "raw.txt").write_text("raw")
    return root


@pytest.fixture(scope="module")
def packed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "model.tar.gz"
    write_archive(run, path)
    return path


def names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_an_archive_holds_the_model_and_nothing_else(run: Path, packed: Path) -> None:
    members = names(packed)
    assert members[0] == "manifest.json"
    assert set(members[1:]) == {
        "model/checkpoints/best.npz",
        "model/model.json",
        "model/privacy.json",
        "model_params.json",
        *(f"tokenizer/{file.name}" for file in (run / "tokenizer").iterdir()),
    }
    with tarfile.open(packed) as tar:
        content = b"".join(tar.extractfile(name).read() for name in members if name.endswith(".json"))  # type: ignore[union-attr]
    for secret in (b"secret.csv", b"evil.py", b"dp_unsafe_fixed_key", str(run).encode(), b"start_string"):
        assert secret not in content


def test_links_and_unfinished_models_are_not_exported(tmp_path: Path) -> None:
    root = tmp_path / "run"
    tiny_run(root)
    (root / "private").mkdir()
    (root / "private" / "spent.json").write_text("secret")
    (root / "tokenizer" / "more.json").symlink_to(root / "private" / "spent.json")
    for directory in ("x.tar.gz", "run/model/x.tar.gz"):
        with pytest.raises(LinesmithError, match=r"LS214|lies in a directory that is packed"):
            export(str(root), str(tmp_path / directory))
        assert not (tmp_path / directory).exists()
    (root / "tokenizer" / "more.json").unlink()
    info = json.loads((root / "model" / "model.json").read_text())
    (root / "model" / "model.json").write_text(json.dumps({**info, "stopped": None}))
    with pytest.raises(DataError, match=r"LS201: .* has not ended"):
        export(str(root), str(tmp_path / "x.tar.gz"))


def test_from_the_command_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["export", str(run), str(tmp_path / "x.tar.gz")]) == 0
    assert "archive:" in capsys.readouterr().out
    assert run_command_line(["export", str(run), str(tmp_path / "x.tar.gz")]) == 2


def test_equal_models_give_equal_bytes(run: Path, packed: Path, tmp_path: Path) -> None:
    report = export(str(run), str(tmp_path / "again.tar.gz"))
    assert (tmp_path / "again.tar.gz").read_bytes() == packed.read_bytes()
    assert report.notices == []
    with pytest.raises(DataError, match="LS204"):
        export(str(run), str(tmp_path / "again.tar.gz"))
    export(str(run), f"{tmp_path}/again.tar.gz", overwrite=True)


def test_a_model_from_an_archive_generates_the_same_bytes(run: Path, packed: Path, tmp_path: Path) -> None:
    def lines(output: Path, **given: str) -> bytes:
        config = resolve(
            CommandLine(
                "generate", {"checkpoint_dir": str(output), "gen_lines": "9", "overwrite": True, "seed": "4", **given}
            )
        )
        generate(config.replace(start_string=None, line_validator=None))
        return b"".join(part.read_bytes() for part in sorted((output / "synthetic").glob("*.txt")))

    fresh = tmp_path / "fresh"
    first = lines(fresh, model_archive=str(packed))
    assert first.count(b"\n") == 9
    assert lines(fresh) == lines(fresh, model_archive=str(packed)) == first
    assert unpack_archive(packed, fresh) is False, "that very model lies there"
    tiny_run(tmp_path / "other", seed=2)
    with pytest.raises(DataError, match=r"LS215.*another model"):
        unpack_archive(packed, tmp_path / "other")


def test_the_statement_of_another_training_is_not_exported(run: Path, tmp_path: Path) -> None:
    statement = (run / "model" / "privacy.json").read_bytes()
    for name, private in (("plain", False), ("other", True)):
        tiny_run(tmp_path / name, seed=2, private=private)
        (tmp_path / name / "model" / "privacy.json").write_bytes(statement)
        with pytest.raises(DataError, match="LS214: the privacy statement"):
            export(str(tmp_path / name), str(tmp_path / "x.tar.gz"))
        with pytest.raises(DataError, match="LS214: the privacy statement"):
            generate(TensorFlowConfig(checkpoint_dir=tmp_path / name, gen_lines=0))
        with pytest.raises(DataError, match="LS214: the privacy statement"):
            generate_text(TensorFlowConfig(checkpoint_dir=tmp_path / name))
    assert not (tmp_path / "x.tar.gz").exists()


def test_a_model_is_not_imported_beside_a_training_of_the_other_kind(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "training_data").mkdir(parents=True)
    with pytest.raises(DataError, match=r"LS215.*a model with --dp"):
        unpack_archive(packed, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["training_data"]


def test_an_archive_whose_statement_is_of_other_weights_is_refused(packed: Path, tmp_path: Path) -> None:
    def change(members: Members) -> Members:
        content = json.dumps({"weights": {"best.npz": "0"}}).encode()
        manifest = json.loads(members[0][1])
        facts = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        manifest["members"]["model/privacy.json"] = facts
        changed = {"manifest.json": json.dumps(manifest).encode(), "model/privacy.json": content}
        for member, _ in members:
            member.size = len(changed.get(member.name, b"")) or member.size
        return [(member, changed.get(member.name, data)) for member, data in members]

    bad = rebuilt(packed, tmp_path / "bad.tar.gz", change)
    with pytest.raises(DataError, match=r"LS210.*its content is no model"):
        unpack_archive(bad, tmp_path / "run")


Members = list[tuple[tarfile.TarInfo, bytes]]


def without(members: Members, prefix: str) -> Members:
    """Return the archive without some of its members, of which its manifest knows nothing."""
    head, listed = members[0]
    manifest = json.loads(listed)
    manifest["members"] = {name: facts for name, facts in manifest["members"].items() if not name.startswith(prefix)}
    head.size = len(json.dumps(manifest))
    return [
        (head, json.dumps(manifest).encode()),
        *[pair for pair in members[1:] if not pair[0].name.startswith(prefix)],
    ]


def rebuilt(packed: Path, target: Path, change: Callable[[Members], Members]) -> Path:
    with tarfile.open(packed) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    with tarfile.open(target, "w:gz", format=tarfile.GNU_FORMAT) as tar:
        for member, data in change(members):
            tar.addfile(member, io.BytesIO(data))
    return target


def extra(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Callable[[Members], Members]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return lambda members: [*members, (member, b"")]


def listed(name: str, size: int = 0) -> Callable[[Members], Members]:
    """Return a change that adds a member and lists it, so that only its name or size is wrong."""

    def change(members: Members) -> Members:
        head, data = members[0]
        manifest = json.loads(data)
        manifest["members"][name] = {"bytes": size, "sha256": hashlib.sha256(bytes(size)).hexdigest()}
        content = json.dumps(manifest).encode()
        head.size = len(content)
        member = tarfile.TarInfo(name)
        member.size = size
        return [(head, content), *members[1:], (member, bytes(size))]

    return change


def replaced(name: str, content: Callable[[bytes], bytes]) -> Callable[[Members], Members]:
    """Return a change of a member's content, with which the manifest agrees."""

    def change(members: Members) -> Members:
        data = content(next(data for member, data in members if member.name == name))
        head, listed = members[0]
        manifest = json.loads(listed)
        manifest["members"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        head.size = len(json.dumps(manifest))
        found = [(head, json.dumps(manifest).encode())]
        for member, old in members[1:]:
            member.size = len(data) if member.name == name else member.size
            found.append((member, data if member.name == name else old))
        return found

    return change


def compressed_weights(stored: bytes) -> bytes:
    """Return the same weights as members that are compressed; zeros of a million times their size would be no larger."""
    content = io.BytesIO()
    with np.load(io.BytesIO(stored)) as arrays:
        np.savez_compressed(content, **arrays)
    return content.getvalue()


def wider(description: bytes) -> bytes:
    return json.dumps({**json.loads(description), "rnn_units": 1 << 20}).encode()


def swapped(members: Members) -> Members:
    return [(m, data[:-1] + b"#" if m.name == "model/model.json" else data) for m, data in members]


@pytest.mark.parametrize(
    "change",
    [
        extra("../evil"),
        extra("/etc/evil"),
        extra("tokenizer/../../evil"),
        extra("model/evil.py"),
        extra("tokenizer/link", tarfile.SYMTYPE, "/etc/passwd"),
        extra("tokenizer/hard", tarfile.LNKTYPE, "model/model.json"),
        extra("tokenizer/device", tarfile.CHRTYPE),
        extra("tokenizer/pipe", tarfile.FIFOTYPE),
        extra("tokenizer", tarfile.DIRTYPE),
        extra("tokenizer/" + "x" * 300),
        extra("tokenizer/unlisted"),
        listed("../evil"),
        listed("/evil"),
        listed("tokenizer/.hidden"),
        listed("tokenizer/bomb", archive_reader.FREE_BYTES + 1),
        lambda members: [*members, members[-1]],
        lambda members: members[:-1],
        lambda members: members[1:],
        lambda members: [],
        swapped,
        replaced("model/checkpoints/best.npz", compressed_weights),
        replaced("model/model.json", wider),
        replaced("model/model.json", lambda data: b"[" * 10_000),
        replaced("model_params.json", lambda data: data + b" " * (1 << 20)),
        replaced("tokenizer/vocabulary.json", lambda data: b"[1]"),
        lambda members: without(members, "tokenizer/"),
    ],
)
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    packed: Path, tmp_path: Path, change: Callable[[Members], Members]
) -> None:
    bad = rebuilt(packed, tmp_path / "bad.tar.gz", change)
    directory = tmp_path / "deep" / "run"
    directory.mkdir(parents=True)
    with pytest.raises(DataError, match=r"^LS210: --model \(model_archive\)"):
        unpack_archive(bad, directory, tokenizer_from_model_dir)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["bad.tar.gz", "deep", "run"]


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", gzip.compress(b"nonsense", mtime=0), gzip.compress(bytes(1 << 12), mtime=0)],
    ids=["empty", "text", "packed text", "packed zeros"],
)
def test_files_that_are_not_archives_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(LinesmithError, match="LS210"):
        unpack_archive(tmp_path / "bad", tmp_path / "run")


def test_a_truncated_archive_is_refused(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(packed.read_bytes()[:-200])
    with pytest.raises(LinesmithError, match="LS210"):
        unpack_archive(tmp_path / "bad", tmp_path / "run")
    with pytest.raises(LinesmithError, match="LS210"):
        unpack_archive(tmp_path / "absent", tmp_path / "run")
