"""Models in buckets, from Python. `make test-buckets` does the same on real servers."""

from __future__ import annotations

import pytest

import linesmith
from linesmith import DataError, Model, ParameterError
from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.transforms.storage import objects as storage
from tests.helpers.fake_object_store import FakeObjectStore, install
from tests.helpers.tiny_model import tiny_run

pytestmark = pytest.mark.integration


@pytest.fixture
def store(tmp_path, monkeypatch) -> FakeObjectStore:
    return install(tmp_path, monkeypatch)


@pytest.fixture
def model(tmp_path) -> Model:
    tiny_run(tmp_path / "run")
    for name in ("training_data", "private"):
        (tmp_path / "run" / name).mkdir()
        (tmp_path / "run" / name / "lines.txt").write_text("a record that must not leave")
    return Model(config_from_model_dir(tmp_path / "run"))


@pytest.mark.parametrize("place", ["s3://lines/models/one", "gs://lines/models/one/", "s3://lines/one.tar.gz"])
def test_a_model_is_saved_to_a_bucket_and_loaded_from_it(store, model, place):
    assert model.save(place) == place
    found = linesmith.load(place)
    assert found.sample(3, gen_chars=20) == model.sample(3, gen_chars=20)
    names = storage.list_below(place.rpartition("/")[0] if place.endswith(".gz") else place)
    assert names and not [
        name for name in names if "lines.txt" in name or ".writer" in name or name.startswith("private")
    ]


def test_another_model_in_a_bucket_is_not_replaced(store, model, tmp_path):
    model.save("s3://lines/one")
    model.save("s3://lines/one")  # the same model
    tiny_run(tmp_path / "other", seed=2)
    other = Model(config_from_model_dir(tmp_path / "other"))
    with pytest.raises(DataError, match=r"LS215.*s3://lines/one.*another model"):
        other.save("s3://lines/one")
    model.save("s3://lines/one.tar.gz")
    with pytest.raises(DataError, match=r"LS204: path 's3://lines/one.tar.gz': exists already. Pass overwrite=True"):
        other.save("s3://lines/one.tar.gz")
    other.save("s3://lines/one.tar.gz", overwrite=True)
    assert linesmith.load("s3://lines/one.tar.gz").sample(2, gen_chars=9) == other.sample(2, gen_chars=9)


def test_a_model_is_loaded_from_a_run_directory_that_a_command_left_in_a_bucket(store, model):
    for path in model.directory.rglob("*"):
        if path.is_file():
            storage.put(path, f"s3://lines/runs/one/{path.relative_to(model.directory).as_posix()}")
    store.log.clear()
    found = linesmith.load("s3://lines/runs/one")
    assert found.sample(3, gen_chars=20) == model.sample(3, gen_chars=20)
    assert not [entry for entry in store.log if entry[0] in ("w", "delete")]
    assert not [address for mode, address in store.log if mode == "r" and "lines.txt" in address]


@pytest.mark.parametrize(
    ("place", "match"),
    [
        ("ftp://x/y", "LS127: path 'ftp://x/y'"),
        ("s3://", "LS127: path 's3://': names no bucket"),
        ("s3://key:word@lines/x", "LS127: path.*had a user"),
        ("s3://lines/nothing", "LS201: path 's3://lines/nothing'"),
        ("s3://lines/nothing.tar.gz", r"LS2\d\d.*nothing.tar.gz"),
    ],
)
def test_an_address_without_a_model_is_one_error_that_names_the_argument(store, place, match):
    with pytest.raises((DataError, ParameterError), match=match) as caught:
        linesmith.load(place)
    assert "--" not in str(caught.value)


@pytest.mark.parametrize("path", [3, None, b"x", "", "a\0b"])
def test_what_is_no_path_is_refused(model, path):
    with pytest.raises(ParameterError, match=r"LS101: path .*not a path"):
        linesmith.load(path)
    with pytest.raises(ParameterError, match=r"LS101: path .*not a path"):
        model.save(path)


def test_places_that_cannot_be_saved_to_name_the_argument(model, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ParameterError, match=r"LS221: path '.*file': a file"):
        model.save(tmp_path / "file")
    (tmp_path / "dir.tar.gz").mkdir()
    with pytest.raises(ParameterError, match=r"LS221: path '.*': a directory"):
        model.save(tmp_path / "dir.tar.gz")
