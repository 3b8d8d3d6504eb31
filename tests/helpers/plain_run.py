"""Write a small run directory without TensorFlow: a model whose weights are random numbers, and all that generation reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from linesmith.core.artifacts.checkpoints import digest_arrays, save_arrays
from linesmith.core.artifacts.model_info import BEST_WEIGHTS, CHECKPOINTS_DIR, SCHEMA_FILE, ModelInfo, write_model_info
from linesmith.core.artifacts.params import save_params
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.tokenizers import ByteTokenizer, CharTokenizer, SentencePieceTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.records.output.column_types import ColumnType
from linesmith.records.output.schema import RecordSchema, write_schema

FORMAT = TokenFormat(",", column_pattern="<{}>", markers=3)


def plain_run(
    root: Path, tokenizer: CharTokenizer | ByteTokenizer | SentencePieceTokenizer | None = None
) -> dict[str, np.ndarray]:
    """Write a run directory with records of a number, a text and a date; return its weights."""
    tokenizer = CharTokenizer([ord(c) for c in "ab0123456789-."], FORMAT) if tokenizer is None else tokenizer
    tokenizer.save(root / "tokenizer")
    save_params(
        TensorFlowConfig(
            checkpoint_dir=root,
            field_delimiter=",",
            column_pattern="<{}>",
            vocab_size=0,
            rnn_units=3,
            rnn_layers=2,
            embedding_dim=2,
        ),
        root,
    )
    info = ModelInfo(
        vocab_size=tokenizer.total_vocab_size,
        embedding_dim=2,
        rnn_units=3,
        rnn_layers=2,
        length_cap_tokens=40,
        field_count=3,
        columns=["id", "word", "day"],
        tokenizer_digest=tokenizer.digest,
        default_checkpoint="best",
        weights_digest="",
        best_epoch=0,
        last_epoch=0,
        stopped="epochs",
        field_tokens=[list(range(tokenizer.total_vocab_size))] * 3,
        field_numbers=[{"least": "-10", "most": "120.5", "scale": 1, "empty": False}, None, None],
    )
    random = np.random.default_rng(1)
    weights = {path: random.normal(size=shape).astype(np.float32) for path, shape in info.weight_shapes.items()}
    save_arrays(root / "model" / CHECKPOINTS_DIR / BEST_WEIGHTS, weights, {"epoch": 0})
    types = (ColumnType("decimal", precision=6, scale=1), ColumnType(), ColumnType("date", nullable=True))
    write_schema(root / "model" / SCHEMA_FILE, RecordSchema(("id", "word", "day"), types))
    write_model_info(root / "model", replace(info, weights_digest=digest_arrays(weights)))
    return weights
