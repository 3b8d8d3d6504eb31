"""What can be known to fail before anything is read, trained or paid for. Codes are listed in docs/errors.md."""

from __future__ import annotations

import importlib.util

from linesmith.core.config.privacy_checks import check_libraries, check_privacy_settings
from linesmith.core.config.tensorflow_config import Stage, TensorFlowConfig
from linesmith.core.errors import ParameterError

# Libraries that only fitting a tokenizer needs; generation must run without them.
_TOKENIZE_LIBRARIES = ("tensorflow_transform", "tfx_bsl", "tensorflow_text")


def check(config: TensorFlowConfig, *stages: Stage) -> None:
    """Refuse what the given stages could not finish.

    Raises:
        ParameterError: the configuration asks for what is not there.
    """
    if {"tokenize", "train", "run"} & set(stages):
        check_privacy_settings(config)
    if {"train", "run"} & set(stages):
        check_libraries(config)
    if {"tokenize", "run"} & set(stages):
        missing = [name for name in _TOKENIZE_LIBRARIES if importlib.util.find_spec(name) is None]
        if missing:
            raise ParameterError(
                f"LS106: tokenizing needs {', '.join(missing)}: pip install 'linesmith[tokenize]'. Generation from an "
                "existing run directory needs none of them.",
                code="LS106",
            )
