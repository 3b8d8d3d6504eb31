"""Rows of the table that make up the input of every step, for whole records at once.

`linesmith.model.sampling.field_follower` and the compiled kernel of sampling compute the same, one token at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from linesmith.core.artifacts.field_inputs import FAR
from linesmith.model.fields.layout import END_OF_FIELD, HASH_MODULUS, NO_TOKEN, FieldLayout
from linesmith.records.fields import DELIMITER_ID

Ids = npt.NDArray[np.int32]


def input_rows(ids: npt.NDArray[Any], layout: FieldLayout) -> Ids:
    """Compute the rows of each step of some records.

    Args:
        ids: what the network reads of each record, `<n>` first, [T, B]; what follows a record's end does not change the rows
            before it.
        layout: of the network.

    Returns:
        Row numbers, [T, B, slots]. Those of a step depend on the ids up to it only.
    """
    ids = ids.astype(np.int32)
    is_text, is_break = ids >= layout.inputs.first_token, ids == DELIMITER_ID
    count = np.cumsum(is_text, axis=0, dtype=np.int32)  # tokens of text so far
    number = np.cumsum(is_break, axis=0, dtype=np.int32)
    field = np.minimum(number, layout.fields)
    starts, lengths = _spans(count, number, is_break, layout.fields)
    offset = count - np.maximum.accumulate(np.where(is_break, count, 0), axis=0)
    rows = np.empty((*ids.shape, layout.slots), np.int32)
    rows[..., 0] = ids
    rows[..., 1] = layout.position_starts[field] + np.minimum(offset, layout.last_positions[field])
    text = _texts(ids, is_text, count, layout.inputs.memory)
    parents = layout.parents[field]
    aligned = _aligned_tokens(text, starts, lengths, parents, offset)
    relation = _relations(ids, is_text, is_break, aligned, layout.digit_values)
    index = layout.aligned_indices[parents, aligned + 2] + (relation + FAR) * layout.pair_widths[field]
    rows[..., 2 : 2 + layout.inputs.parent_slot_count] = layout.pair_starts[field] + index
    for slot, hashes in enumerate(_value_hashes(text, starts, lengths, layout)):
        bucket = hashes % layout.value_buckets[field, slot]
        rows[..., 2 + layout.inputs.parent_slot_count + slot] = layout.value_starts[field, slot] + bucket
    return rows


def _spans(count: Ids, number: Ids, is_break: npt.NDArray[np.bool_], fields: int) -> tuple[Ids, Ids]:
    """Return where the text of each known field begins, counted in tokens of text, and its length, [F, B] both.

    A field that its record does not end before the last step has a length up to there: nothing looks it up.
    """
    bounds = np.tile(count[-1], (fields + 1, 1))
    bounds[0] = 0
    step, record = np.nonzero(is_break & (number <= fields))
    bounds[number[step, record], record] = count[step, record]
    return bounds[:-1], np.diff(bounds, axis=0)


def _texts(ids: Ids, is_text: npt.NDArray[np.bool_], count: Ids, memory: int) -> Ids:
    """Return the tokens of text of each record without those between them, [at most memory, B], `NO_TOKEN` at the end."""
    kept = is_text & (count <= memory)
    text = np.full((min(memory, len(ids)) + 1, ids.shape[1]), NO_TOKEN, np.int32)
    step, record = np.nonzero(kept)
    text[count[step, record] - 1, record] = ids[step, record]
    return text


def _aligned_tokens(text: Ids, starts: Ids, lengths: Ids, parents: Ids, offset: Ids) -> Ids:
    """Return the token of each step's parents [T, B, P] at the offset of the step [T, B], [T, B, P]."""
    record, offset = np.arange(text.shape[1])[:, None], offset[..., None]
    length = lengths[parents, record]
    # The last line of `text` is no token: what is not remembered is not there.
    token = text[np.minimum(starts[parents, record] + offset, len(text) - 1), record]
    found = np.where(offset < length, token, np.where(offset == length, END_OF_FIELD, NO_TOKEN))
    return np.where(parents >= 0, found, NO_TOKEN).astype(np.int32)


def _relations(
    ids: Ids, is_text: npt.NDArray[np.bool_], is_break: npt.NDArray[np.bool_], aligned: Ids, digit_values: Ids
) -> Ids:
    """Return how each field's text so far compares with its parents' beginnings, from −`FAR` to `FAR`, [T, B, P]."""
    before = np.concatenate([np.full_like(aligned[:1], NO_TOKEN), aligned[:-1]])
    digit = digit_values[ids][..., None]
    parent_digit = np.where(before < 0, 0, digit_values[np.maximum(before, 0)])
    # What a token adds to ten times the relation before it.
    both_digits, change = (digit >= 0) & (parent_digit >= 0), digit - parent_digit
    is_same = ids[..., None] == before
    is_text, is_break = is_text[..., None], is_break[..., None]
    found = np.empty_like(aligned)
    relation = np.zeros_like(aligned[0])
    # Of all records and parents at once: NumPy's calls for each parent would take a tenth of a training step.
    for step in range(len(ids)):
        by_digits = np.minimum(np.maximum(10 * relation + change[step], -FAR), FAR)
        near = np.where(both_digits[step], by_digits, np.where(is_same[step], relation, FAR))
        grows = is_text[step] & (np.abs(relation) < FAR)
        relation = np.where(is_break[step], 0, np.where(grows, near, relation)).astype(np.int32)
        found[step] = relation
    return found


def _value_hashes(text: Ids, starts: Ids, lengths: Ids, layout: FieldLayout) -> list[Ids]:
    """Return the hash of the values of each field that is looked up by value, [B] each."""
    record = np.arange(text.shape[1])
    hashes = []
    for field, multiplier in zip(layout.value_fields, layout.value_multipliers, strict=True):
        value, length = np.zeros(len(record), np.int32), lengths[field]
        for offset in range(int(length.max(initial=0))):
            token = text[np.minimum(starts[field] + offset, len(text) - 1), record]
            value = np.where(offset < length, (value * multiplier + token + 3) % HASH_MODULUS, value)
        hashes.append(value)
    return hashes
