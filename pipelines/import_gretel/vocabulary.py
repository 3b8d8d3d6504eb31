"""The vocabulary of a gretel-synthetics model as one of our tokenizers, and which old id each new id was.

Ours begins with `<n>` and `<d>`; the old one has them anywhere. A character tokenizer of the old kind ends a record with the
newline, and writes the delimiter as a character like any other: a delimiter of one character becomes `<d>`.
"""

from __future__ import annotations

from dataclasses import dataclass

from linesmith.core.errors import DataError
from linesmith.model.tokenizers import CharTokenizer
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.tokenizers.gretel_sentencepiece import NEWLINE_PIECE, GretelSentencePieceTokenizer
from linesmith.model.tokenizers.sentencepiece_tokenizer import MAX_MODEL_BYTES
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.pipelines.import_gretel.folder import TOKENIZER_FILE, GretelFolder, damaged_error, read_file, unfit_error
from linesmith.pipelines.import_gretel.pickled_values import PickleRefusedError, read_plain_pickle

CHARACTERS_FILE, PIECES_FILE = "char2idx.p", "m.model"
_MAX_CHARACTERS_BYTES = 32 << 20  # all characters of Unicode take half of it
_START_PATTERN = "<start{}>"  # how the marker is shown


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer of ours for an old vocabulary.

    Attributes:
        tokenizer: the tokenizer.
        old_ids: old id of each of its ids; −1 where the old vocabulary has none.
        old_start: old ids from which the old network begins a record: `<n>`, perhaps with one before it.
        old_size: number of old ids.
    """

    tokenizer: Tokenizer
    old_ids: tuple[int, ...]
    old_start: tuple[int, ...]
    old_size: int


def read_vocabulary(folder: GretelFolder) -> Vocabulary:
    """Read the tokenizer of a model folder.

    Raises:
        DataError: LS240, it is of a kind that cannot be imported; LS241, its file is missing, damaged, or holds more than data.
    """
    if folder.tokenizer_type == "CharTokenizerTrainer":
        return _read_characters(folder)
    if folder.tokenizer_type == "SentencePieceTokenizerTrainer":
        return _read_pieces(folder)
    raise unfit_error(
        folder.path,
        f"its {TOKENIZER_FILE} names the tokenizer '{folder.tokenizer_type[:100]}', and only those of "
        "SentencePieceTokenizerTrainer and CharTokenizerTrainer can be imported",
        "Train on the original data: linesmith.fit takes files, lines and data frames.",
    )


def _read_characters(folder: GretelFolder) -> Vocabulary:
    path = folder.path / CHARACTERS_FILE
    try:
        stored = read_plain_pickle(read_file(path, _MAX_CHARACTERS_BYTES))
    except PickleRefusedError as error:
        raise DataError(
            "LS241",
            f"MODEL_DIR '{folder.path}'",
            f"'{path.name}' is not a pickle of a dictionary of characters and numbers alone: it has {error}, which is not run",
            "Copy the folder again from where gretel-synthetics wrote it, and do not load this one with any tool.",
        ) from None
    characters = _ordered_characters(stored)
    if characters is None:
        raise damaged_error(path, "does not number the characters of a vocabulary from 0")
    if "\n" not in characters:
        raise damaged_error(path, "has no newline, with which the model would end a record")
    delimiter = folder.params.field_delimiter
    is_token = delimiter in characters and delimiter != "\n"
    reserved = ["\n", delimiter if is_token else None]
    others = [character for character in characters if character not in reserved]
    token_format = TokenFormat(delimiter if is_token else None)
    ids = {character: number for number, character in enumerate(characters)}
    old_ids = (ids["\n"], ids[str(delimiter)] if is_token else -1, *map(ids.__getitem__, others))
    return Vocabulary(CharTokenizer([*map(ord, others)], token_format), old_ids, (ids["\n"],), len(characters))


def _ordered_characters(stored: object) -> list[str] | None:
    """Return the characters in the order of their numbers; None where it is no such dictionary."""
    if type(stored) is not dict or not stored:
        return None
    if not all(type(key) is str and len(key) == 1 and not "\ud800" <= key <= "\udfff" for key in stored):
        return None
    if not all(type(number) is int for number in stored.values()) or sorted(stored.values()) != list(
        range(len(stored))
    ):
        return None
    return sorted(stored, key=stored.__getitem__)


def _read_pieces(folder: GretelFolder) -> Vocabulary:
    path, params = folder.path / PIECES_FILE, folder.params
    model = read_file(path, MAX_MODEL_BYTES)
    if params.field_delimiter_token == NEWLINE_PIECE:
        raise damaged_error(path, f"would have {NEWLINE_PIECE} end records and stand between fields")
    for markers in (1, 0):
        token_format = TokenFormat(
            params.field_delimiter,
            field_delimiter_token=params.field_delimiter_token,
            column_pattern=_START_PATTERN if markers else None,
            markers=markers,
        )
        try:
            tokenizer = GretelSentencePieceTokenizer(model, token_format)
        except (RuntimeError, ValueError, OSError):
            continue
        size = sum(old >= 0 for old in tokenizer.old_ids)
        return Vocabulary(tokenizer, tokenizer.old_ids, tuple(tokenizer.old_start), size)
    raise damaged_error(
        path,
        f"is damaged, or is no SentencePiece model with the tokens {NEWLINE_PIECE} and {params.field_delimiter_token}",
    )
