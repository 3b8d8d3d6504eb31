"""Scores of text canaries by what a training leaves behind: a reference model to compare losses with, and the vocabulary."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.fields.layout import FieldLayout
from linesmith.model.sampling.text_losses import encode_or_none
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.training.language_model import LanguageModel
from linesmith.model.training.settings import NetworkSettings, TrainingSettings
from linesmith.model.training.token_store import in_memory_token_store
from linesmith.model.training.trainer import Trainer, build_model

REFERENCE_EPOCHS = 6  # enough to learn the form of the records
_NOT_ENCODABLE = -100.0  # vocabulary score of a character that cannot be written at all


def reference_network(
    config: TensorFlowConfig,
    tokenizer: Tokenizer,
    records: Sequence[str],
    seed: int,
    layout: FieldLayout | None = None,
) -> LanguageModel:
    """Train a network on the same records without any canary and without privacy, to compare losses with.

    An attacker may know all records but the canary: how much less its loss is under the audited model than under this one comes
    from its having been trained on.

    Args:
        config: settings of the audited training; the shape of the network is taken from them.
        tokenizer: its vocabulary.
        records: real records, at least one.
        seed: seed of the network.
        layout: what the audited network looks up beside its last token; None for a plain one.
    """
    plain = TensorFlowConfig(
        seed=seed,
        embedding_dim=config.embedding_dim,
        rnn_units=config.rnn_units,
        rnn_layers=config.rnn_layers,
        seq_length=config.seq_length,
        matmul_precision=config.matmul_precision,
        epochs=REFERENCE_EPOCHS,
        early_stopping=False,
    )
    network = build_model(NetworkSettings.from_config(plain), tokenizer.total_vocab_size, layout)
    store = in_memory_token_store([tokenizer.encode_to_ids(record) for record in records])
    with tempfile.TemporaryDirectory() as directory:
        no_validation = in_memory_token_store([])
        trainer = Trainer(
            TrainingSettings.from_config(plain),
            network,
            store,
            no_validation,
            directory=Path(directory),
            history_path=Path(directory) / "h.csv",
            identity={},
        )
        trainer.fit()
    return network


def vocabulary_scores(tokenizer: Tokenizer, characters: Sequence[str]) -> npt.NDArray[np.float64]:
    """Score single characters by how few tokens the vocabulary needs for each: a learned one takes fewer than others.

    Args:
        tokenizer: the vocabulary.
        characters: the characters, one per canary.

    Returns:
        Minus the number of tokens of each character, [characters]; -100 where it cannot be encoded.
    """
    encoded = [encode_or_none(tokenizer, character) for character in characters]
    return np.array([_NOT_ENCODABLE if ids is None else -float(len(ids)) for ids in encoded])
