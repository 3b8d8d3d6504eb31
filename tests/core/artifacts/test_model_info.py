"""Descriptions of models that others made: values that no model has, and weights that are not the described ones."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linesmith.core.artifacts.checkpoints import save_arrays
from linesmith.core.artifacts.model_info import load_weights, read_model_info
from linesmith.core.errors import DataError, ParameterError
from tests.helpers.plain_run import plain_run


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, np.ndarray]:
    return plain_run(tmp_path)


def describe(root: Path, **changes: Any) -> None:
    path = root / "model" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_weights_are_those_that_were_saved(weights: dict[str, np.ndarray], tmp_path: Path) -> None:
    loaded = load_weights(tmp_path)
    assert list(loaded) == list(weights)
    assert all((loaded[name] == array).all() for name, array in weights.items())


@pytest.mark.parametrize(
    "changes",
    [
        {"vocab_size": "many"},
        {"vocab_size": 0},
        {"rnn_units": 10**12},
        {"rnn_layers": 10**9},
        {"length_cap_tokens": 10**12},
        {"field_count": 10**9},
        {"field_count": [3]},
        {"columns": "id"},
        {"columns": [1, None]},
        {"default_checkpoint": "../../secret"},
        {"field_tokens": [[10**6]]},
        {"field_tokens": [[-1]]},
        {"field_tokens": 7},
        {"field_numbers": [{"least": "1e999999999", "most": "2", "scale": 0, "empty": False}]},
        {"field_numbers": [{"least": "0", "most": "2", "scale": 10**9, "empty": False}]},
        {"field_numbers": [{"least": "0"}]},
        {"field_texts": [{"type": "enum", "empty": False}]},
        {"field_texts": [{"type": "date", "empty": 1}]},
        {"field_texts": [{"type": "date"}]},
        {"field_texts": [{"type": None, "empty": False, "pattern": 7}]},
        {"field_texts": [{"type": None, "empty": False, "pattern": "a" * 10_001}]},
        {"field_patterns": [7]},
        {"field_patterns": ["a" * 10_001]},
        {"top_p": 0},
        {"top_p": 1.5},
        {"stopped": 3},
        {"format_version": None},
    ],
)
def test_a_description_that_no_model_has_is_refused(
    weights: dict[str, np.ndarray], changes: dict[str, Any], tmp_path: Path
) -> None:
    describe(tmp_path, **changes)
    with pytest.raises(DataError, match=r"model\.json' (is damaged or foreign|has format_version None)"):
        read_model_info(tmp_path)


def test_weights_are_compared_with_the_description_before_they_are_read(
    weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    describe(tmp_path, rnn_units=1_000_000)
    with pytest.raises(DataError, match=r"LS214: .*names or shapes differ"):
        load_weights(tmp_path)
    describe(tmp_path, rnn_units=3)
    path = tmp_path / "model" / "checkpoints" / "best.npz"
    more = {**weights, "more": np.zeros(3, np.float32)}
    double = {**weights, "language_model/logits/bias": weights["language_model/logits/bias"].astype(np.float64)}
    for arrays in (more, double, dict(list(weights.items())[:-1])):
        save_arrays(path, arrays)
        with pytest.raises(DataError, match="names or shapes differ"):
            load_weights(tmp_path)
    np.savez_compressed(path, **{name.replace("/", "|"): array for name, array in weights.items()})
    with zipfile.ZipFile(path) as stored:
        assert stored.infolist()[0].compress_type == zipfile.ZIP_DEFLATED
    with pytest.raises(DataError, match="damaged or foreign"):
        load_weights(tmp_path)


@pytest.mark.parametrize("name", ["²", "9" * 5000, "-1", "one", ""])
def test_a_checkpoint_that_is_no_number_is_refused(weights: dict[str, np.ndarray], name: str, tmp_path: Path) -> None:
    (tmp_path / "model" / "checkpoints" / "epoch-x.npz").touch()
    with pytest.raises(ParameterError, match="LS120"):
        load_weights(tmp_path, name)
    with pytest.raises(ParameterError, match=r"LS120: .*was not kept; this run keeps best, last"):
        load_weights(tmp_path, "7")
