"""What a private run leaves outside of RUN/private does not depend on any single record but through charged releases.

Two runs are compared whose inputs differ in one record. No record is sampled and the noise is always the same, so the charged
releases are equal, and any difference is a leak outside of them. Besides the bytes, the names of the files are compared with a
list: what is not on it must not be there, whether it depends on records or not.
"""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from linesmith import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.privacy import trainer as private_training
from linesmith.pipelines import workflow
from linesmith.pipelines.audit.settings import AuditSettings
from linesmith.pipelines.audit.stage import audit
from linesmith.pipelines.evaluate.stage import evaluate_run
from linesmith.pipelines.generate.stage import generate
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.pipelines.train.stage import train_model
from linesmith.records.input.record_format import TRAIN, DatasetSplitter, record_digest
from tests.helpers.run_states import write_run

pytestmark = pytest.mark.integration

SETTINGS = {
    "dp": True,
    "dp_unsafe_fixed_key": "1",  # the same noise in both runs
    "dp_noise_multiplier": 1.0,
    "dp_batch_size": 10,
    "dp_delta": 1e-3,
    "epochs": 1,
    "batch_size": 16,
    "seq_length": 20,
    "embedding_dim": 8,
    "rnn_units": 8,
    "rnn_layers": 1,
    "validation_split": False,
    "holdout_fraction": 0,
    "dataset_name": "letters",
    "gen_lines": 5,
    "max_invalid": 10**6,
    "output_format": ["text", "avro"],
}
ODD = "Žižkov\t" + "0123456789" * 60  # other characters, more fields, another length than any other record
# As the statement says, and files of locks, which are empty.
NOT_RELEASABLE = {"private", ".tmp", "report", "audit", ".lock", ".lease.json.lock"}
RELEASABLE = {
    "model_params.json", "model_history.csv",
    "model/README.md", "model/manifest.json", "model/model.json", "model/privacy.json", "model/privacy.txt",
    "model/checkpoints/best.npz", "model/checkpoints/last-weights.npz",
    "tokenizer/tokenizer_params.json", "tokenizer/vocabulary.json",
}  # fmt: skip
OF_EVERY_SHARD = re.compile(
    r"synthetic/(README\.md|croissant\.json)|(synthetic|invalid)/(manifest\.json|record\.avsc|part-[0-9-]+of-[0-9]+\.(txt|avro|jsonl))"
)
# The number of records N is public, and with it the rate of the samples and epsilon, which these files name.
NAME_N = {"model/privacy.json", "model/privacy.txt", "model/manifest.json", "model_history.csv"}
NAME_N |= {"model/README.md", "synthetic/README.md"}


def records_of(change: str) -> list[str]:
    """Return 38 records, one of them replaced or removed, or one added; each of the odd ones is on the training side."""
    lines = [f"{i % 7},{'ab' * (i % 5)},{i}" for i in range(38)]
    return {
        "none": lines,
        "replace": [*lines[:18], ODD, *lines[19:]],
        "add": [*lines, ODD],
        "remove": [*lines[:18], *lines[19:]],
    }[change]


