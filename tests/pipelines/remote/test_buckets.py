"""Run directories in a bucket: what is published and in which order, interrupted publications, and second writers."""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
from pathlib import Path

import pytest

from linesmith.cli.app import run_command_line
from linesmith.core.artifacts.manifest import read_manifest, write_manifest
from linesmith.core.artifacts.params import config_from_model_dir, save_params
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.pipelines.export import export, import_archive
from linesmith.pipelines.generate import shared_staging as sharing
from linesmith.pipelines.generate.stage import generate
from linesmith.pipelines.other_kind import replace_other_kind
from linesmith.pipelines.remote.local_paths import after_publishing, config_with_local_paths
from linesmith.pipelines.remote.mirror import Mirror, open_mirror
from linesmith.pipelines.remote.published_files import is_published
from linesmith.pipelines.stage_report import StageReport
from linesmith.transforms.storage import addresses as store_addresses
from linesmith.transforms.storage import objects as storage
from linesmith.transforms.storage.retries import classify_error, with_retries
from tests.helpers.fake_object_store import FakeObjectStore, install
from tests.helpers.run_states import write_run
from tests.helpers.tiny_model import tiny_run

pytestmark = pytest.mark.integration

RUN = "s3://lines/run"


@pytest.fixture
def store(tmp_path, monkeypatch) -> FakeObjectStore:
    return install(tmp_path, monkeypatch)


def write(root: Path, stage: str, **files: str) -> None:
    """Write a stage's directory with a manifest."""
    for name, text in files.items():
        (root / stage / name).parent.mkdir(parents=True, exist_ok=True)
        (root / stage / name).write_text(text)
    write_manifest(root / stage, stage, {"counts": len(files)})


def everything(name: str) -> bool:
    return True


def published(store: FakeObjectStore) -> list[str]:
    return sorted(storage.list_below(RUN))


def test_a_stage_is_published_with_its_manifest_last(store):
    with open_mirror(RUN, everything) as mirror:
        write(mirror.folder, "training_data", a="1", b="2")
        write(mirror.folder, "model", weights="w")
        (mirror.folder / ".tmp").mkdir()
        (mirror.folder / ".tmp" / "x").write_text("no")
        folder = mirror.folder
    written = [address.removeprefix(f"{RUN}/") for mode, address in store.log if mode == "w"]
    assert written[-2:] == ["training_data/manifest.json", "model/manifest.json"]
    assert published(store) == sorted([*written[1:-2], *written[-2:]])
    assert not folder.exists()


def test_a_replaced_group_first_loses_its_manifest_and_keeps_no_old_file(store):
    with open_mirror(RUN, everything) as mirror:
        write(mirror.folder, "synthetic", one="1", two="2")
        write(mirror.folder, "model", weights="w")
    store.log.clear()
    with open_mirror(RUN, lambda name: False) as mirror:  # neither shard is copied, but both are replaced
        assert sorted(path.name for path in mirror.folder.rglob("*") if path.is_file()) == ["manifest.json"] * 2
        write(mirror.folder, "synthetic", one="new")
    changes = [(mode, address.removeprefix(f"{RUN}/")) for mode, address in store.log if mode in ("w", "delete")]
    assert changes == [
        ("w", ".writer.json"),
        ("delete", "synthetic/manifest.json"),
        ("w", "synthetic/one"),
        ("delete", "synthetic/two"),
        ("w", "synthetic/manifest.json"),
        ("delete", ".writer.json"),
    ]
    assert published(store) == ["model/manifest.json", "model/weights", "synthetic/manifest.json", "synthetic/one"]


def test_nothing_is_written_where_nothing_changed(store):
    with open_mirror(RUN, everything) as mirror:
        write(mirror.folder, "model", weights="w")
    store.log.clear()
    with open_mirror(RUN, everything, writes=False):
        pass
    assert not [entry for entry in store.log if entry[0] in ("w", "delete")]


