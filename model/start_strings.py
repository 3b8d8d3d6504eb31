"""Start strings: how records begin. One for all records, or one for each, from a list or from a file.

A start string ends where the model takes over, so with a field delimiter it must end with one: the model has never seen
the inside of a field without its beginning. An empty start string is none; in a list it gives a record that begins freely.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from model.config import TensorFlowConfig
from model.errors import ParameterError, TokenizerError
from model.generation import StartString
from model.records import split_breaks
from model.tokenizers.base import FIELD_BREAK, Tokenizer

_ONE = "--start-string (start_string)"
_FILE = "--start-strings-file (start_strings_file)"


def requested_starts(config: TensorFlowConfig) -> tuple[str | list[str] | None, str]:
    """The start strings of a configuration, files read, and the option they came from for messages.

    Raises:
        ParameterError: the list or the file is empty, or the file cannot be read.
    """
    if config.start_strings_file is not None:
        return read_start_strings(config.start_strings_file), f"{_FILE} '{config.start_strings_file}'"
    if config.start_string is not None and not isinstance(config.start_string, str) and not config.start_string:
        raise _bad(_ONE, "the list is empty", "Give at least one start string, or leave the option out.")
    return config.start_string, _ONE


def read_start_strings(path: str | Path) -> list[str]:
    """One start string a line, UTF-8. Only the line end is removed: a delimiter may end with a space.

    Raises:
        ParameterError: the file is missing, empty, or no UTF-8 text.
    """
    where = f"{_FILE} '{path}'"
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as lines:
            starts = [line.removesuffix("\n").removesuffix("\r") for line in lines]
    except UnicodeDecodeError:
        raise _bad(where, "it is not UTF-8 text", "Give a text file with one start string a line.") from None
    except OSError as error:
        raise _bad(where, f"it cannot be read ({error.strerror})", "Give a file you may read.") from None
    if not starts:
        raise _bad(where, "the file is empty", "Write one start string a line.")
    return starts


def encode_starts(
    starts: Iterable[str], tokenizer: Tokenizer, option: str, field_count: int | None = None
) -> tuple[StartString, ...]:
    """Start strings with their ids, in order. Messages name a start string by its number, from 1, never by its text.

    Raises:
        ParameterError: a start string has a character the model does not know, a line end, no final delimiter, or as many
            delimiters as a record has fields.
    """
    return tuple(_encode(number, text, tokenizer, option, field_count) for number, text in enumerate(starts, 1))


def _encode(number: int, text: str, tokenizer: Tokenizer, option: str, field_count: int | None) -> StartString:
    if text == "":
        return StartString()
    delimiter = tokenizer.field_delimiter
    if "\n" in text:
        raise _bad(option, f"start string {number} contains a line end", "A record is one line; take it out.")
    if delimiter is not None:
        breaks = split_breaks(text, delimiter, tokenizer.quoted)
        if not breaks.endswith(FIELD_BREAK):
            raise _bad(
                option,
                f"start string {number} does not end with the field delimiter {delimiter!r}",
                "Give whole fields, each followed by the delimiter (mind spaces that belong to it).",
            )
        begun = breaks.count(FIELD_BREAK) + 1
        if field_count is not None and begun > field_count:
            raise _bad(
                option,
                f"start string {number} begins field {begun}, but the model's records have {field_count} fields",
                "Give fewer fields.",
            )
    try:
        return StartString(text, tuple(tokenizer.encode_to_ids(text)))
    except TokenizerError as error:
        raise _bad(
            option,
            f"start string {number} cannot be encoded: {error}",
            "Use only characters that occur in the training data.",
        ) from None


def _bad(option: str, found: str, remedy: str) -> ParameterError:
    return ParameterError(f"LS108: {option}: {found}. {remedy}", code="LS108")