def released_files(root) -> dict[str, bytes]:
    """Return every releasable file by name."""
    files = {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    return {str(name): content for name, content in files.items() if name.parts[0] not in NOT_RELEASABLE}


def private_run(
    directory, monkeypatch, lines: list[str], beam_args: tuple[str, ...] = (), **settings
) -> dict[str, bytes]:
    """Tokenize, train and generate, and return the releasable files."""
    directory.mkdir(exist_ok=True)
    (directory / "in.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(directory)
    config = TensorFlowConfig(**{**SETTINGS, "input_data_path": "in.txt", "checkpoint_dir": "run", **settings})
    monkeypatch.setattr(private_training, "poisson_sample", lambda *_: np.empty(0, np.int64))
    tokenize(config, beam_args)
    train_model(config)
    generate(config, beam_args)
    return released_files(directory / "run")


def assert_same_release(plain: dict[str, bytes], odd: dict[str, bytes], change: str) -> None:
    assert [name for name in odd if name not in RELEASABLE and not OF_EVERY_SHARD.fullmatch(name)] == []
    assert plain.keys() == odd.keys()
    differing = [name for name in plain if plain[name] != odd[name]]
    if change != "replace":
        for name in NAME_N & set(differing):
            assert without_numbers(plain[name]) == without_numbers(odd[name]), name
        differing = [name for name in differing if name not in NAME_N]
    assert differing == []
    assert any(name.startswith("synthetic/") and name.endswith(".avro") for name in plain)


def without_numbers(content: bytes) -> str:
    return re.sub(r"\d[\d.,e+-]*", "#", content.decode())


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        return private_run(tmp_path_factory.mktemp("unchanged"), patch, records_of("none"))


@pytest.mark.parametrize("change", ["replace", "add", pytest.param("remove", marks=pytest.mark.slow)])
def test_one_record_changes_no_releasable_file(unchanged, tmp_path, monkeypatch, change):
    assert_same_release(unchanged, private_run(tmp_path, monkeypatch, records_of(change), tensorboard=True), change)


def test_generation_reads_nothing_but_model_and_tokenizer(tmp_path, monkeypatch):
    before = private_run(tmp_path, monkeypatch, records_of("replace"))
    run = tmp_path / "run"
    for path in run.iterdir():
        if path.name not in {"model", "tokenizer", "model_params.json"}:  # the last holds settings only
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    generate(TensorFlowConfig(checkpoint_dir=str(run), gen_lines=5, max_invalid=10**6))
    texts = {name: content for name, content in released_files(run).items() if re.match("synthetic/.*txt", name)}
    assert texts == {name: before[name] for name in texts}
    assert texts


@pytest.mark.slow
@pytest.mark.parametrize("change", ["replace", "add", "remove"])
@pytest.mark.parametrize(
    "settings",
    [
        # The threshold of the noised counts is far above one record, so that the vocabulary is the same.
        pytest.param({"dp_vocabulary": "dp_characters"}, id="dp_characters"),
        pytest.param({"validation_split": True, "dp_validation": "noised", "dp_validation_noise": 50.0}, id="noised"),
        pytest.param({"beam_args": ("--workers=2",)}, id="workers"),
    ],
)
def test_one_record_changes_no_releasable_file_with_other_settings(tmp_path, monkeypatch, settings, change):
    side = DatasetSplitter(0, True).split_of
    digests = [record_digest(line.encode()) for line in (ODD, records_of("none")[18])]
    assert [side(digest) for digest in digests] == [TRAIN, TRAIN]  # the validation records stay the same
    runs = [private_run(tmp_path / name, monkeypatch, records_of(name), **settings) for name in ("none", change)]
    assert_same_release(*runs, change)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["begun", "complete"])
def test_a_used_directory_changes_no_releasable_file(unchanged, tmp_path, monkeypatch, state):
    """A plain run is overwritten; only what the statement says of it differs."""
    write_run(tmp_path / "run", private=False, state=state)
    odd = private_run(tmp_path, monkeypatch, records_of("replace"), overwrite=True)
    assert odd.keys() == unchanged.keys()
    statement, params = {"model/privacy.json", "model/privacy.txt"}, "model_params.json"
    assert {name for name in odd if odd[name] != unchanged[name]} == {*statement, params}
    assert json.loads(odd[params]) == {**json.loads(unchanged[params]), "overwrite": True}
    assert json.loads(odd["model/privacy.json"])["earlier_trainings"]["count"] == 1


@pytest.mark.slow
def test_report_and_audit_change_no_releasable_file(tmp_path, monkeypatch):
    before = private_run(tmp_path, monkeypatch, records_of("replace"), dp_delta=1e-6)  # the audit takes more records
    config = TensorFlowConfig(**{**SETTINGS, "dp_delta": 1e-6, "input_data_path": "in.txt", "checkpoint_dir": "run"})
    evaluate_run(config)
    audit(config, AuditSettings(records=20, canaries=10, gradients=10, reference=False))
    assert released_files(tmp_path / "run") == before


def test_a_time_limit_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="LS301"):
        workflow.run(TensorFlowConfig(**SETTINGS, max_training_time_seconds=60, checkpoint_dir=tmp_path / "run"))


def test_one_user_changes_no_releasable_file(tmp_path, monkeypatch):
    """All records of a user are changed (more fields, other characters, another length), but not the user's name."""
    settings = {"privacy_key_field": "0", "field_delimiter": ",", "dp_records_per_user": 2, "dp_batch_size": 3}
    settings |= {"dp_delta": 1e-2}
    lines = [f"{i % 7},{'ab' * (i % 5)},{i}" for i in range(40)]
    plain = private_run(tmp_path / "plain", monkeypatch, lines, **settings)
    changed = [f"3,Žižkov,{i},{'0123456789' * 60}" if i % 7 == 3 else line for i, line in enumerate(lines)]
    odd = private_run(tmp_path / "odd", monkeypatch, changed, **settings)
    assert plain.keys() == odd.keys()
    assert [name for name in plain if plain[name] != odd[name]] == []
    counts = json.loads((tmp_path / "odd" / "run" / "private" / "training_counts.json").read_text())
    assert (counts["users"], counts["taking_part"], counts["beyond_records_per_user"]) == (7, 14, 26)
    assert counts["cut_at_seq_length"] == 6
    report = json.loads(plain["model/manifest.json"])["counts"]
    assert report["users"] == 7
    assert "records" not in report  # how many records the users have is not public
