"""Settings of training, taken from a run's configuration once, where the train stage begins."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, Self

from linesmith.core.config.tensorflow_config import TensorFlowConfig


@dataclass(frozen=True)
class NetworkSettings:
    """Shape and initial weights of the network; each value is the setting of the same name.

    Attributes:
        embedding_dim: width of the token embedding.
        rnn_units: units of each LSTM layer.
        rnn_layers: number of LSTM layers.
        rnn_initializer: Keras initializer of the recurrent weights.
        seed: makes the initial weights repeatable.
    """

    embedding_dim: int
    rnn_units: int
    rnn_layers: int
    rnn_initializer: str
    seed: int

    @classmethod
    def from_config(cls, config: TensorFlowConfig) -> Self:
        """Return the values that a run's configuration gives."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls)})


@dataclass(frozen=True)
class TrainingSettings:
    """What a trainer reads; each value is the setting of the same name.

    Attributes:
        seed: of the order of records and of dropout in training without privacy.
        batch_size: most records in a batch.
        seq_length: tokens per record at which a batch of `batch_size` records is full.
        dropout_rate: probability that dropout zeroes an output of an LSTM layer.
        matmul_precision: type of matrix products: 'auto', 'float32', 'bfloat16' or 'int8'.
        learning_rate: at the start of training.
        learning_rate_schedule: how the rate falls.
        epochs: most passes over the records.
        max_training_time_seconds: time limit; None for none.
        metric: picks the best epoch: 'val_loss', 'loss', 'val_accuracy' or 'accuracy'.
        early_stopping: whether training ends when the metric no longer improves.
        early_stopping_patience: epochs without improvement before training ends.
        early_stopping_min_delta: least change of the metric that counts as improvement.
        save_all_checkpoints: whether the weights of every epoch are kept.
    """

    seed: int
    batch_size: int
    seq_length: int
    dropout_rate: float
    matmul_precision: str
    learning_rate: float
    learning_rate_schedule: Literal["auto", "linear", "constant"]
    epochs: int
    max_training_time_seconds: int | None
    metric: str
    early_stopping: bool
    early_stopping_patience: int
    early_stopping_min_delta: float
    save_all_checkpoints: bool

    @classmethod
    def from_config(cls, config: TensorFlowConfig) -> Self:
        """Return the values that a run's configuration gives."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls)})
