"""Training and sampling speed beside a stock Keras LSTM and the machine's float32 matmul rate, in one run.

    .venv/bin/python benchmarks/speed.py

Prints a table and writes benchmarks/results/speed.json. The architecture is the default one (256/256, two layers) with
64 token ids; rows hold 100 tokens, all of them real.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from machine import flops_a_token, matmul_rate, seconds_a_call
from rich.console import Console
from rich.table import Table

from model.config import TensorFlowConfig
from model.language_model import LanguageModel, token_losses
from model.sampling_network import STEPS, Rule, SamplingNetwork, idle_table
from model.training import build_model

UNITS, LAYERS, VOCAB, TIME, SECONDS = 256, 2, 64, 100, 12.0
RESULTS = Path(__file__).parent / "results" / "speed.json"


def stock_model() -> keras.Model:
    """The same network from stock Keras layers, batch first."""
    layers: list[Any] = [keras.layers.Input([None], dtype="int32"), keras.layers.Embedding(VOCAB, UNITS)]
    for _ in range(LAYERS):
        layers += [keras.layers.LSTM(UNITS, return_sequences=True), keras.layers.Dropout(0.2)]
    return keras.Sequential([*layers, keras.layers.Dense(VOCAB)])


def rows(batch: int) -> dict[str, tf.Tensor]:
    random = np.random.default_rng(0)
    return {
        "inputs": tf.constant(random.integers(0, VOCAB, (TIME, batch)), tf.int32),
        "targets": tf.constant(random.integers(0, VOCAB, (TIME, batch)), tf.int32),
        "weights": tf.ones([TIME, batch]),
    }


def train_rate(model: keras.Model, batch: int, loss: Any) -> float:
    """Tokens a second of a whole training step."""
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)
    data = rows(batch)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(model, data)
        optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)
        return value

    return batch * TIME / seconds_a_call(lambda: step().numpy(), SECONDS)


def our_loss(model: LanguageModel, data: dict[str, tf.Tensor]) -> tf.Tensor:
    total, _, tokens = token_losses(model, data, training=True)
    return total / tokens


def stock_loss(model: keras.Model, data: dict[str, tf.Tensor]) -> tf.Tensor:
    logits = model(tf.transpose(data["inputs"]), training=True)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.transpose(data["targets"]), logits))


def sample_rate(block: int) -> float:
    """Tokens a second of the sampling network, every row busy."""
    model = LanguageModel(VOCAB, UNITS, UNITS, LAYERS)
    network = SamplingNetwork({v.path: v.numpy() for v in model.trainable_variables}, LAYERS, [])
    rule = Rule(greedy=False, truncated=False, counts_chars=False, prefixed=False)
    table, prefixes, state = idle_table(block), (np.zeros(1, np.int32), 0), network.idle_block(block)
    call = lambda: network.run(state, table, prefixes, rule, (1.0, 0, 0, 1.0))  # noqa: E731
    return block * STEPS / seconds_a_call(call, SECONDS / 2)


def main() -> None:
    config = TensorFlowConfig()
    table = Table("what", "tokens a second", "of the matmul bound")
    results: dict[str, Any] = {"tokens_per_second": {}, "ratios": {}}
    before = matmul_rate()
    rates: dict[str, tuple[float, bool]] = {}
    for batch in (64, 256):
        rates[f"train, ours, batch {batch}"] = train_rate(build_model(config, VOCAB), batch, our_loss), True
    rates["train, stock Keras, batch 64"] = train_rate(stock_model(), 64, stock_loss), True
    for block in (64, 1024):
        rates[f"sample, block {block}"] = sample_rate(block), False
    after = matmul_rate()
    rate = (before + after) / 2
    for what, (tokens, training) in rates.items():
        bound = rate / flops_a_token(UNITS, UNITS, LAYERS, VOCAB, training=training)
        table.add_row(what, f"{tokens:,.0f}", f"{tokens / bound:.2f}")
        results["tokens_per_second"][what] = tokens
        results["ratios"][f"{what} / bound"] = tokens / bound
    ours, stock = rates["train, ours, batch 64"][0], rates["train, stock Keras, batch 64"][0]
    results["ratios"]["train_vs_stock_keras"] = ours / stock
    results["matmul_flops"] = {"before": before, "after": after}
    console = Console()
    console.print(table)
    console.print(
        f"float32 matmul {before / 1e9:.0f} GFLOP/s before, {after / 1e9:.0f} after; ours / stock {ours / stock:.2f}"
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
