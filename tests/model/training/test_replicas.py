"""Two devices train like one. They are logical devices, which TensorFlow only makes at its start: hence a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from linesmith.core.errors import ParameterError
from linesmith.model.training.batches import Batch
from linesmith.model.training.replicas import choose_strategy, split_batch

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
TWO_DEVICES = """
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import sys
from pathlib import Path
from linesmith.model.training import replicas
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.training.settings import NetworkSettings, TrainingSettings
from linesmith.model.training.trainer import Trainer, build_model
from tests.helpers.token_stores import random_records, store_of

config = TensorFlowConfig(embedding_dim=8, rnn_units=16, batch_size=7, seq_length=20, epochs=2, dropout_rate=0.0,
                          matmul_precision="float32", early_stopping=False)
data = random_records(45, 9, 15)


def initial_model():
    return build_model(NetworkSettings.from_config(config), 9)


def fitted(name, strategy):
    with replicas.strategy_scope(strategy):
        trainer = Trainer(
            TrainingSettings.from_config(config), initial_model(), store_of(data[:36]), store_of(data[36:]),
            strategy=strategy, directory=Path(sys.argv[1]) / name, history_path=Path(sys.argv[1]) / name / "history.csv",
            identity={},
        )
    trainer.fit()
    return trainer


one = fitted("one", None)
two = fitted("two", tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
assert one.state.total_steps == two.state.total_steps >= 10
for name, array in one.weights().items():
    np.testing.assert_allclose(two.weights()[name], array, atol=1e-5, err_msg=name)
for entry, other in zip(one.state.history, two.state.history, strict=True):
    for metric in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(other.metric(metric), entry.metric(metric), rtol=1e-5)
moved = [float(np.abs(a - b).max()) for a, b in zip(one.weights().values(), initial_model().get_weights())]
assert max(moved) > 0.01  # it did train
resumed = fitted("two", tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))  # takes up what is complete
for name, array in two.weights().items():
    np.testing.assert_array_equal(resumed.weights()[name], array)
print("equal")
"""


@pytest.mark.slow
def test_two_devices_end_like_one(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TWO_DEVICES, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split()[-1] == "equal"


@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4))
def test_every_row_goes_to_one_replica_and_filling_rows_have_no_weight(count, steps, replicas):
    array = np.arange(1, count + 1) * np.ones((steps, 1))
    parts = split_batch(Batch(array, array, array), replicas)
    assert len({part.inputs.shape for part in parts}) == 1
    columns = [part.weights[0, i] for part in parts for i in range(part.weights.shape[1])]
    assert sorted(column for column in columns if column) == list(range(1, count + 1))
    assert max((part.weights > 0).any(axis=0).sum() for part in parts) == -(-count // replicas)


def test_one_device_needs_no_strategy_and_private_training_takes_no_more(monkeypatch):
    assert choose_strategy(None, private=False) is None
    with pytest.raises(ParameterError, match="LS101: --devices 3: more than the 0 GPUs"):
        choose_strategy(3, private=False)
    two = [tf.config.LogicalDevice("/device:GPU:0", "GPU"), tf.config.LogicalDevice("/device:GPU:1", "GPU")]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: two)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda names: names)
    assert choose_strategy(None, private=False) == ["/device:GPU:0", "/device:GPU:1"]
    assert choose_strategy(1, private=False) is None
    assert choose_strategy(1, private=True) is None
    with pytest.raises(ParameterError, match="LS307"):
        choose_strategy(None, private=True)