@pytest.mark.parametrize("dies_at", range(1, 7))
def test_an_interrupted_publication_never_looks_complete_and_can_be_resumed(store, dies_at):
    with open_mirror(RUN, everything) as mirror:
        write(mirror.folder, "synthetic", one="1", two="2")
    count = 0

    def away(mode: str, address: str) -> None:
        nonlocal count
        count += mode in ("w", "delete")
        if count > dies_at:
            raise ConnectionError("away")

    store.before = away
    broke = False
    try:
        with open_mirror(RUN, everything) as mirror:
            write(mirror.folder, "synthetic", one="new", three="3")
            (mirror.folder / "synthetic" / "two").unlink()
    except DataError as error:
        broke = True
        assert error.code == "LS213" and "is kept in" in str(error)
    store.before = lambda mode, address: None
    objects = store.path(RUN)
    if (objects / "synthetic" / "manifest.json").exists():
        names = {path.name for path in (objects / "synthetic").iterdir()} - {"manifest.json"}
        texts = (objects / "synthetic" / "one").read_text()
        assert (names, texts) in (({"one", "two"}, "1"), ({"one", "three"}, "new"))
    with open_mirror(RUN, everything) as mirror:  # the same command again goes on with the folder
        assert (mirror.folder / "synthetic" / "one").read_text() == "new"
        assert read_manifest(mirror.folder / "synthetic")
    assert broke == (dies_at < 6)
    assert published(store) == ["synthetic/manifest.json", "synthetic/one", "synthetic/three"]


def test_a_folder_is_discarded_where_the_bucket_has_changed_since(store):
    with open_mirror(RUN, everything) as mirror:
        write(mirror.folder, "model", weights="w")
    store.before = _refusing("synthetic")
    with pytest.raises(DataError, match="LS213"), open_mirror(RUN, everything) as mirror:
        write(mirror.folder, "synthetic", one="1")
    store.before = lambda mode, address: None
    (store.path(RUN) / "model" / "weights").write_text("of another machine")
    with open_mirror(RUN, everything) as mirror:
        assert (mirror.folder / "model" / "weights").read_text() == "of another machine"
        assert not (mirror.folder / "synthetic").exists()


def test_a_command_that_only_reads_leaves_unpublished_work_alone(store):
    store.before = _refusing("model")
    with pytest.raises(DataError, match="LS213"), open_mirror(RUN, everything) as mirror:
        write(mirror.folder, "model", weights="w")
    store.before = lambda mode, address: None
    with open_mirror(RUN, everything, writes=False) as reader:
        assert not (reader.folder / "model").exists()
    with open_mirror(RUN, everything) as mirror:
        assert (mirror.folder / "model" / "weights").read_text() == "w"
    assert published(store) == ["model/manifest.json", "model/weights"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("model/weights", True),
        (".next/model/weights", True),
        ("synthetic/country=CR/part-0.txt", True),
        (".lock", False),
        (".lease.json", False),
        (".lease.json.lock", False),
        (".tmp/x", False),
        (".next/.tmp/train.tokens", False),
        ("model/.weights.12.tmp", False),
        (".model.old/weights", False),
        (".inputs/1/rules.yaml", False),
    ],
)
def test_locks_and_temporary_files_are_not_published(name, kept):
    assert is_published(name) == kept


def _refusing(word: str, refused: str = "w"):
    def before(mode: str, address: str) -> None:
        if mode == refused and word in address:
            raise ConnectionError("away")

    return before


def test_only_the_process_that_started_last_may_publish(store):
    with pytest.raises(DataError, match="LS203"), open_mirror(RUN, everything) as mirror:
        write(mirror.folder, "model", weights="w")
        other = Mirror(RUN, mirror.folder.with_name("other-machine"))
        other.open(everything)
    assert published(store) == [".writer.json"]


def test_two_processes_of_a_machine_cannot_open_the_same_run_directory(store):
    with open_mirror(RUN, everything), pytest.raises(DataError, match="LS203"), open_mirror(RUN, everything):
        pass


def test_a_stage_that_fails_publishes_what_it_left(store):
    with pytest.raises(KeyError), open_mirror(RUN, everything) as mirror:
        (mirror.folder / "model").mkdir()
        (mirror.folder / "model" / "checkpoint").write_text("so far")
        raise KeyError
    assert published(store) == ["model/checkpoint"]


