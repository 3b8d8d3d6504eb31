"""Write a run directory of a model with random weights that learned the rows of a Parquet file, nested ones among them."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from linesmith.core.artifacts.checkpoints import digest_arrays, save_arrays
from linesmith.core.artifacts.model_info import (
    BEST_WEIGHTS,
    CHECKPOINTS_DIR,
    TABLE_FILE,
    ModelInfo,
    write_model_info,
)
from linesmith.core.artifacts.params import save_params
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.tokenizers import CharTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.records.field_order import FieldOrder
from linesmith.records.sources.arrow_rows import describe_schema
from linesmith.records.table_format import TableFormat, write_table_format

SCHEMA = pa.schema(
    [
        pa.field("at", pa.timestamp("ms", "UTC"), False),
        ("note", pa.string()),
        ("n", pa.int32()),
        ("geo", pa.struct([("city", pa.string()), ("level", pa.int8())])),
        ("price", pa.decimal128(6, 2)),
        ("ok", pa.bool_()),
    ]
)
CONDITIONS = ["at", "note", "n", "geo.city", "price"]


def typed_run(root: Path) -> Path:
    """Write a run directory of a model that can be asked for CONDITIONS."""
    table = describe_schema(SCHEMA, "parquet")
    short = tuple(replace(column, digits=0) if column.kind == "timestamp" else column for column in table.columns)
    table = TableFormat("arrow", short, table.source)
    names = list(table.field_names)
    order = FieldOrder.first(CONDITIONS, names)
    form = TokenFormat(",", quoted=True, field_order=order.positions)
    tokenizer = CharTokenizer(sorted(map(ord, {*string.ascii_letters, *string.digits, *' ,"{}:.-\\'})), form)
    tokenizer.save(root / "tokenizer")
    config = TensorFlowConfig(
        checkpoint_dir=root,
        input_format="parquet",
        condition_on=CONDITIONS,
        rnn_units=8,
        rnn_layers=1,
        embedding_dim=4,
    )
    save_params(config, root)
    info = ModelInfo(
        vocab_size=tokenizer.total_vocab_size,
        embedding_dim=4,
        rnn_units=8,
        rnn_layers=1,
        length_cap_tokens=150,
        field_count=len(names),
        columns=names,
        tokenizer_digest=tokenizer.digest,
        default_checkpoint="best",
        weights_digest="",
        best_epoch=0,
        last_epoch=0,
        stopped="epochs",
        condition_on=CONDITIONS,
        condition_values=[None] * len(CONDITIONS),
    )
    random = np.random.default_rng(1)
    weights = {p: random.normal(scale=0.3, size=s).astype(np.float32) for p, s in info.weight_shapes.items()}
    bias = next(path for path in weights if path.endswith("logits/bias"))
    weights[bias][:2] += 2.5  # short fields
    save_arrays(root / "model" / CHECKPOINTS_DIR / BEST_WEIGHTS, weights, {"epoch": 0})
    write_table_format(root / "model" / TABLE_FILE, table)
    write_model_info(root / "model", replace(info, weights_digest=digest_arrays(weights)))
    return root
