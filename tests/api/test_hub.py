"""Models on the Hugging Face Hub, whose API a server on the loopback plays."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

import linesmith
from linesmith import DataError, Model, ParameterError
from linesmith.core.artifacts.params import config_from_model_dir
from tests.helpers.hub_server import TOKEN, run_hub
from tests.helpers.tiny_model import tiny_run

pytestmark = pytest.mark.integration
NAME = "me/rides"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    with run_hub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        yield server


def tiny_model(directory, **settings) -> Model:
    tiny_run(directory, **settings)
    for name in ("private/training_data", "training_data", "private"):
        (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / name / "lines.txt").write_text("a record that must not leave")
    return Model(config_from_model_dir(directory))


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar.getmembers()}


def test_a_model_goes_to_the_hub_and_comes_back(hub, tmp_path):
    model = tiny_model(tmp_path / "run")
    address = model.push_to_hub(NAME, token=TOKEN)
    assert address.startswith(f"{hub.url}/{NAME}/commit/")
    assert hub.private == {NAME: True} and set(hub.files[NAME]) == {"model.tar.gz", "README.md"}
    found = Model.from_hub(NAME, token=TOKEN)
    assert found.sample(3, gen_chars=20) == model.sample(3, gen_chars=20)
    page = hub.files[NAME]["README.md"].decode()
    assert "library_name: linesmith" in page and "without differential privacy" in page and NAME in page
    model.push_to_hub("other", private=False, token=TOKEN)
    assert hub.private["me/other"] is False


def test_a_private_model_takes_its_statement_along_and_nothing_else(hub, tmp_path):
    model = tiny_model(tmp_path / "run", private=True)
    statement = tmp_path / "run" / "model" / "privacy.json"
    statement.write_text(json.dumps({**json.loads(statement.read_text()), "epsilon": 3.004, "delta": 1e-6}))
    model.push_to_hub(NAME, token=TOKEN)
    files = hub.files[NAME]
    assert set(files) == {"model.tar.gz", "README.md", "privacy.json"}
    packed = members(files["model.tar.gz"])
    assert packed["model/privacy.json"] == files["privacy.json"] == statement.read_bytes()
    assert "epsilon 3.01 at delta 1e-06" in files["README.md"].decode()
    assert not [name for name in packed if name.startswith(("private", "training_data"))]
    assert not any(b"must not leave" in content for content in [*files.values(), *packed.values()])
    assert not [name for name in packed if name.endswith((".pkl", ".pickle"))]


def test_a_statement_of_other_weights_is_not_uploaded(hub, tmp_path):
    model = tiny_model(tmp_path / "run", private=True)
    (tmp_path / "run" / "model" / "privacy.json").write_text(json.dumps({"weights": {"best.npz": "0" * 64}}))
    with pytest.raises(DataError, match="LS214"):
        model.push_to_hub(NAME, token=TOKEN)
    assert hub.files == {}


@pytest.mark.parametrize(
    ("name", "status", "token", "match"),
    [
        ("me/nothing", 0, TOKEN, r"LS213: repo_id 'me/nothing': there is no such repository.*404"),
        (NAME, 0, "hf_wrong", r"LS213.*401"),
        (NAME, 403, TOKEN, r"LS213.*403"),
        ("me/a b", 0, TOKEN, r"LS101: repo_id 'me/a b'"),
        ("me/empty", 0, TOKEN, r"LS201: repo_id 'me/empty': holds no model.tar.gz"),
        ("me/foreign", 0, TOKEN, r"LS210: path .*no gzip tar archive"),
    ],
)
def test_what_cannot_be_loaded_is_one_error(hub, name, status, token, match):
    hub.files |= {NAME: {"model.tar.gz": b""}, "me/empty": {}, "me/foreign": {"model.tar.gz": b"code"}}
    hub.status = status
    with pytest.raises((DataError, ParameterError), match=match) as caught:
        Model.from_hub(name, token=token)
    assert token not in str(caught.value)


@pytest.mark.slow
def test_a_hub_that_is_away_is_told(hub, tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{revision}/{filename}")
    with pytest.raises(DataError, match=r"LS213.*cannot be reached"):
        Model.from_hub(NAME, token=TOKEN)
    with pytest.raises(DataError, match=r"LS213.*cannot be reached"):
        tiny_model(tmp_path / "run").push_to_hub(NAME, token=TOKEN)


def test_the_extra_is_named_where_the_library_is_missing(monkeypatch):
    monkeypatch.setattr("linesmith.api.hub.find_spec", lambda name: None)
    with pytest.raises(ParameterError, match=r"LS106.*linesmith\[hub\]"):
        linesmith.Model.from_hub(NAME)
