"""Scores of canaries by what a training leaves behind: the model's loss, with and without a reference, and the vocabulary."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linesmith.core.artifacts.model_info import load_weights, read_model_info
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import TokenizerError
from linesmith.model.privacy.poisson_sampling import physical_batches
from linesmith.model.privacy.validation import in_memory_token_store, record_losses
from linesmith.model.tf_function import graph
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.training.batches import Batch
from linesmith.model.training.language_model import LanguageModel
from linesmith.model.training.trainer import Trainer, build_model

REFERENCE_EPOCHS = 6
_ROWS = 256
Floats = npt.NDArray[np.float64]


def trained_network(run_dir: Path, config: TensorFlowConfig) -> LanguageModel:
    """The network of a run directory, with the weights that generation would take."""
    network = build_model(config, read_model_info(run_dir).vocab_size)
    weights = load_weights(run_dir)
    for variable in network.trainable_variables:
        variable.assign(weights[variable.path])
    return network


def reference_network(
    config: TensorFlowConfig, tokenizer: Tokenizer, records: Sequence[str], seed: int
) -> LanguageModel:
    """What the same records without any canary teach, for as long as it takes to learn their form: no privacy is needed.

    An attacker may know all records but the canary; what a canary's loss is lower by than here, it has from being read.
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
    network = build_model(plain, tokenizer.total_vocab_size)
    store = in_memory_token_store([tokenizer.encode_to_ids(record) for record in records])
    with tempfile.TemporaryDirectory() as place:
        nothing = in_memory_token_store([[]])
        empty = type(nothing)(nothing.ids[:0], nothing.starts[:0], nothing.lengths[:0], 0)
        trainer = Trainer(
            plain, network, store, empty, directory=Path(place), history_path=Path(place) / "h.csv", identity={}
        )
        trainer.fit()
    return network


def losses(network: LanguageModel, tokenizer: Tokenizer, texts: Sequence[str], seq_length: int) -> Floats:
    """Nats of each text, its end included and cut at `seq_length`; infinite where the vocabulary cannot write it."""
    found, tokens = token_losses(network, tokenizer, texts, seq_length)
    return found * tokens


def token_losses(
    network: LanguageModel, tokenizer: Tokenizer, texts: Sequence[str], seq_length: int
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Nats a token of each text, infinite where the vocabulary cannot write it, and how many tokens it was."""
    ids = [_encoded(tokenizer, text) for text in texts]
    known = [number for number, one in enumerate(ids) if one is not None]
    found, counts = np.full(len(texts), np.inf), np.ones(len(texts), np.int64)
    if known:
        store = in_memory_token_store([one for one in ids if one is not None])
        counts[known] = tokens = np.minimum(np.asarray(store.lengths) - 1, seq_length)
        measure = graph(lambda rows: record_losses(network, rows), input_signature=[Batch.specs()])
        order = np.argsort(-tokens, kind="stable")
        for start in range(0, len(order), _ROWS):
            part = order[start : start + _ROWS]
            (batch,) = physical_batches(store, part, batch_size=_ROWS, seq_length=seq_length)
            rows = batch.tensors()
            found[np.array(known)[part]] = measure(rows).numpy()[: len(part)]
    return found, counts


def vocabulary_scores(tokenizer: Tokenizer, marks: Sequence[str]) -> Floats:
    """By how few tokens the vocabulary writes each single character: one that was learnt takes fewer than one that was not."""
    lengths = [_encoded(tokenizer, mark) for mark in marks]
    return np.array([-100.0 if ids is None else -float(len(ids)) for ids in lengths])


def _encoded(tokenizer: Tokenizer, text: str) -> list[int] | None:
    try:
        return tokenizer.encode_to_ids(text)
    except TokenizerError:
        return None