def test_names_that_lead_out_of_the_folder_are_not_followed(store, tmp_path):
    class Hostile(FakeObjectStore):
        def list_files(self, prefix, with_metadata=True):
            yield f"{RUN}/../../evil", (1, 1.0)
            yield from super().list_files(prefix)

    store.__class__ = Hostile
    with open_mirror(RUN, everything, writes=False) as mirror:
        assert not [path for path in mirror.folder.rglob("*") if path.is_file()]


def test_files_of_a_deleted_directory_are_deleted_although_they_were_not_copied(store):
    """Without a manifest there is no group that a stage could be seen to rewrite."""
    for name in ("report/index.html", "report/figures/a.png", "report2/index.html", "top.txt"):
        storage.put(Path(__file__), f"{RUN}/{name}")
    with open_mirror(RUN, lambda name: False) as mirror:
        assert sorted(path.name for path in mirror.folder.iterdir()) == ["report", "report2"]
    assert len(published(store)) == 4
    with pytest.raises(KeyError), open_mirror(RUN, lambda name: False) as mirror:
        shutil.rmtree(mirror.folder / "report")
        raise KeyError
    assert published(store) == ["report2/index.html", "top.txt"]


def test_a_deleted_directory_is_remembered_by_a_command_that_resumes(store):
    storage.put(Path(__file__), f"{RUN}/report/index.html")
    store.before = _refusing("report", "delete")
    with pytest.raises(DataError, match="LS213"), open_mirror(RUN, lambda name: False) as mirror:
        shutil.rmtree(mirror.folder / "report")
    store.before = lambda mode, address: None
    with open_mirror(RUN, lambda name: False) as mirror:
        assert not (mirror.folder / "report").exists()
    assert published(store) == []


def test_a_plain_run_in_a_bucket_is_replaced_before_a_private_one_begins(store, tmp_path):
    """Tokenize copies neither records nor report, and must not leave them there."""
    plain = write_run(tmp_path / "plain", private=False)
    (plain.root / "report" / "manifest.json").unlink()  # as generate does to a report of earlier records
    for path in plain.root.rglob("*"):
        if path.is_file():
            storage.put(path, f"{RUN}/{path.relative_to(plain.root).as_posix()}")
    config = TensorFlowConfig(checkpoint_dir=RUN, dp=True)
    with pytest.raises(DataError, match=rf"LS204.*{RUN}"), config_with_local_paths(config, "tokenize") as (local, _):
        replace_other_kind(local, StageReport("tokenize"))
    config = config.replace(overwrite=True)
    with config_with_local_paths(config, "tokenize") as (local, _):
        replace_other_kind(local, StageReport("tokenize"))
    left = published(store)
    assert {name.split("/")[0] for name in left} == {"private"}
    assert {name.split("/")[1] for name in left} == {"spent.json", "replaced-1", ".spent.json.lock"}
    assert "private/replaced-1/model/checkpoints/best.npz" in left


@pytest.mark.slow
def test_generate_in_a_bucket_gives_the_same_files_as_locally(store, tmp_path):
    here = tmp_path / "here"
    tiny_run(here)
    settings = {"gen_lines": 6, "unit_size": 3, "gen_chars": 30}
    for path in here.rglob("*"):
        if path.is_file():
            storage.put(path, f"{RUN}/{path.relative_to(here).as_posix()}")
    there = generate(TensorFlowConfig(checkpoint_dir=RUN, **settings))
    assert there.outputs["synthetic"] == f"{RUN}/synthetic"
    generate(TensorFlowConfig(checkpoint_dir=str(here), **settings))
    for path in (here / "synthetic").glob("part-*"):
        assert storage.read_bytes(f"{RUN}/synthetic/{path.name}") == path.read_bytes()
    body = json.loads(storage.read_bytes(f"{RUN}/synthetic/manifest.json"))
    assert body["outputs"] == read_manifest(here / "synthetic")["outputs"]
    with pytest.raises(DataError, match=rf"LS204: '{RUN}/synthetic'.*overwrite=True"):
        generate(TensorFlowConfig(checkpoint_dir=RUN, **settings))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["report", "private/report"])
