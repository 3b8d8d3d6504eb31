"""Training of a network that knows fields: what it leaves out of its input, and the batches of small tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from linesmith.core.artifacts.field_inputs import FieldInputs, ValueHash
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.fields.layout import FieldLayout
from linesmith.model.training.batches import make_batch
from linesmith.model.training.settings import NetworkSettings, TrainingSettings
from linesmith.model.training.trainer import Trainer, build_model
from tests.helpers.token_stores import random_records, store_of

pytestmark = pytest.mark.integration

VOCAB = 9


def _layout() -> FieldLayout:
    inputs = FieldInputs(
        first_token=2,
        memory=20,
        positions=[4, 4, 4, 2],
        parents=[[], [0], [0, 1]],
        tokens=[[2, 3], [2, 3], []],
        values=[ValueHash(0, 257, 5), ValueHash(1, 257, 5)],
        digits=[0] * 10,
    )
    return FieldLayout(inputs, VOCAB)


def _trainer(directory: Path, records: int, layout: FieldLayout | None, **changes: object) -> Trainer:
    config = TensorFlowConfig(**{"embedding_dim": 8, "rnn_units": 16, "seq_length": 20, "dropout_rate": 0.4, **changes})
    return Trainer(
        TrainingSettings.from_config(config),
        build_model(NetworkSettings.from_config(config), VOCAB, layout),
        store_of(random_records(records, VOCAB, 15)),
        store_of([]),
        directory=directory / "checkpoints",
        history_path=directory / "model_history.csv",
        identity={},
    )


@pytest.mark.parametrize(("records", "known", "steps"), [(100, 7, 2), (640, 16, 10), (1024, 16, 16), (2000, 32, 32)])
def test_a_small_table_has_more_steps_where_fields_are_known(
    tmp_path: Path, records: int, known: int, steps: int
) -> None:
    assert _trainer(tmp_path / "fields", records, _layout()).begin_epoch() == known
    assert _trainer(tmp_path / "plain", records, None).begin_epoch() == steps


def test_some_records_lack_a_value(tmp_path: Path) -> None:
    layout, trainer = _layout(), _trainer(tmp_path, 400, _layout())
    batch = make_batch(trainer.train, np.arange(400), layout).to_tensors()
    found = trainer._without_some_values(batch)["rows"].numpy()
    before = batch["rows"].numpy()
    unused = found == layout.unused_rows
    assert (found[..., :-2] == before[..., :-2]).all()  # tokens, places and parents stay
    assert ((found == before) | unused)[..., -2:].all()
    left_out = unused[..., -2:].all(axis=0)  # for all steps of a record
    assert 0.2 < left_out.mean() < 0.4
    assert (trainer._without_some_values(batch)["rows"].numpy() == found).all()
    trainer.optimizer.iterations.assign_add(1)
    assert (trainer._without_some_values(batch)["rows"].numpy() != found).any()


def test_without_dropout_every_value_is_looked_up(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, 30, _layout(), dropout_rate=0.0)
    batch = {"rows": tf.zeros([3, 4, 6], tf.int32)}
    assert trainer._without_some_values(batch) is batch
