"""The rule not_in_training_set with training data in the format of tokenize, and its refusal for a private model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.model.generation import local_model
from linesmith.model.generation.python_api import generate_text
from linesmith.model.generation.training_hashes import write_training_hashes
from linesmith.pipelines.generate import stage
from linesmith.records.input.record_format import record_digest
from linesmith.records.input.training_hashes import TrainingHashes
from linesmith.transforms.tfrecord_shards import TFRecordShardWriter
from tests.helpers import generation_fakes
from tests.helpers.generation_fakes import fake_run

pytestmark = pytest.mark.integration

RULE = [{"not_in_training_set": True}]


def write_side(run: Path, side: str, texts: list[str]) -> Path:
    """Write one shard of a split with the writer of tokenize; return its path."""
    path = run / "training_data" / f"{side}-00000-of-00001.tfrecord.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    hashes = [record_digest(text.encode()).text_hash for text in texts]
    batch = pa.record_batch({"record_hash": pa.array(hashes, pa.int64()), "num_chars": [len(text) for text in texts]})
    ids = [[0, *(2 + ord(c) % 50 for c in text), 0] for text in texts]
    with TFRecordShardWriter(path) as shard:
        shard.write(batch, np.concatenate(ids).astype(np.int64), np.array([len(one) for one in ids], np.int64))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (stage, local_model):
        monkeypatch.setattr(module, "open_sampler", generation_fakes.open_fake)
    return fake_run(tmp_path / "run")


def settings(run: Path, **changes: object) -> TensorFlowConfig:
    return config_from_model_dir(run).replace(**{"gen_lines": 50, "unit_size": 20, **changes})


def lines(run: Path) -> list[str]:
    return [line for part in sorted((run / "synthetic").glob("*.txt")) for line in part.read_text().splitlines()]


def test_training_records_are_found_and_others_are_not(tmp_path: Path) -> None:
    trained, validated, held_out = ([f"{side},{n}" for n in range(100)] for side in "abc")
    for side, texts in (("train", trained), ("validation", validated), ("holdout", held_out)):
        write_side(tmp_path, side, [*texts, texts[0]])
    assert write_training_hashes(tmp_path / "set.npy", tmp_path / "training_data") == 200
    known = TrainingHashes(tmp_path / "set.npy")
    assert all(text in known for text in trained + validated)
    assert not any(text in known for text in [*held_out, "", "a,100", "A,1", "a,1 "])


def test_copies_are_rejected_and_replaced(run: Path) -> None:
    stage.generate(settings(run))
    first = lines(run)
    copies = first[::3]
    write_side(run, "train", copies)
    stage.generate(settings(run, validation_rules=RULE, overwrite=True))
    found = lines(run)
    assert len(found) == 50 and not set(found) & set(copies)
    assert [line for line in found if line in first] == [line for line in first if line not in copies]
    manifest = json.loads((run / "synthetic" / "manifest.json").read_text())
    (reason,) = (reason for reason in manifest["counts"]["invalid_by_reason"] if "training_set" in reason)
    assert manifest["counts"]["invalid_by_reason"][reason] >= len(copies)


def test_the_warning_states_the_limits_of_the_rule(run: Path) -> None:
    write_side(run, "train", ["1,2,3"])
    report = stage.generate(settings(run, validation_rules=RULE))
    assert any("near copies pass" in notice for notice in report.notices)


def test_the_rule_works_in_the_python_api(run: Path) -> None:
    first = [r.text for r in generate_text(settings(run), num_lines=30, parallelism=1) if r.valid is not False]
    write_side(run, "train", first[:5])
    records = list(generate_text(settings(run, validation_rules=RULE), num_lines=30, parallelism=1))
    assert not {record.text for record in records if record.valid} & set(first[:5])


def test_a_private_model_has_no_such_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_fake)
    run = fake_run(tmp_path / "run", dp=True)
    write_side(run, "train", ["1,2,3"])
    for generate in (stage.generate, lambda config: list(generate_text(config, parallelism=1))):
        with pytest.raises(ParameterError, match="LS309: the rule not_in_training_set") as caught:
            generate(settings(run, validation_rules=RULE))
        assert caught.value.code == "LS309"
    assert not (run / "synthetic").exists()


def test_the_error_for_damaged_training_data_does_not_contain_their_content(run: Path) -> None:
    path = write_side(run, "train", ["secret,2,3"])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="LS216: training data") as caught:
        stage.generate(settings(run, validation_rules=RULE))
    assert "secret" not in str(caught.value)
