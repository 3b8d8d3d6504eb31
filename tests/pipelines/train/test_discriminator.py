"""A trained model's discriminator: learned, used, left alone where it does not apply, given away and resumed with the model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from linesmith.core.artifacts.archive import write_archive
from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.model.generation.python_api import generate_text
from linesmith.pipelines.export import import_archive
from linesmith.pipelines.generate.stage import generate
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.pipelines.train.stage import train_model

pytestmark = pytest.mark.integration
FILE = "model/checkpoints/discriminator.npz"


def _config(root: Path, **settings: object) -> TensorFlowConfig:
    small = {"embedding_dim": 8, "rnn_units": 16, "epochs": 4, "field_delimiter": ",", "early_stopping": False}
    return TensorFlowConfig(
        input_data_path=root / "lines.txt", checkpoint_dir=root, tensorboard=False, **{**small, **settings}
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run whose records are two numbers that are near each other, which so small a network does not learn in four epochs."""
    root = tmp_path_factory.mktemp("trained")
    random = np.random.default_rng(0)
    first = random.normal(50, 10, 2000)
    near = random.normal(0, 0.3, 2000)
    lines = [f"{a:.1f},{a + d:.1f}" for a, d in zip(first, near, strict=True)]
    (root / "lines.txt").write_text("\n".join(lines) + "\n")
    tokenize(_config(root))
    report = train_model(_config(root))
    assert report.counts["records that the discriminator keeps"].startswith("1 of ")
    return root


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def tokenized(trained, tmp_path):
    """The training data of the run, of which no model was made."""
    shutil.copytree(
        trained, tmp_path / "again", ignore=shutil.ignore_patterns("model", "model_*", "synthetic", "invalid")
    )
    return tmp_path / "again"


def _texts(root: Path, count: int = 300, **settings: object) -> list[str]:
    config = _config(root, gen_lines=count, **settings)
    return [record.text for record in generate_text(config) if record.valid is not False]


def _typical_distance(texts: list[str]) -> float:
    numbers = np.array([text.split(",") for text in texts], float)
    return float(np.median(np.abs(numbers[:, 1] - numbers[:, 0])))


def test_records_are_more_like_the_real_ones(run):
    assert _typical_distance(_texts(run)) < _typical_distance(_texts(run, gen_drafts=1)) / 2


def test_the_stage_writes_the_records_of_the_python_call_and_says_what_they_cost(run):
    report = generate(_config(run, gen_lines=300))
    written = "".join(path.read_text() for path in sorted((run / "synthetic").glob("part-*"))).splitlines()
    assert written == _texts(run)
    assert (report.counts["invalid"], report.counts["valid_rate"]) == (
        0,
        1.0,
    )  # drafts that are left out are no attempts
    assert any("drafts on average; --gen-drafts 1" in notice for notice in report.notices)


def test_the_records_do_not_depend_on_how_many_are_made_or_by_how_many_processes(run):
    first = _texts(run, 40)
    assert first == _texts(run, 300)[:40]
    config = _config(run, gen_lines=40)
    assert first == [record.text for record in generate_text(config, parallelism=2)]


@pytest.mark.parametrize(
    "settings",
    [
        {"gen_temp": 0.9},
        {"gen_top_k": 3},
        {"gen_top_p": 0.9},
        {"gen_chars": 5},
        {"field_aware": False},
        {"checkpoint": "last"},
    ],
)
def test_it_is_used_on_the_model_s_own_distribution_only(run, settings):
    assert _texts(run, 30, **settings) == _texts(run, 30, gen_drafts=1, **settings)


def test_the_exact_distribution_is_that_of_the_network(run):
    assert _texts(run, 30, exact_distribution=True) == _texts(run, 30, exact_distribution=True, gen_drafts=1)


def test_it_goes_with_the_model_where_that_is_given_away(run, tmp_path):
    assert FILE in write_archive(run, tmp_path / "model.tar.gz")["members"]
    import_archive(str(tmp_path / "model.tar.gz"), str(tmp_path / "copy"))
    assert _texts(tmp_path / "copy", 30) == _texts(run, 30)


def test_a_damaged_one_is_refused_before_anything_is_made(run):
    content = bytearray((run / FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (run / FILE).write_bytes(content)
    with pytest.raises(DataError, match=r"discriminator\.npz"):
        generate(_config(run, gen_lines=5))
    generate(_config(run, gen_lines=5, gen_drafts=1))


def test_a_second_training_gives_the_same_bytes(trained, tokenized):
    train_model(_config(tokenized))
    assert (tokenized / FILE).read_bytes() == (trained / FILE).read_bytes()


def test_without_it_there_is_none(tokenized):
    report = train_model(_config(tokenized, discriminator=False))
    assert "records that the discriminator keeps" not in report.counts
    assert read_model_info(tokenized).discriminator is None
    assert not (tokenized / FILE).exists()
    assert _texts(tokenized, 30) == _texts(tokenized, 30, gen_drafts=1)


def test_where_it_cannot_be_learned_the_model_is_complete_and_a_note_says_why(tokenized, monkeypatch):
    monkeypatch.setattr("linesmith.model.discriminator.fitting.trees_of_classifier", lambda classifier: None)
    report = train_model(_config(tokenized))
    assert any("no discriminator was learned: this version of scikit-learn" in notice for notice in report.notices)
    assert read_model_info(tokenized).stopped == "epochs"
