"""From a directory to a tokenizer. Needs neither TensorFlow nor Beam."""

from __future__ import annotations

from pathlib import Path

from linesmith.core.errors import DataError
from linesmith.model.tokenizers import byte_tokenizer
from linesmith.model.tokenizers import char_tokenizer as characters
from linesmith.model.tokenizers import sentencepiece_tokenizer as sentencepieces
from linesmith.model.tokenizers.byte_tokenizer import ByteTokenizer
from linesmith.model.tokenizers.char_tokenizer import CharTokenizer
from linesmith.model.tokenizers.field_format import TOKENIZER_PARAMS_FILE, damaged, load_params
from linesmith.model.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer

AnyTokenizer = CharTokenizer | SentencePieceTokenizer | ByteTokenizer


def load_tokenizer(directory: str | Path) -> AnyTokenizer:
    """The tokenizer that was saved to a directory.

    Raises:
        DataError: there is none, or it is damaged.
    """
    kind = load_params(directory)["kind"]
    if kind == characters.KIND:
        return CharTokenizer.load(directory)
    if kind == sentencepieces.KIND:
        return SentencePieceTokenizer.load(directory)
    if kind == byte_tokenizer.KIND:
        return ByteTokenizer.load(directory)
    raise damaged(Path(directory) / TOKENIZER_PARAMS_FILE)


def tokenizer_from_model_dir(model_dir: str | Path) -> AnyTokenizer:
    """The tokenizer of a run directory, or of the tokenizer directory inside one.

    Raises:
        DataError: there is none, or it is damaged.
    """
    for directory in (Path(model_dir) / "tokenizer", Path(model_dir)):
        if (directory / TOKENIZER_PARAMS_FILE).is_file():
            return load_tokenizer(directory)
    raise DataError(
        f"LS201: '{model_dir}' holds no tokenizer: {TOKENIZER_PARAMS_FILE} is missing. Give a run directory, or "
        "run tokenize first.",
        code="LS201",
    )
