"""A private model's discriminator: counted once, named by the statement, used by generation, and given away with the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from linesmith.core.artifacts.archive import write_archive
from linesmith.core.artifacts.files import sha256_file
from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.model.generation.python_api import generate_text
from linesmith.model.privacy.cell_counts import CellCounter
from linesmith.pipelines.export import import_archive
from linesmith.pipelines.generate.stage import generate
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.pipelines.train.stage import train_model

pytestmark = pytest.mark.integration
FILE = "model/checkpoints/discriminator.npz"


def _config(root: Path, **settings: object) -> TensorFlowConfig:
    small = {"embedding_dim": 8, "rnn_units": 16, "epochs": 8, "seq_length": 16, "dp_batch_size": 100, "gen_lines": 300}
    private = {"dp": True, "dp_unsafe_fixed_key": "1", "dp_target_epsilon": 8.0, "columns": ["first", "second"]}
    return TensorFlowConfig(
        input_data_path=root / "lines.txt",
        checkpoint_dir=root,
        field_delimiter=",",
        **{**small, **private, **settings},
    )


def _lines() -> list[str]:
    random = np.random.default_rng(0)
    first = random.choice([1, 2, 3, 44, 55], 2500, p=[0.5, 0.2, 0.1, 0.1, 0.1])
    return [f"{a},{a % 10 if one else 7}" for a, one in zip(first, random.random(2500) < 0.8, strict=True)]


@pytest.fixture(scope="module")
def tokenized(tmp_path_factory):
    root = tmp_path_factory.mktemp("tokenized")
    (root / "lines.txt").write_text("\n".join(_lines()) + "\n")
    tokenize(_config(root))
    return root


@pytest.fixture(scope="module")
def trained(tokenized, tmp_path_factory):
    root = tmp_path_factory.mktemp("trained") / "run"
    shutil.copytree(tokenized, root)
    train_model(_config(root))
    return root


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def _texts(root: Path, **settings: object) -> list[str]:
    return [record.text for record in generate_text(_config(root, **settings)) if record.valid is not False]


def _distance(texts: list[str]) -> float:
    """Return the total variation between records and the real ones."""
    real, made = _lines(), texts
    values = set(real) | set(made)
    return sum(abs(real.count(value) / len(real) - made.count(value) / len(made)) for value in values) / 2


def test_records_are_more_like_the_real_ones(run):
    assert _distance(_texts(run, gen_lines=2000)) < _distance(_texts(run, gen_lines=2000, gen_drafts=1)) / 2


def test_the_statement_names_it_and_its_cost_is_in_the_claim(run):
    statement = json.loads((run / "model" / "privacy.json").read_text())
    assert statement["discriminator"]["sha256"] == sha256_file(run / FILE) == read_model_info(run).discriminator
    assert 0 < statement["discriminator"]["epsilon"] < statement["epsilon"] <= 8
    assert not (run / "private" / "training").exists()


def test_it_is_used_with_the_model_s_own_share_of_probability_only(run):
    assert read_model_info(run).top_p == 0.98
    assert _texts(run, gen_top_p=0.98) == _texts(run) != _texts(run, gen_drafts=1)
    for other in ({"gen_top_p": 1.0}, {"gen_top_p": 0.9}, {"exact_distribution": True}, {"field_aware": False}):
        assert _texts(run, **other) == _texts(run, gen_drafts=1, **other)


def test_it_goes_with_the_model_where_that_is_given_away(run, tmp_path):
    assert FILE in write_archive(run, tmp_path / "model.tar.gz")["members"]
    import_archive(str(tmp_path / "model.tar.gz"), str(tmp_path / "copy"))
    assert _texts(tmp_path / "copy") == _texts(run)


def test_another_one_beside_the_statement_is_refused(run):
    """Such as one that was learned from the records without noise."""
    info = json.loads((run / "model" / "model.json").read_text())
    (run / "model" / "model.json").write_text(json.dumps({**info, "discriminator": "0" * 64}))
    with pytest.raises(DataError, match=r"LS214.*another discriminator"):
        generate(_config(run))


def test_a_training_that_was_killed_after_counting_does_not_count_again(trained, tokenized, tmp_path, monkeypatch):
    root = tmp_path / "run"
    shutil.copytree(tokenized, root)

    class KilledError(Exception):
        pass

    def die(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("linesmith.pipelines.train.local.publish_model", die)
        with pytest.raises(KilledError):
            train_model(_config(root))
    monkeypatch.setattr(CellCounter, "count", die)
    train_model(_config(root))
    assert (root / FILE).read_bytes() == (trained / FILE).read_bytes()


def test_where_it_cannot_be_learned_nothing_is_counted_and_a_note_says_so(tokenized, tmp_path, monkeypatch):
    root = tmp_path / "run"
    shutil.copytree(tokenized, root)
    monkeypatch.setattr(CellCounter, "count", lambda *_: pytest.fail("records were counted"))
    monkeypatch.setattr("linesmith.model.discriminator.private_fitting.choose_columns", lambda *_: [])
    report = train_model(_config(root))
    assert any("no discriminator was learned, although it is charged" in notice for notice in report.notices)
    assert read_model_info(root).discriminator is None
    assert _texts(root) == _texts(root, gen_drafts=1)


def test_users_count_as_they_are_trained_on(tmp_path, monkeypatch):
    (tmp_path / "lines.txt").write_text("".join(f"{line},{n // 2}\n" for n, line in enumerate(_lines())))
    config = _config(
        tmp_path, columns=["first", "second", "who"], privacy_key_field="who", dp_records_per_user=1, epochs=2
    )
    tokenize(config)
    counted = []
    count = CellCounter.count

    def watched(counter, *args):
        counter = CellCounter(
            [batch for batch in counter.records if counted.append(len(batch)) or True],
            counter.units,
            counter.records_per_unit,
            counter.noise_multiplier,
            counter.key,
        )
        return count(counter, *args)

    monkeypatch.setattr(CellCounter, "count", watched)
    train_model(config)
    users = json.loads((tmp_path / "model" / "privacy.json").read_text())["users"]
    assert 1000 < users < 1250
    assert sum(counted) == users  # one of the two records of each
