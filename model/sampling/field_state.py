"""What rows of a block remember of their records' fields, and the rows of the table that make up the next step's input.

The same as `linesmith.model.fields.inputs`, one token at a time, from each row's own tokens. XLA compiles it, as one
kernel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from linesmith.core.artifacts.field_inputs import FAR
from linesmith.model.fields.layout import END_OF_FIELD, HASH_MODULUS, NO_TOKEN, FieldLayout
from linesmith.records.fields import DELIMITER_ID


class FieldState(NamedTuple):
    """What each row remembers of its record, the row first.

    Attributes:
        text: tokens of text so far, [R, memory], in the smallest type that holds them.
        bounds: how many tokens of text came before each known field, and before the end of the last, [R, F + 1].
        count: tokens of text so far, [R].
        number: delimiters so far, [R].
        offset: tokens of text in the current field, [R].
        relation: how the current field compares with the beginning of each parent, [R, slots of parents].
        aligned: token of each parent at the offset, [R, slots of parents].
        hashes: of the fields that are looked up by value, [R, K].
    """

    text: tf.Tensor
    bounds: tf.Tensor
    count: tf.Tensor
    number: tf.Tensor
    offset: tf.Tensor
    relation: tf.Tensor
    aligned: tf.Tensor
    hashes: tf.Tensor


class FieldTracker:
    """Follows the fields of the records that the rows of a block write.

    Args:
        layout: of the network.
    """

    def __init__(self, layout: FieldLayout) -> None:
        self._layout = layout
        self._parents = layout.parents
        self._dtype = next(
            dtype for dtype in (tf.uint8, tf.uint16, tf.int32) if layout.vocab_size <= min(dtype.max, 1 << 24) + 1
        )

    def idle_state(self, rows: int) -> FieldState:
        """Return the state of rows that have no record; the first `next_state` of a record forgets it."""
        inputs, zero = self._layout.inputs, tf.zeros([rows], tf.int32)
        parents = tf.zeros([rows, inputs.max_parents], tf.int32)
        return FieldState(
            text=tf.zeros([rows, inputs.memory], self._dtype),
            bounds=tf.zeros([rows, self._layout.fields + 1], tf.int32),
            count=zero,
            number=zero,
            offset=zero,
            relation=parents,
            aligned=parents,
            hashes=tf.zeros([rows, len(inputs.values)], tf.int32),
        )

    def next_state(self, state: FieldState, token: tf.Tensor, fresh: tf.Tensor) -> FieldState:
        """Return the state after a token.

        Args:
            state: before it.
            token: the last token of each row, [R] int32.
            fresh: rows that begin a record, whose token is its `<n>`, [R] bool.
        """
        layout, old = self._layout, FieldState(*state)
        is_text = (token >= layout.inputs.first_token) & ~fresh
        is_break = (token == DELIMITER_ID) & ~fresh
        begins = (fresh | is_break)[:, None]
        before, old_number = tf.where(fresh, 0, old.count), tf.where(fresh, 0, old.number)
        here = (tf.range(layout.inputs.memory) == before[:, None]) & is_text[:, None]
        count, number = before + tf.cast(is_text, tf.int32), old_number + tf.cast(is_break, tf.int32)
        is_bound = (tf.range(layout.fields + 1) == number[:, None]) & is_break[:, None]
        new = FieldState(
            # Neither text nor bounds are cleared for a new record: what it has not written itself is not looked up.
            text=tf.where(here, tf.cast(token, self._dtype)[:, None], old.text),
            bounds=tf.where(is_bound, count[:, None], old.bounds),
            count=count,
            number=number,
            offset=tf.where(begins[:, 0], 0, old.offset + tf.cast(is_text, tf.int32)),
            relation=self._relation(old, token, is_text, begins),
            aligned=old.aligned,
            hashes=self._hashes(old.hashes, token, is_text, fresh, before, old_number),
        )
        return new._replace(aligned=self._aligned(new))

    def rows(self, state: FieldState, token: tf.Tensor) -> list[tf.Tensor]:
        """Return the rows of the table that make up the next input, one [R] for each slot.

        Args:
            state: after the token.
            token: the last token of each row, [R].
        """
        layout, state = self._layout, FieldState(*state)
        field = self._field(state)

        def of_field(numbers: np.ndarray) -> tf.Tensor:
            return tf.gather(tf.constant(numbers), field)

        position = of_field(layout.position_starts) + tf.minimum(state.offset, of_field(layout.last_positions))
        found = [token, position]
        if layout.inputs.max_parents:
            where = tf.stack([_last_for_none(of_field(layout.parents), layout.fields), state.aligned + 2], axis=2)
            index = tf.gather_nd(tf.constant(layout.aligned_indices), where)
            index += (state.relation + FAR) * of_field(layout.pair_widths)
            found += tf.unstack(of_field(layout.pair_starts) + index, axis=1)
        if layout.inputs.values:
            bucket = state.hashes % of_field(layout.value_buckets)
            found += tf.unstack(of_field(layout.value_starts) + bucket, axis=1)
        return found

    def _field(self, state: FieldState) -> tf.Tensor:
        return tf.minimum(state.number, self._layout.fields)

    def _aligned(self, state: FieldState) -> tf.Tensor:
        """Return the token of each parent at the row's offset, [R, slots of parents]."""
        layout = self._layout
        if not layout.inputs.max_parents:
            return state.aligned
        parent = tf.gather(tf.constant(layout.parents), self._field(state))
        known = tf.maximum(parent, 0)
        start = tf.gather(state.bounds, known, batch_dims=1)
        length = tf.gather(state.bounds, known + 1, batch_dims=1) - start
        offset, memory = state.offset[:, None], layout.inputs.memory
        token = tf.gather(state.text, tf.minimum(start + offset, memory - 1), batch_dims=1)
        token = tf.where(start + offset < memory, tf.cast(token, tf.int32), NO_TOKEN)
        found = tf.where(offset < length, token, tf.where(offset == length, END_OF_FIELD, NO_TOKEN))
        return tf.where(parent >= 0, found, NO_TOKEN)

    def _relation(self, old: FieldState, token: tf.Tensor, is_text: tf.Tensor, begins: tf.Tensor) -> tf.Tensor:
        """Return how each field compares with its parents after a token, [R, slots of parents]."""
        values, relation, aligned = tf.constant(self._layout.digit_values), old.relation, old.aligned
        digit = tf.gather(values, token)[:, None]
        parent_digit = tf.where(aligned < 0, 0, tf.gather(values, tf.maximum(aligned, 0)))
        by_digits = tf.clip_by_value(10 * relation + digit - parent_digit, -FAR, FAR)
        by_text = tf.where(aligned == token[:, None], relation, FAR)
        near = tf.where((digit >= 0) & (parent_digit >= 0), by_digits, by_text)
        after = tf.where(is_text[:, None] & (tf.abs(relation) < FAR), near, relation)
        return tf.where(begins, 0, after)

    def _hashes(
        self,
        hashes: tf.Tensor,
        token: tf.Tensor,
        is_text: tf.Tensor,
        fresh: tf.Tensor,
        before: tf.Tensor,
        number: tf.Tensor,
    ) -> tf.Tensor:
        layout = self._layout
        if not layout.inputs.values:
            return hashes
        remembered = tf.where(before < layout.inputs.memory, token, NO_TOKEN)[:, None]
        grows = is_text[:, None] & (number[:, None] == tf.constant(layout.value_fields))
        grown = (hashes * tf.constant(layout.value_multipliers) + remembered + 3) % HASH_MODULUS
        return tf.where(fresh[:, None], 0, tf.where(grows, grown, hashes))


def _last_for_none(parents: tf.Tensor, last: int) -> tf.Tensor:
    """Return the parents, with the number of the table's last line for none."""
    return tf.where(parents < 0, last, parents)
