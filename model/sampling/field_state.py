"""What rows of a block remember of their records' fields, and the rows of the table that make up the next step's input.

The same as `linesmith.model.fields.inputs`, one token at a time, from each row's own tokens. XLA compiles it into the kernel that
draws the token. Everything is laid out with the block's rows last: then XLA's loops take many rows at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from linesmith.core.artifacts.field_inputs import FAR
from linesmith.model.fields.layout import END_OF_FIELD, HASH_MODULUS, NO_TOKEN, FieldLayout
from linesmith.records.fields import DELIMITER_ID

_DIGIT_BITS = 4  # of a number that holds a digit beside another number


class FieldState(NamedTuple):
    """What each row remembers of its record, and looks up for its next step, the row last.

    Attributes:
        text: tokens of text so far, [memory, R], in the smallest type that holds them.
        numbers: all parts of `_Numbers`, one below the other, int32: each tensor more costs a step microseconds.
    """

    text: tf.Tensor
    numbers: tf.Tensor


class _Numbers(NamedTuple):
    """What a row remembers beside its text, int32.

    Attributes:
        looked_up: rows of the table that make up the next input, [slots, R].
        relation: how the current field compares with the beginning of each parent, [slots of parents, R].
        aligned: token of each parent at the offset, [slots of parents, R].
        digits: value of that token as a digit, −1 of others, [slots of parents, R].
        hashes: of the fields that are looked up by value, [K, R].
        bounds: how many tokens of text came before each known field, and before the end of the last, [F + 1, R].
        progress: tokens of text so far, delimiters so far, tokens of text in the current field, [3, R].
    """

    looked_up: tf.Tensor
    relation: tf.Tensor
    aligned: tf.Tensor
    digits: tf.Tensor
    hashes: tf.Tensor
    bounds: tf.Tensor
    progress: tf.Tensor


class _OfField(NamedTuple):
    """Numbers of the layout for the field of each row, [its number, R]; as columns of one table, [F + 1, sum of numbers]."""

    parents: tf.Tensor
    pair_starts: tf.Tensor
    pair_widths: tf.Tensor
    value_starts: tf.Tensor
    value_buckets: tf.Tensor
    position_start: tf.Tensor
    last_position: tf.Tensor


class FieldTracker:
    """Follows the fields of the records that the rows of a block write.

    Args:
        layout: of the network.
    """

    def __init__(self, layout: FieldLayout) -> None:
        self._layout = layout
        parents, values = layout.inputs.parent_slot_count, len(layout.inputs.values)
        self._sizes = [layout.slots, parents, parents, parents, values, layout.fields + 1, 3]
        self._dtype = next(
            dtype for dtype in (tf.uint8, tf.uint16, tf.int32) if layout.vocab_size <= min(dtype.max, 1 << 24) + 1
        )
        of_field = _OfField(
            layout.parents,
            layout.pair_starts,
            layout.pair_widths,
            layout.value_starts,
            layout.value_buckets,
            layout.position_starts[:, None],
            layout.last_positions[:, None],
        )
        self._field_sizes = [part.shape[1] for part in of_field]
        digits = np.concatenate([[0, 0], layout.digit_values])  # nothing counts as 0
        self._of_aligned = (layout.aligned_indices << _DIGIT_BITS) + digits.astype(np.int32) + 1
        self._of_field = np.ascontiguousarray(np.concatenate(of_field, axis=1).T)

    def idle_state(self, rows: int) -> FieldState:
        """Return the state of rows that have no record: that of rows that are about to begin one."""
        empty = FieldState(
            tf.zeros([self._layout.inputs.memory, rows], self._dtype), tf.zeros([sum(self._sizes), rows], tf.int32)
        )
        return self.next_state(empty, tf.zeros([rows], tf.int32), tf.ones([rows], tf.bool))

    def rows(self, state: FieldState) -> list[tf.Tensor]:
        """Return the rows of the table that make up the next input, one [R] for each slot."""
        return tf.unstack(state.numbers[: self._layout.slots])

    def next_state(self, state: FieldState, token: tf.Tensor, fresh: tf.Tensor) -> FieldState:
        """Return the state after a token.

        Args:
            state: before it.
            token: the last token of each row, [R] int32.
            fresh: rows that begin a record: their token is its `<n>`, whatever `token` says, [R] bool.
        """
        layout, old = self._layout, _Numbers(*tf.split(state.numbers, self._sizes))
        token = tf.where(fresh, 0, token)
        is_text, is_break = token >= layout.inputs.first_token, token == DELIMITER_ID
        begins = fresh | is_break
        old_count, old_number, old_offset = tf.unstack(tf.where(fresh, 0, old.progress))
        count, number = old_count + tf.cast(is_text, tf.int32), old_number + tf.cast(is_break, tf.int32)
        offset = tf.where(begins, 0, old_offset + tf.cast(is_text, tf.int32))
        # Neither text nor bounds are cleared for a new record: what it has not written itself is not looked up.
        here = (tf.range(layout.inputs.memory)[:, None] == old_count) & is_text
        text = tf.where(here, tf.cast(token, self._dtype), state.text)
        bounds = tf.where((tf.range(layout.fields + 1)[:, None] == number) & is_break, count, old.bounds)
        relation = self._relation(old, token, is_text, begins)
        hashes = self._hashes(old.hashes, token, is_text, fresh, old_count, old_number)
        table, field = tf.constant(self._of_field), tf.minimum(number, layout.fields)
        of_field = _OfField(*tf.split(tf.gather(table, field, axis=1), self._field_sizes))
        aligned = self._aligned(of_field, text, bounds, offset)
        line = tf.where(of_field.parents < 0, layout.fields, of_field.parents)  # the last line stands for no parent
        of_aligned = tf.gather(
            tf.constant(self._of_aligned.reshape(-1)), line * self._of_aligned.shape[1] + aligned + 2
        )
        index = tf.bitwise.right_shift(of_aligned, _DIGIT_BITS) + (relation + FAR) * of_field.pair_widths
        position = of_field.position_start + tf.minimum(offset, of_field.last_position)
        values = of_field.value_starts + hashes % of_field.value_buckets
        looked_up = [token[None], position, of_field.pair_starts + index, values]
        digits = tf.bitwise.bitwise_and(of_aligned, (1 << _DIGIT_BITS) - 1) - 1
        progress = tf.stack([count, number, offset])
        return FieldState(text, tf.concat([*looked_up, relation, aligned, digits, hashes, bounds, progress], axis=0))

    def _aligned(self, of_field: _OfField, text: tf.Tensor, bounds: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
        """Return the token of each parent at the row's offset, [slots of parents, R]."""
        memory, rows = text.shape
        row, known = tf.range(rows), tf.maximum(of_field.parents, 0)
        flat_bounds = tf.reshape(bounds, [-1])
        start = tf.gather(flat_bounds, known * rows + row)
        length = tf.gather(flat_bounds, (known + 1) * rows + row) - start
        place = start + offset
        token = tf.gather(tf.reshape(text, [-1]), tf.minimum(place, memory - 1) * rows + row)
        token = tf.where(place < memory, tf.cast(token, tf.int32), NO_TOKEN)
        found = tf.where(offset < length, token, tf.where(offset == length, END_OF_FIELD, NO_TOKEN))
        return tf.where(of_field.parents >= 0, found, NO_TOKEN)

    def _relation(self, old: _Numbers, token: tf.Tensor, is_text: tf.Tensor, begins: tf.Tensor) -> tf.Tensor:
        """Return how each field compares with its parents after a token, [slots of parents, R]."""
        relation, digit = old.relation, tf.gather(tf.constant(self._layout.digit_values), token)
        by_digits = tf.clip_by_value(10 * relation + digit - old.digits, -FAR, FAR)
        by_text = tf.where(old.aligned == token, relation, FAR)
        near = tf.where((digit >= 0) & (old.digits >= 0), by_digits, by_text)
        after = tf.where(is_text & (tf.abs(relation) < FAR), near, relation)
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
        remembered = tf.where(before < layout.inputs.memory, token, NO_TOKEN)
        grows = is_text & (number == tf.constant(layout.value_fields[:, None]))
        grown = (hashes * tf.constant(layout.value_multipliers[:, None]) + remembered + 3) % HASH_MODULUS
        return tf.where(fresh, 0, tf.where(grows, grown, hashes))
