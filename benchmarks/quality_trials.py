"""Settings that `benchmarks.quality trials` compares: differences from the defaults, with characters as tokens."""

from __future__ import annotations

from typing import Any

CHARACTERS: dict[str, Any] = {"vocab_size": 0}
TRIALS: dict[str, dict[str, Any]] = {
    "base": CHARACTERS,
    "pieces": {"vocab_size": 20_000},
    "pieces-500": {"vocab_size": 500},
    "batch-32": {**CHARACTERS, "batch_size": 32},
    "batch-128": {**CHARACTERS, "batch_size": 128},
    "rate-0.004": {**CHARACTERS, "learning_rate": 0.004},
    "rate-0.02": {**CHARACTERS, "learning_rate": 0.02},
    "one-layer": {**CHARACTERS, "rnn_layers": 1},
    "units-128": {**CHARACTERS, "rnn_units": 128},
    "units-512": {**CHARACTERS, "rnn_units": 512},
    "no-dropout": {**CHARACTERS, "dropout_rate": 0.0},
    "dropout-0.1": {**CHARACTERS, "dropout_rate": 0.1},
    "dropout-0.4": {**CHARACTERS, "dropout_rate": 0.4},
    "markers": {**CHARACTERS, "column_pattern": "<col{}>"},
    "linear-rate": {**CHARACTERS, "learning_rate_schedule": "linear"},
    "linear-dropout-0.4": {**CHARACTERS, "learning_rate_schedule": "linear", "dropout_rate": 0.4},
    "constant-rate": {**CHARACTERS, "learning_rate_schedule": "constant"},
}
