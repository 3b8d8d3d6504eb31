"""Fuzz settings files, YAML and JSON, and the stored settings of a model."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from linesmith.core.artifacts.params import config_from_settings, read_settings
from linesmith.core.config.tensorflow_config import TensorFlowConfig, fields
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated, mutated_json

FULL: dict[str, Any] = {"format_version": 1, **TensorFlowConfig(checkpoint_dir="out", field_delimiter=",").as_dict()}
SMALL: dict[str, Any] = {
    "input_data_path": ["a.csv", "b.csv"],
    "field_delimiter": ",",
    "column_pattern": "<{}>",
    "columns": "a,b",
    "vocab_size": 0,
    "epochs": "1e1",
    "validation_rules": [{"field": 0, "range": [0, 1]}],
    "dp": True,
    "dp_learning_rate": 0.1,
    "output_format": ["text", "avro"],
    "iceberg_table": "lake.rides",
    "iceberg_catalog": ["uri=sqlite:///x"],
}
YAML = b"""\
input_data_path: &path [a.csv, 'b.csv']
checkpoint_dir: out   # a comment
vocab_size: 1_000
learning_rate: 1e-3
seed: 0x10
max_training_time_seconds: 1:30
columns: *path
validation_rules:
- {field: a, range: [2001-01-01, null]}
- <<: {check: "a < b"}
  name: ! x
start_string: |
  text
"""
TOKENS = [
    *(name.encode() + b": " for name in fields()),
    b"!!int ",
    b"!!timestamp ",
    b"!!binary ",
    b"<<: ",
    b"*path",
    b"&path ",
    b"? ",
]


def read(content: bytes) -> None:
    """Read settings from a YAML and from a JSON file."""
    for path in (Path("settings.yaml"), Path("settings.json")):
        path.write_bytes(content)
        config = config_from_settings(read_settings(path))
        config_from_settings(json.loads(json.dumps(config.as_dict())))


TARGET = Target("settings", read)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("content", TARGET.corpus())
def test_found_cases(content: bytes) -> None:
    TARGET.check(content)


@pytest.mark.integration
def test_fuzz_settings() -> None:
    def make(random: Random) -> bytes:
        if random.randint(0, 1):
            return mutated_json(random, [FULL, SMALL], ["1e400", "0x10", "9" * 5000, [random.choice(list(fields()))]])
        return mutated(random, [YAML, json.dumps(SMALL).encode()], TOKENS)

    TARGET.fuzz(make, 150)
