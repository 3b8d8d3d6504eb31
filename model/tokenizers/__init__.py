"""Text to ids and back. `base` is the contract; `tokenizer_from_model_dir` finds the tokenizer of a run."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linesmith.model.tokenizers.byte_tokenizer import ByteTokenizer
    from linesmith.model.tokenizers.char_tokenizer import CharTokenizer
    from linesmith.model.tokenizers.loading import load_tokenizer, tokenizer_from_model_dir
    from linesmith.model.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer
    from linesmith.model.tokenizers.trainers import CharTokenizerTrainer, SentencePieceTokenizerTrainer

__all__ = [
    "ByteTokenizer",
    "CharTokenizer",
    "CharTokenizerTrainer",
    "SentencePieceTokenizer",
    "SentencePieceTokenizerTrainer",
    "load_tokenizer",
    "tokenizer_from_model_dir",
]
# Looked up on first use: `linesmith.records.input.record_format` needs only `base`, which lives in this package.
_HOME = {
    "ByteTokenizer": "byte_tokenizer",
    "CharTokenizer": "char_tokenizer",
    "CharTokenizerTrainer": "trainers",
    "SentencePieceTokenizer": "sentencepiece_tokenizer",
    "SentencePieceTokenizerTrainer": "trainers",
    "load_tokenizer": "loading",
    "tokenizer_from_model_dir": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'linesmith.model.tokenizers' has no attribute '{name}'")
    return getattr(import_module(f"linesmith.model.tokenizers.{_HOME[name]}"), name)