def test_a_report_in_a_bucket_is_marked_when_its_records_are_replaced(store, tmp_path, place):
    here = tmp_path / "here"
    tiny_run(here)
    for path in here.rglob("*"):
        if path.is_file():
            storage.put(path, f"{RUN}/{path.relative_to(here).as_posix()}")
    for name, text in (("report.json", "{}"), ("index.html", "<header>"), ("manifest.json", '{"format_version": 1}')):
        (tmp_path / name).write_text(text)
        storage.put(tmp_path / name, f"{RUN}/{place}/{name}")
    generate(TensorFlowConfig(checkpoint_dir=RUN, gen_lines=6, unit_size=3, gen_chars=30))
    assert json.loads(storage.read_bytes(f"{RUN}/{place}/report.json")) == {"stale": True}
    assert f"{place}/manifest.json" not in storage.list_below(RUN)


@pytest.mark.slow
@pytest.mark.parametrize("num_shards", [None, 2])
def test_workers_that_share_only_a_bucket_write_the_same_records(store, tmp_path, monkeypatch, num_shards):
    settings = {"gen_lines": 7, "unit_size": 3, "gen_chars": 30, "num_shards": num_shards, "output_format": ["text"]}
    for name in ("shared", "apart"):
        tiny_run(tmp_path / name)
        if name == "apart":
            monkeypatch.setattr(sharing, "shared_storage_root", lambda options: "s3://lines/tmp")
        generate(TensorFlowConfig(checkpoint_dir=str(tmp_path / name), **settings))
    shared, apart = (read_manifest(tmp_path / name / "synthetic") for name in ("shared", "apart"))
    assert shared["outputs"] == apart["outputs"] and len(apart["outputs"]) == (num_shards or 3)
    for name in apart["outputs"]:
        assert (tmp_path / "apart" / "synthetic" / name).read_bytes() == (
            tmp_path / "shared" / "synthetic" / name
        ).read_bytes()
    assert any(mode == "w" and address.startswith("s3://lines/tmp/") for mode, address in store.log)
    assert storage.list_below("s3://lines/tmp") == {}


def test_an_archive_is_exported_to_a_bucket_and_imported_from_it(store, tmp_path):
    tiny_run(tmp_path / "run")
    export(str(tmp_path / "run"), "s3://lines/model.tar.gz")
    with pytest.raises(DataError, match="LS204"):
        export(str(tmp_path / "run"), "s3://lines/model.tar.gz")
    import_archive("s3://lines/model.tar.gz", str(tmp_path / "new"))
    assert (tmp_path / "new" / "model").is_dir()


def test_a_report_is_shown_after_its_files_are_published(store):
    shown = []
    with open_mirror(RUN, everything) as mirror:
        write(mirror.folder, "model", weights="w")
        report = StageReport("train", outputs={"model": str(mirror.folder / "model")})

        def show(report: StageReport) -> int:
            shown.append((report.outputs, published(store)))
            return 7

        assert after_publishing(show, mirror)(report) == 7
    names = [".writer.json", "model/manifest.json", "model/weights"]
    assert shown == [({"model": f"{RUN}/model"}, names)]
    assert after_publishing(show, None)(StageReport("tokenize")) == 7


def test_small_files_are_copied_and_their_address_is_published(store, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("[]")
    storage.put(rules, "s3://lines/rules.yaml")
    config = TensorFlowConfig(checkpoint_dir=RUN, rules="s3://lines/rules.yaml")
    with config_with_local_paths(config, "generate") as (local, mirror):
        assert Path(local.rules).read_text() == "[]"
        (mirror.folder / "model").mkdir()
        (mirror.folder / "model" / "x.json").write_text(json.dumps({"rules": local.rules, "at": local.checkpoint_dir}))
    body = json.loads(storage.read_bytes(f"{RUN}/model/x.json"))
    assert body == {"rules": "s3://lines/rules.yaml", "at": RUN}


def test_a_received_run_does_not_choose_what_is_fetched_or_run(store, tmp_path, capsys):
    """Its settings name files of another bucket, which the user can read and its maker perhaps not, and code."""
    tiny_run(tmp_path / "run")
    elsewhere = {"rules": "s3://others/rules.yaml", "dp_public_vocabulary": "s3://others/secret.txt"}
    stored = config_from_model_dir(tmp_path / "run").replace(**elsewhere, line_validator="evil.py:judge")
    save_params(stored, tmp_path / "run")
    with open_mirror(RUN, everything) as mirror:
        shutil.copytree(tmp_path / "run", mirror.folder, dirs_exist_ok=True)
        write_manifest(mirror.folder / "model", "train", {"complete": True})
    store.log.clear()
    assert run_command_line(["generate", "--output", RUN, "--num-lines", "1"]) == 2
    told = capsys.readouterr().err
    assert "LS128: --line-validator 'evil.py:judge', --rules 's3://others/rules.yaml'" in told
    assert [address for _, address in store.log if "others" in address] == []


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"privacy_ledger": "s3://lines/ledger.json", "dataset_name": "d"}, "LS315"),
        ({"iceberg_table": "lake.rides"}, "LS124"),
    ],
)
def test_what_needs_a_lock_or_a_path_is_refused(store, settings, code):
    with (
        pytest.raises(ParameterError, match=code),
        config_with_local_paths(TensorFlowConfig(checkpoint_dir=RUN, **settings), "generate"),
    ):
        pass


