"""Run our training steps on batches of a chosen shape; only this benchmark module uses internals of the trainers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.run_directory import workspace
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.fields.choice import layout_of_field_count
from linesmith.model.fields.inputs import input_rows
from linesmith.model.privacy.noise import noise_seeds
from linesmith.model.privacy.plan_from_config import plan_privacy
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.model.tokenizers import load_tokenizer
from linesmith.model.training.language_model import LanguageModel
from linesmith.model.training.settings import NetworkSettings, TrainingSettings
from linesmith.model.training.token_store import build_token_store
from linesmith.model.training.trainer import Trainer, build_model

Step = Callable[[], object]
# `dp` has smaller defaults: the steps of two different networks must not be compared.
ARCHITECTURE = ("embedding_dim", "rnn_units", "rnn_layers", "dropout_rate")


def require_equal_shapes(one: Any, other: Any) -> None:
    """Raise ValueError unless two models have weights of the same shapes."""
    shapes = [[tuple(variable.shape) for variable in model.trainable_variables] for model in (one, other)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"not the same architecture, so not to be compared: {shapes[0]} and {shapes[1]}")


class StepFactory:
    """Factory of training steps on tokenized data; the batches hold its text without padding.

    Args:
        config: settings of a run directory that has been tokenized. With `columns`, the network knows fields, and looks up what
            private training would.
        scratch: directory that trainers may write to.
    """

    def __init__(self, config: TensorFlowConfig, scratch: Path) -> None:
        self.config, self.scratch = config, scratch
        directories = workspace(config)
        tokenizer = load_tokenizer(directories.tokenizer)
        self.vocab = tokenizer.total_vocab_size
        self.layout = layout_of_field_count(len(config.columns or ()), tokenizer, config.seq_length)
        counts = (read_manifest(directories.training_data) or {})["counts"]["splits"]
        self.train, self.validation = (
            build_token_store(
                sorted(directories.training_data.glob(f"{split}-*.tfrecord.gz")),
                scratch / f"{split}.tokens",
                vocab_size=self.vocab,
                expected_records=counts[split]["records"],
            )
            for split in ("train", "validation")
        )

    def plain(self, batch: int, time: int) -> Step:
        """Return a complete step without privacy: forward, backward, update."""
        model = self._model(self.config)
        trainer = Trainer(
            TrainingSettings.from_config(self.config), model, self.train, self.validation, **self._files()
        )
        rows = self._rows(batch, time)
        return lambda: [float(part) for part in trainer._train_step(rows)]

    def private(self, batch: int, time: int) -> Step:
        """Return a complete private step: forward, backward, per-record norms, clipping, noise, update."""
        config = self.config.replace(
            dp=True,
            dp_noise_multiplier=1.0,
            dp_batch_size=batch,
            seq_length=time,
            epochs=1,
            **{name: getattr(self.config, name) for name in ARCHITECTURE},
        )
        model = self._model(config)
        require_equal_shapes(model, self._model(self.config))
        plan = plan_privacy(config, len(self.train))
        trainer = PrivateTrainer(TrainingSettings.from_config(config), model, self.train, plan, **self._files())
        rows = self._rows(batch, time)

        def step() -> object:
            part = trainer._clipped(rows, trainer._dropout_seeds(0, 0))
            trainer._noise_and_apply(part.gradients, noise_seeds(trainer._key, 0, len(part.gradients)))
            return part.unclipped.numpy()

        return step

    def _model(self, config: TensorFlowConfig) -> LanguageModel:
        return build_model(NetworkSettings.from_config(config), self.vocab, self.layout)

    def _files(self) -> dict[str, Any]:
        return {"directory": self.scratch, "history_path": self.scratch / "history.csv", "identity": {}}

    def _rows(self, batch: int, time: int) -> dict[str, Any]:
        """Return rows of real text, cut at any position: the cost of a step depends on how often tokens repeat in a row."""
        count = batch * time + 1
        tokens = np.resize(
            np.concatenate([self.train.record(rank) for rank in range(min(len(self.train), count))]), count
        )
        inputs = tokens[:-1].reshape(batch, time).T
        rows = {
            "inputs": tf.constant(inputs, tf.int32),
            "targets": tf.constant(tokens[1:].reshape(batch, time).T, tf.int32),
            "weights": tf.ones([time, batch]),
        }
        return rows if self.layout is None else {**rows, "rows": tf.constant(input_rows(inputs, self.layout))}
