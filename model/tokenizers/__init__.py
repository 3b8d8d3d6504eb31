"""Convert text to ids and back. `base` holds the contract; `tokenizer_from_model_dir` finds the tokenizer of a run."""

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
