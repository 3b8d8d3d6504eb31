"""Losses of single texts under a network in memory: what the audit compares. For a stored model: `sampling.text_losses`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from linesmith.core.artifacts.model_info import load_weights, read_model_info
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.model.fields.layout import layout_of_model
from linesmith.model.sampling.text_losses import encode_or_none
from linesmith.model.tf_function import graph
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.training.batches import Batch, physical_batches, row_counts
from linesmith.model.training.language_model import LanguageModel
from linesmith.model.training.settings import NetworkSettings
from linesmith.model.training.token_store import in_memory_token_store
from linesmith.model.training.trainer import build_model

_ROWS = 256  # texts computed at once
Floats = npt.NDArray[np.float64]


def load_trained_network(run_dir: Path, config: TensorFlowConfig) -> LanguageModel:
    """Build the network of a run directory with the weights that generation uses.

    Args:
        run_dir: the run directory.
        config: settings of the trained model.

    Raises:
        DataError: the model is missing or damaged, or is not of the settings.
    """
    info, settings = read_model_info(run_dir), NetworkSettings.from_config(config)
    described = (info.embedding_dim, info.rnn_units, info.rnn_layers)
    if (settings.embedding_dim, settings.rnn_units, settings.rnn_layers) != described:
        raise DataError(
            "LS214",
            None,
            f"the settings in '{run_dir}' describe another network than its model has",
            "Restore the run directory or train again with --overwrite.",
        )
    weights = load_weights(run_dir)
    network = build_model(settings, info.vocab_size, layout_of_model(info))
    for variable in network.trainable_variables:
        variable.assign(weights[variable.path])
    return network


def record_losses(model: LanguageModel, rows: dict[str, tf.Tensor]) -> tf.Tensor:
    """Compute the mean loss of each row over its own tokens. No operation mixes rows.

    Args:
        model: the network.
        rows: inputs, targets [T, B] int32; weights [T, B] float32, 0 at padding; rows, where the network knows fields.

    Returns:
        Nats per token of each row, [B] float32; 0 for a row of padding.
    """
    logits = model(rows["inputs"], rows=rows.get("rows"))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(rows["targets"], logits) * rows["weights"]
    return tf.math.divide_no_nan(tf.reduce_sum(losses, axis=0), tf.reduce_sum(rows["weights"], axis=0))


def text_losses(network: LanguageModel, tokenizer: Tokenizer, texts: Sequence[str], seq_length: int) -> Floats:
    """Compute the loss of each text in nats, summed over its tokens.

    Args:
        network: the trained network.
        tokenizer: its vocabulary.
        texts: lines without their newline.
        seq_length: most tokens of a text that count.

    Returns:
        Nats of each text, its end included, [texts]; infinite where the vocabulary cannot encode the text.
    """
    measure = graph(lambda rows: record_losses(network, rows), input_signature=[Batch.tensor_specs(network.slots)])
    ids = [encode_or_none(tokenizer, text) for text in texts]
    encodable = np.array([number for number, text_ids in enumerate(ids) if text_ids is not None], np.int64)
    losses = np.full(len(texts), np.inf)
    if not len(encodable):
        return losses
    store = in_memory_token_store([text_ids for text_ids in ids if text_ids is not None])
    counts, rows = np.minimum(np.asarray(store.lengths) - 1, seq_length), row_counts(_ROWS)
    for part, batch in physical_batches(
        store, np.arange(len(store)), counts_of=lambda _: rows, seq_length=seq_length, layout=network.layout
    ):
        losses[encodable[part]] = measure(batch.to_tensors()).numpy()[: len(part)] * counts[part]
    return losses
