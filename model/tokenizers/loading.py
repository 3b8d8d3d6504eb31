"""Load the tokenizer of a directory. Needs neither TensorFlow nor Beam."""

from __future__ import annotations

from pathlib import Path

from linesmith.core.errors import DataError
from linesmith.model.tokenizers.byte_tokenizer import ByteTokenizer
from linesmith.model.tokenizers.char_tokenizer import CharTokenizer
from linesmith.model.tokenizers.gretel_sentencepiece import GretelSentencePieceTokenizer
from linesmith.model.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer
from linesmith.model.tokenizers.token_format import TOKENIZER_PARAMS_FILE, damaged_tokenizer_error, load_params

AnyTokenizer = CharTokenizer | SentencePieceTokenizer | ByteTokenizer | GretelSentencePieceTokenizer
_TOKENIZERS: tuple[type[AnyTokenizer], ...] = (
    CharTokenizer,
    SentencePieceTokenizer,
    ByteTokenizer,
    GretelSentencePieceTokenizer,
)


def load_tokenizer(directory: str | Path) -> AnyTokenizer:
    """Load the tokenizer that was saved to a directory.

    Args:
        directory: where `Tokenizer.save` wrote.

    Returns:
        A tokenizer of the class that was saved.

    Raises:
        DataError: there is none, or it is damaged.
    """
    kind = load_params(directory)["kind"]
    for tokenizer_class in _TOKENIZERS:
        if kind == tokenizer_class.kind:
            return tokenizer_class.load(directory)
    raise damaged_tokenizer_error(Path(directory) / TOKENIZER_PARAMS_FILE)


def tokenizer_from_model_dir(model_dir: str | Path) -> AnyTokenizer:
    """Load the tokenizer of a run directory, or of the tokenizer directory inside one.

    Args:
        model_dir: a run directory, or its `tokenizer` directory.

    Returns:
        A tokenizer of the class that was saved.

    Raises:
        DataError: there is none, or it is damaged.
    """
    for directory in (Path(model_dir) / "tokenizer", Path(model_dir)):
        if (directory / TOKENIZER_PARAMS_FILE).is_file():
            return load_tokenizer(directory)
    raise DataError(
        "LS201",
        None,
        f"'{model_dir}' holds no tokenizer: {TOKENIZER_PARAMS_FILE} is missing",
        "Give a run directory, or run tokenize first.",
    )
