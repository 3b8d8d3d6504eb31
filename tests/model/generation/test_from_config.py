"""Settings of generation that a model has defaults of its own for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from linesmith.core.artifacts.model_info import read_model_info, write_model_info
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.generation.from_config import draw_settings, with_model_defaults
from tests.helpers.plain_run import plain_run


@pytest.mark.parametrize(
    ("of_model", "given", "drawn_from"),
    [
        (None, {}, 1.0),  # a model without privacy, and private ones of earlier versions
        (0.98, {}, 0.98),
        (0.98, {"gen_top_p": 1}, 1.0),
        (0.98, {"gen_top_p": 0.5}, 0.5),
        (None, {"gen_top_p": 0.5}, 0.5),
        (0.98, {"exact_distribution": True}, 1.0),
    ],
)
def test_the_share_of_the_probability_is_the_model_s_unless_told_otherwise(
    of_model: float | None, given: dict[str, float | bool], drawn_from: float, tmp_path: Path
) -> None:
    plain_run(tmp_path)
    write_model_info(tmp_path / "model", replace(read_model_info(tmp_path), top_p=of_model))
    config = with_model_defaults(TensorFlowConfig(**given), read_model_info(tmp_path))
    assert draw_settings(config).top_p == drawn_from
    assert config.gen_top_p == drawn_from  # so the manifest says what was done


def test_a_share_is_refused_where_the_exact_distribution_is_asked_for() -> None:
    with pytest.raises(ParameterError, match="exact_distribution=True excludes"):
        TensorFlowConfig(exact_distribution=True, gen_top_p=0.98)
    TensorFlowConfig(exact_distribution=True, gen_top_p=1)
