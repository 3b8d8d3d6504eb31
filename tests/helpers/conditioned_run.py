"""Write a run directory of a model with random weights whose records were conditioned on two of four columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from linesmith.core.artifacts.checkpoints import digest_arrays, save_arrays
from linesmith.core.artifacts.model_info import BEST_WEIGHTS, CHECKPOINTS_DIR, SCHEMA_FILE, ModelInfo, write_model_info
from linesmith.core.artifacts.params import save_params
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.tokenizers import CharTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.records.field_order import FieldOrder
from linesmith.records.output.column_types import ColumnType
from linesmith.records.output.schema import RecordSchema, write_schema

COLUMNS = ["id", "town", "country", "height"]
CONDITIONS = ["country", "height"]
VALUES = [["FR", "IT", '"a,b"'], ["", "1", "20"]]


def conditioned_run(root: Path, condition_on: list[str] | None = CONDITIONS, **settings: object) -> Path:
    """Write a run directory; without `condition_on`, of a model that was not conditioned."""
    order = None if condition_on is None else FieldOrder.first(condition_on, COLUMNS)
    form = TokenFormat(",", quoted=True, field_order=None if order is None else order.positions)
    tokenizer = CharTokenizer(sorted(map(ord, set('FRITabcdeno,"0123456789 '))), form)
    tokenizer.save(root / "tokenizer")
    config = TensorFlowConfig(
        checkpoint_dir=root,
        field_delimiter=",",
        quoted=True,
        columns=COLUMNS,
        condition_on=condition_on,
        vocab_size=0,
        rnn_units=8,
        rnn_layers=1,
        embedding_dim=4,
        **settings,
    )
    save_params(config, root)
    types = [ColumnType("long"), ColumnType(), ColumnType(), ColumnType("long", nullable=True)]
    numbers = [{"least": "0", "most": "99", "scale": 0, "empty": False}, None, None]
    numbers.append({"least": "0", "most": "99", "scale": 0, "empty": True})
    info = ModelInfo(
        vocab_size=tokenizer.total_vocab_size,
        embedding_dim=4,
        rnn_units=8,
        rnn_layers=1,
        length_cap_tokens=60,
        field_count=4,
        columns=COLUMNS,
        tokenizer_digest=tokenizer.digest,
        default_checkpoint="best",
        weights_digest="",
        best_epoch=0,
        last_epoch=0,
        stopped="epochs",
        field_numbers=numbers if order is None else order.to_model(numbers),
        condition_on=condition_on,
        condition_values=None if condition_on is None else VALUES[: len(condition_on)],
    )
    random = np.random.default_rng(1)
    weights = {p: random.normal(scale=0.3, size=s).astype(np.float32) for p, s in info.weight_shapes.items()}
    bias = next(path for path in weights if path.endswith("logits/bias"))
    weights[bias][:2] += 2.5  # short fields
    save_arrays(root / "model" / CHECKPOINTS_DIR / BEST_WEIGHTS, weights, {"epoch": 0})
    write_schema(root / "model" / SCHEMA_FILE, RecordSchema(tuple(COLUMNS), tuple(types)))
    write_model_info(root / "model", replace(info, weights_digest=digest_arrays(weights)))
    return root
