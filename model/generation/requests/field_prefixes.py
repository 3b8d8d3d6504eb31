"""Ids that force given fields of a record, wherever they stand, and leave the others to the model."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from linesmith.core.errors import TokenizerError
from linesmith.model.sampling.sample_types import FREE, filled_field
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.records.fields import DELIMITER_ID, NEWLINE_ID


def field_prefix(
    tokenizer: Tokenizer, given: Mapping[int, str], count: int, to_fill: Collection[int] = ()
) -> tuple[int, ...]:
    """Return the prefix of a record some of whose fields are given (`SampleRequest.prefix`).

    Args:
        tokenizer: the model's, with a delimiter.
        given: texts of fields as records hold them, quotes included, by position in the text from 0.
        count: number of fields of the record.
        to_fill: positions of fields that are drawn and should not stay empty.

    Raises:
        TokenizerError: a text holds a character that the model does not know, or is written as a difference from a field that is
            not given.

    Example:
        >>> from linesmith.model.tokenizers import CharTokenizer
        >>> from linesmith.model.tokenizers.token_format import TokenFormat
        >>> tokenizer = CharTokenizer([97, 98], TokenFormat(",", field_order=(2, 0, 1)))
        >>> field_prefix(tokenizer, {2: "b"}, 3), field_prefix(tokenizer, {0: "a"}, 3, to_fill=[1])
        ((3, 1), (-1, 2, 1, -3))
    """
    given, order = model_texts(tokenizer, given), tokenizer.token_format.order
    positions = range(count) if order is None else order.for_count(count)
    ids: list[int] = []
    for number, position in enumerate(positions):
        if position in given:
            ids += field_ids(tokenizer, given[position], number)
            ids.append(NEWLINE_ID if number == count - 1 else DELIMITER_ID)
        else:
            ids.append(filled_field(position) if position in to_fill else FREE)
    while ids and ids[-1] == FREE:  # nothing is given after it, so the record ends as the model wants
        ids.pop()
    return tuple(ids)


def model_texts(tokenizer: Tokenizer, given: Mapping[int, str]) -> dict[int, str]:
    """Return the texts of given fields in the form of the model, by position in the text.

    Raises:
        TokenizerError: a field is written as a difference from one that is not given.
    """
    found, differences = dict(given), tokenizer.token_format.differences
    for one in () if differences is None else differences.differences:
        if given.get(one.field):  # an empty text is no difference
            if one.base not in given:
                found_text = (
                    f"field {one.field + 1} is written as a difference from field {one.base + 1}, which is not given"
                )
                raise TokenizerError("LS223", None, found_text, "Give both.")
            found[one.field] = one.subtract(given[one.field], given[one.base])
    return found


def field_ids(tokenizer: Tokenizer, text: str, number: int) -> list[int]:
    """Return the ids of one field, with its marker if it has one.

    Args:
        tokenizer: the model's.
        text: of the field in the form of the model; a delimiter in it must be protected by quotes.
        number: of the field in the order of the model.

    Raises:
        TokenizerError: the model does not know a character; or the text is not one field.
    """
    markers = tokenizer.token_format.markers
    ids = tokenizer.encode_field(text, number)
    if DELIMITER_ID in ids:
        raise TokenizerError("LS223", None, "a field cannot hold the field delimiter", "Leave it out.")
    return [2 + number, *ids] if number < markers else ids
