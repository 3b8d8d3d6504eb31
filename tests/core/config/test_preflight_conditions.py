"""A run is refused before it trains a model that cannot be asked for its conditions."""

import pytest

from linesmith.core.config import preflight
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"where": "a=1"}, "LS132: --where 'a=1': 'a' is not in --condition-on. "),
        ({"where": "a=1,b=2", "condition_on": "a"}, "LS132: --where 'a=1,b=2': 'b' is not in --condition-on. "),
        ({"balance": "b", "condition_on": "a"}, "LS132: --balance 'b': 'b' is not in --condition-on. "),
        ({"where_file": "w.csv"}, "LS132: --where-file 'w.csv': --condition-on is not given. "),
    ],
)
def test_conditions_on_other_columns(settings, message):
    config = TensorFlowConfig(field_delimiter=",", **settings)
    with pytest.raises(ParameterError) as caught:
        preflight.check(config, "run")
    assert str(caught.value).startswith(message)
    preflight.check(config, "generate")  # the model decides


@pytest.mark.parametrize(
    "settings", [{"where": "a=1", "balance": "b"}, {"where_file": "w.csv"}, {"impute": "i.csv"}, {}]
)
def test_conditions_that_the_model_will_have(settings):
    preflight.check(TensorFlowConfig(field_delimiter=",", condition_on="b,a", **settings), "run")