def test_the_command_line_refuses_a_table_in_the_local_copy(store, tmp_path, capsys):
    tiny_run(tmp_path / "run")
    with open_mirror(RUN, everything) as mirror:
        shutil.copytree(tmp_path / "run", mirror.folder, dirs_exist_ok=True)
        write_manifest(mirror.folder / "model", "train", {"complete": True})
    assert run_command_line(["generate", "--output", RUN, "--num-lines", "5", "--iceberg-table", "lake.rides"]) == 2
    assert "LS124" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://x/y", "LS127"),
        ("s3://", "names no bucket"),
        ("s3:///x", "names no bucket"),
        ("s3://key:word@bucket/x", "had a user, a password or a query"),
        ("gs://bucket/x?sig=1", "had a user, a password or a query"),
        ("gs:///", "names no bucket"),
    ],
)
def test_an_invalid_address_is_refused(address, said):
    with pytest.raises(ParameterError, match=said):
        store_addresses.check_address(address, "--output")


@pytest.mark.parametrize(("address", "extra"), [("s3://b/x", "aws"), ("gs://b/x", "gcp")])
def test_a_missing_extra_is_named(monkeypatch, address, extra):
    monkeypatch.setattr(store_addresses, "_installed", lambda package: False)
    with pytest.raises(ParameterError, match=rf"LS106: --output.*pip install 'linesmith\[{extra}\]'"):
        store_addresses.check_address(address, "--output")


class Answer(Exception):
    """As boto and Google's libraries raise it."""

    def __init__(self, code: int) -> None:
        super().__init__("secret-key in the text")
        self.code = code


@pytest.mark.parametrize(
    ("error", "words", "passing"),
    [
        (Answer(403), "access is denied", False),
        (Answer(404), "no such bucket", False),
        (Answer(401), "credentials", False),
        (Answer(503), "status 503", True),
        (Answer(429), "status 429", True),
        (ConnectionResetError(), "cannot be reached", True),
        (FileNotFoundError(), "no such bucket", False),
    ],
)
def test_errors_of_a_store_are_explained(error, words, passing):
    failure = classify_error(error)
    assert words in failure.reason and failure.transient == passing
    assert "secret" not in failure.reason


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ValueError("x"), ZeroDivisionError()])
def test_errors_that_no_store_raised_are_not_changed(error):
    assert classify_error(error) is None
    with pytest.raises(type(error)):
        with_retries(lambda: (_ for _ in ()).throw(error), "s3://b/x", "read", waits=(0, 0))


def test_a_store_that_is_away_for_a_moment_is_tried_again():
    tries = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionResetError
        return "there"

    assert with_retries(flaky, "s3://b/x", "read", waits=(0, 0, 0)) == "there"
    with pytest.raises(DataError, match=r"LS213: 's3://b/x' cannot be read: the store cannot be reached"):
        with_retries(lambda: (_ for _ in ()).throw(ConnectionResetError()), "s3://b/x", "read", waits=(0, 0))


def test_stamps_differ_where_an_object_was_written():
    one = storage.StoredObject(3, 10.2)
    assert dataclasses.replace(one, size=4).stamp != one.stamp != dataclasses.replace(one, updated=12.0).stamp
