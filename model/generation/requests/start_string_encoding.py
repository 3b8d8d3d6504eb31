"""Checking and encoding of start strings, with which records begin: one for all records, or one for each.

The model continues where a start string ends, so with a field delimiter it must end with one: the model has never seen the
rest of a field without its beginning. With an empty start string a record begins freely.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError, TokenizerError
from linesmith.model.generation.requests.field_prefixes import field_prefix
from linesmith.model.generation.requests.start_string_files import (
    START_STRINGS_FILE_OPTION,
    find_start_string_files,
    iter_start_strings,
    start_string_error,
)
from linesmith.model.generation.work_units import StartString
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.records.fields import FIELD_BREAK, FieldFormat

START_STRING_OPTION = "--start-string (start_string)"


def resolve_start_strings(config: TensorFlowConfig) -> tuple[str | list[str] | None, str]:
    """Return the start strings of a configuration, from its file if it names one, and the option they came from for messages.

    A list holds each start string `records_per_seed` times, once for each record. None: records begin freely.

    Raises:
        ParameterError: the list or the file is empty, or the file cannot be read.
    """
    if config.start_strings_file is not None:
        starts: str | list[str] | None = read_start_strings(config.start_strings_file, config.start_strings_field)
        option = f"{START_STRINGS_FILE_OPTION} '{config.start_strings_file}'"
    else:
        starts, option = configured_start_strings(config), START_STRING_OPTION
    if isinstance(starts, list):
        starts = [start for start in starts for _ in range(config.records_per_seed)]
    return starts, option


def configured_start_strings(config: TensorFlowConfig) -> str | list[str] | None:
    """Return the start string or strings in the configuration itself; no file is read.

    Raises:
        ParameterError: the list is empty.
    """
    if isinstance(config.start_string, list) and not config.start_string:
        raise start_string_error(
            START_STRING_OPTION, "the list is empty", "Give at least one start string, or leave the option out."
        )
    return config.start_string


def read_start_strings(path: str | Path, column: str | None = None) -> list[str]:
    """Read all start strings of a file or a glob into a list, for the Python interface.

    Args:
        path: a file or a glob.
        column: which column of a table.

    Raises:
        ParameterError: a file is missing, damaged or lacks the column, or there is none in them.
    """
    starts = [start for file in find_start_string_files(str(path)) for start in iter_start_strings(file, column)]
    if not starts:
        raise empty_start_strings_error(str(path))
    return starts


def empty_start_strings_error(path: str) -> ParameterError:
    """Return the error for files without any start string."""
    return start_string_error(
        f"{START_STRINGS_FILE_OPTION} '{path}'", "the file is empty", "Write at least one start string."
    )


def encode_start_strings(
    starts: Iterable[str], tokenizer: Tokenizer, option: str, field_count: int | None = None
) -> tuple[StartString, ...]:
    """Encode start strings. Messages name a start string by its number, from 1, never by its text.

    Args:
        starts: texts.
        tokenizer: the model's.
        option: the option they came from, for messages.
        field_count: number of fields of a record; None: not known.

    Returns:
        The start strings with their ids, in order.

    Raises:
        ParameterError: a start string has a character the model does not know, a line end, no final delimiter, or as many
            delimiters as a record has fields.
    """
    return tuple(iter_encoded_start_strings(starts, tokenizer, option, field_count))


def iter_encoded_start_strings(
    starts: Iterable[str], tokenizer: Tokenizer, option: str, field_count: int | None = None
) -> Iterator[StartString]:
    """Encode start strings one by one, when they are reached; arguments as for `encode_start_strings`.

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
        breaks = FieldFormat(delimiter, tokenizer.quoted).mark_breaks(text)
        if not breaks.endswith(FIELD_BREAK):
            raise start_string_error(
                option,
                f"start string {number} does not end with the field delimiter {delimiter!r}",
                "Give whole fields, each followed by the delimiter (mind spaces that belong to it).",
            )
        field = breaks.count(FIELD_BREAK) + 1
        order = tokenizer.token_format.order
        if field_count is None and order is not None:
            field_count = len(order.positions)
        if field_count is not None and field > field_count:
            raise start_string_error(
                option,
                f"start string {number} begins field {field}, but the model's records have {field_count} fields",
                "Give fewer fields.",
            )
    try:
        if delimiter is not None and order is not None and field_count is not None:
            # The model may write a field before those of the start string, so each is forced in its place.
            given = dict(enumerate(breaks.split(FIELD_BREAK)[:-1]))
            return StartString(text, field_prefix(tokenizer, given, field_count))
        return StartString(text, tuple(tokenizer.encode_to_ids(text)))
    except TokenizerError as error:
        raise start_string_error(
            option,
            f"start string {number} cannot be encoded: {error}",
            "Use only characters that occur in the training data.",
        ) from None
