"""Learn from line-delimited text and write synthetic records that keep its structure and statistics.

The names in `__all__`, and those of `linesmith.beam`, are the public API; everything else may change. Their modules are imported
on first use, so importing `linesmith` does not load TensorFlow or Beam.

Example:
    >>> from linesmith import TensorFlowConfig
    >>> config = TensorFlowConfig(input_data_path="rides.csv", checkpoint_dir="out", field_delimiter=",")
    >>> config.metric
    'val_loss'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linesmith.api.fitting import fit
    from linesmith.api.loading import load
    from linesmith.api.model import Model
    from linesmith.api.report import Report
    from linesmith.api.synthesizer import Synthesizer
    from linesmith.core.artifacts.history import EpochState
    from linesmith.core.artifacts.params import config_from_model_dir
    from linesmith.core.config.tensorflow_config import TensorFlowConfig
    from linesmith.core.config.tensorflow_config import TensorFlowConfig as LocalConfig
    from linesmith.core.errors import (
        DataError,
        GenerationError,
        InterruptedRunError,
        LinesmithError,
        ParameterError,
        ShortfallError,
        TokenizerError,
        TooFewRecordsError,
        TooManyInvalidError,
        VocabSizeTooSmall,
    )
    from linesmith.model.generation.python_api import SeedingGenerator, generate_text
    from linesmith.model.tokenizers import CharTokenizerTrainer, SentencePieceTokenizerTrainer, tokenizer_from_model_dir
    from linesmith.pipelines.workflow import run, train
    from linesmith.pipelines.workflow import train as train_rnn
    from linesmith.records.fields import GenText

_ERRORS = (
    "DataError",
    "GenerationError",
    "InterruptedRunError",
    "LinesmithError",
    "ParameterError",
    "ShortfallError",
    "TokenizerError",
    "TooFewRecordsError",
    "TooManyInvalidError",
    "VocabSizeTooSmall",
)
# Module and name there of each public name.
_LAZY_IMPORTS = {
    "fit": ("linesmith.api.fitting", "fit"),
    "load": ("linesmith.api.loading", "load"),
    "Model": ("linesmith.api.model", "Model"),
    "Report": ("linesmith.api.report", "Report"),
    "Synthesizer": ("linesmith.api.synthesizer", "Synthesizer"),
    "TensorFlowConfig": ("linesmith.core.config.tensorflow_config", "TensorFlowConfig"),
    "LocalConfig": ("linesmith.core.config.tensorflow_config", "TensorFlowConfig"),
    "config_from_model_dir": ("linesmith.core.artifacts.params", "config_from_model_dir"),
    "train": ("linesmith.pipelines.workflow", "train"),
    "train_rnn": ("linesmith.pipelines.workflow", "train"),
    "run": ("linesmith.pipelines.workflow", "run"),
    "generate_text": ("linesmith.model.generation.python_api", "generate_text"),
    "SeedingGenerator": ("linesmith.model.generation.python_api", "SeedingGenerator"),
    "GenText": ("linesmith.records.fields", "GenText"),
    "EpochState": ("linesmith.core.artifacts.history", "EpochState"),
    "tokenizer_from_model_dir": ("linesmith.model.tokenizers", "tokenizer_from_model_dir"),
    "CharTokenizerTrainer": ("linesmith.model.tokenizers", "CharTokenizerTrainer"),
    "SentencePieceTokenizerTrainer": ("linesmith.model.tokenizers", "SentencePieceTokenizerTrainer"),
    **{name: ("linesmith.core.errors", name) for name in _ERRORS},
}

__all__ = [
    "CharTokenizerTrainer",
    "DataError",
    "EpochState",
    "GenText",
    "GenerationError",
    "InterruptedRunError",
    "LinesmithError",
    "LocalConfig",
    "Model",
    "ParameterError",
    "Report",
    "SeedingGenerator",
    "SentencePieceTokenizerTrainer",
    "ShortfallError",
    "Synthesizer",
    "TensorFlowConfig",
    "TokenizerError",
    "TooFewRecordsError",
    "TooManyInvalidError",
    "VocabSizeTooSmall",
    "__version__",
    "config_from_model_dir",
    "fit",
    "generate_text",
    "load",
    "run",
    "tokenizer_from_model_dir",
    "train",
    "train_rnn",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata  # loads csv and more

        return metadata.version("linesmith")
    if name == "beam":
        return import_module("linesmith.beam")
    if name not in _LAZY_IMPORTS:
        raise AttributeError(f"module 'linesmith' has no attribute {name!r}")
    module, attribute = _LAZY_IMPORTS[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
