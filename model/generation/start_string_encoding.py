"""Start strings: how records begin. One for all records, or one for each, from a list or from a file.

A start string ends where the model takes over, so with a field delimiter it must end with one: the model has never seen
the inside of a field without its beginning. An empty start string is none; in a list it gives a record that begins freely.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError, TokenizerError
from linesmith.model.generation.start_string_files import (
    OPTION,
    find_start_string_files,
    iter_start_strings,
    start_string_error,
)
from linesmith.model.generation.work_units import StartString
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.records.fields import FIELD_BREAK
from linesmith.records.input.record_format import mark_field_breaks

ONE = "--start-string (start_string)"


def resolve_start_strings(config: TensorFlowConfig) -> tuple[str | list[str] | None, str]:
    """The start strings of a configuration, files read, and the option they came from for messages.

    A list has each start string `records_per_seed` times, one for each record.

    Raises:
        ParameterError: the list or the file is empty, or the file cannot be read.
    """
    if config.start_strings_file is not None:
        starts: str | list[str] | None = read_start_strings(config.start_strings_file, config.start_strings_field)
        option = f"{OPTION} '{config.start_strings_file}'"
    else:
        starts, option = configured_start_strings(config), ONE
    if isinstance(starts, list):
        starts = [start for start in starts for _ in range(config.records_per_seed)]
    return starts, option


def configured_start_strings(config: TensorFlowConfig) -> str | list[str] | None:
    """The start string or strings that stand in the configuration itself.

    Raises:
        ParameterError: the list is empty.
    """
    if isinstance(config.start_string, list) and not config.start_string:
        raise start_string_error(ONE, "the list is empty", "Give at least one start string, or leave the option out.")
    return config.start_string


def read_start_strings(path: str | Path, column: str | None = None) -> list[str]:
    """All start strings of a file or a glob as a list: for the Python interface, whose callers hold lists.

    Raises:
        ParameterError: a file is missing, damaged or lacks the column, or there is none in them.
    """
    starts = [start for file in find_start_string_files(str(path)) for start in iter_start_strings(file, column)]
    if not starts:
        raise empty_start_strings_error(str(path))
    return starts


def empty_start_strings_error(path: str) -> ParameterError:
    """The error of a file, or of files, without any start string."""
    return start_string_error(f"{OPTION} '{path}'", "the file is empty", "Write at least one start string.")


def encode_start_strings(
    starts: Iterable[str], tokenizer: Tokenizer, option: str, field_count: int | None = None
) -> tuple[StartString, ...]:
    """Start strings with their ids, in order. Messages name a start string by its number, from 1, never by its text.

    Raises:
        ParameterError: a start string has a character the model does not know, a line end, no final delimiter, or as many
            delimiters as a record has fields.
    """
    return tuple(iter_encoded_start_strings(starts, tokenizer, option, field_count))


def iter_encoded_start_strings(
    starts: Iterable[str], tokenizer: Tokenizer, option: str, field_count: int | None = None
) -> Iterator[StartString]:
    """`encode_start_strings`, one by one.

    Raises:
        ParameterError: as `encode_start_strings`, when the start string is reached.
    """
    for number, text in enumerate(starts, 1):
        yield _encode(number, text, tokenizer, option, field_count)


def _encode(number: int, text: str, tokenizer: Tokenizer, option: str, field_count: int | None) -> StartString:
    if text == "":
        return StartString()
    delimiter = tokenizer.field_delimiter
    if "\n" in text:
        raise start_string_error(
            option, f"start string {number} contains a line end", "A record is one line; take it out."
        )
    if delimiter is not None:
        breaks = mark_field_breaks(text, delimiter, tokenizer.quoted)
        if not breaks.endswith(FIELD_BREAK):
            raise start_string_error(
                option,
                f"start string {number} does not end with the field delimiter {delimiter!r}",
                "Give whole fields, each followed by the delimiter (mind spaces that belong to it).",
            )
        begun = breaks.count(FIELD_BREAK) + 1
        if field_count is not None and begun > field_count:
            raise start_string_error(
                option,
                f"start string {number} begins field {begun}, but the model's records have {field_count} fields",
                "Give fewer fields.",
            )
    try:
        return StartString(text, tuple(tokenizer.encode_to_ids(text)))
    except TokenizerError as error:
        raise start_string_error(
            option,
            f"start string {number} cannot be encoded: {error}",
            "Use only characters that occur in the training data.",
        ) from None
