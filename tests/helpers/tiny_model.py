"""Write a run directory with an untrained model whose output varies; it takes little time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from linesmith.core.artifacts.checkpoints import digest_arrays, save_arrays
from linesmith.core.artifacts.files import write_json
from linesmith.core.artifacts.model_info import BEST_WEIGHTS, CHECKPOINTS_DIR, LAST_WEIGHTS, ModelInfo, write_model_info
from linesmith.core.artifacts.params import save_params
from linesmith.core.artifacts.privacy_statement import STATEMENT_FILE, weights_digests
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.fields.choice import layout_of_field_count
from linesmith.model.tokenizers.char_tokenizer import CharTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.model.training.language_model import LanguageModel

ALPHABET = "abcdefghij0123456789."


def tiny_run(
    run_dir: Path,
    *,
    units: int = 24,
    layers: int = 2,
    cap: int = 40,
    seed: int = 1,
    private: bool = False,
    fields: int = 0,
) -> LanguageModel:
    """Write a run directory and return its model. The widths are odd on purpose, because sampling pads them.

    With `fields`, the network knows so many, and masks keep records to them.
    """
    config = TensorFlowConfig(
        checkpoint_dir=run_dir,
        dp=private,
        field_delimiter=", ",
        vocab_size=0,
        rnn_units=units,
        rnn_layers=layers,
        embedding_dim=10,
    )
    tokenizer = CharTokenizer([ord(c) for c in ALPHABET], TokenFormat(field_delimiter=", "))
    layout = layout_of_field_count(fields, tokenizer, cap) if fields else None
    model = LanguageModel(tokenizer.total_vocab_size, 10, units, layers, seed=seed, layout=layout)
    random = np.random.default_rng(seed)
    model.set_weights([array + random.normal(scale=0.3, size=array.shape) for array in model.get_weights()])
    weights = {variable.path: variable.numpy() for variable in model.trainable_variables}
    for name in (BEST_WEIGHTS, LAST_WEIGHTS):
        save_arrays(run_dir / "model" / CHECKPOINTS_DIR / name, weights)
    if private:
        write_json(run_dir / "model" / STATEMENT_FILE, {"weights": weights_digests(run_dir / "model")})
    tokenizer.save(run_dir / "tokenizer")
    save_params(config, run_dir)
    info = ModelInfo(
        vocab_size=tokenizer.total_vocab_size,
        embedding_dim=10,
        rnn_units=units,
        rnn_layers=layers,
        length_cap_tokens=cap,
        field_count=fields or None,
        columns=None,
        tokenizer_digest=tokenizer.digest,
        default_checkpoint="best",
        weights_digest=digest_arrays(weights),
        best_epoch=0,
        last_epoch=0,
        stopped="epochs",
        field_inputs=None if layout is None else layout.inputs,
    )
    write_model_info(run_dir / "model", info)
    return model
