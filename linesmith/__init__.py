"""Linesmith learns from line-delimited text and writes synthetic records that keep its structure and statistics.

What is named here is meant to be used; everything else may change. Nothing heavy is loaded before it is asked for.

Example:
    >>> from linesmith import TensorFlowConfig
    >>> config = TensorFlowConfig(input_data_path="rides.csv", checkpoint_dir="out", field_delimiter=",")
    >>> config.metric
    'val_loss'
"""

from __future__ import annotations

from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.rooms import check_rooms

if TYPE_CHECKING:
    from model.config import TensorFlowConfig
    from model.config import TensorFlowConfig as LocalConfig
    from model.config_io import config_from_model_dir
    from model.errors import (
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
    from model.gen_text import GenText
    from model.history import EpochState
    from model.local_generation import SeedingGenerator, generate_text
    from model.tokenizers import CharTokenizerTrainer, SentencePieceTokenizerTrainer, tokenizer_from_model_dir
    from pipelines.workflow import run, train
    from pipelines.workflow import train as train_rnn

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
# Public name: module that has it, and its name there.
_HOME = {
    "TensorFlowConfig": ("model.config", "TensorFlowConfig"),
    "LocalConfig": ("model.config", "TensorFlowConfig"),
    "config_from_model_dir": ("model.config_io", "config_from_model_dir"),
    "train": ("pipelines.workflow", "train"),
    "train_rnn": ("pipelines.workflow", "train"),
    "run": ("pipelines.workflow", "run"),
    "generate_text": ("model.local_generation", "generate_text"),
    "SeedingGenerator": ("model.local_generation", "SeedingGenerator"),
    "GenText": ("model.gen_text", "GenText"),
    "EpochState": ("model.history", "EpochState"),
    "tokenizer_from_model_dir": ("model.tokenizers", "tokenizer_from_model_dir"),
    "CharTokenizerTrainer": ("model.tokenizers", "CharTokenizerTrainer"),
    "SentencePieceTokenizerTrainer": ("model.tokenizers", "SentencePieceTokenizerTrainer"),
    **{name: ("model.errors", name) for name in _ERRORS},
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
    "ParameterError",
    "SeedingGenerator",
    "SentencePieceTokenizerTrainer",
    "ShortfallError",
    "TensorFlowConfig",
    "TokenizerError",
    "TooFewRecordsError",
    "TooManyInvalidError",
    "VocabSizeTooSmall",
    "__version__",
    "config_from_model_dir",
    "generate_text",
    "run",
    "tokenizer_from_model_dir",
    "train",
    "train_rnn",
]

check_rooms(Path(__file__).resolve().parent.parent)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("linesmith")
    if name not in _HOME:
        raise AttributeError(f"module 'linesmith' has no attribute {name!r}")
    module, there = _HOME[name]
    return getattr(import_module(module), there)


def __dir__() -> list[str]:
    return sorted(__all__)
