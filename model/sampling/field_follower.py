"""What rows of a block remember of their records' fields, and the rows of the table that make up the next step's input.

The same as `linesmith.model.fields.inputs`, one token at a time, from each row's own tokens; in NumPy, for `reference`.
kernel/fields.h keeps the same numbers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linesmith.core.artifacts.field_inputs import FAR
from linesmith.model.fields.layout import END_OF_FIELD, HASH_MODULUS, NO_TOKEN, FieldLayout
from linesmith.model.sampling.block_state import Integers
from linesmith.records.fields import DELIMITER_ID


def state_width(layout: FieldLayout | None) -> int:
    """Return how many numbers a row remembers of its fields; 0 in a plain network."""
    return 0 if layout is None else sum(_sizes(layout))


def _sizes(layout: FieldLayout) -> list[int]:
    """Return the sizes of the parts of a row's numbers.

    They are: rows of the table that make up the next input; how the field compares with each parent so far; token of each parent
    at the offset; hashes of the fields that are looked up by value; how many tokens of text came before each field; tokens of
    text, delimiters, and tokens of text in the current field so far; tokens of text.
    """
    parents, values = layout.inputs.parent_slot_count, len(layout.inputs.values)
    return [layout.slots, parents, parents, values, layout.fields + 1, 3, layout.inputs.memory]


class FieldFollower:
    """Follows the fields of the records that the rows of a block write.

    Args:
        layout: of the network.
    """

    def __init__(self, layout: FieldLayout) -> None:
        self._layout = layout
        self._bounds = np.cumsum(_sizes(layout))[:-1]
        self._digits = np.concatenate(
            [layout.digit_values, [0, 0]]
        )  # by token; `NO_TOKEN` and `END_OF_FIELD` count as 0

    def rows(self, numbers: Integers) -> Integers:
        """Return the rows of the table that make up the next input, [n, slots]."""
        return numbers[:, : self._layout.slots]

    def begin(self, numbers: Integers) -> Integers:
        """Return the numbers of rows that begin a record, [n, width]."""
        numbers = numbers.copy()
        _, relation, _, hashes, bounds, progress, _ = np.split(numbers, self._bounds, axis=1)
        for part in (relation, hashes, bounds[:, :1], progress):
            part[:] = 0
        return self._looked_up(numbers, np.zeros(len(numbers), np.int32))

    def follow(self, numbers: Integers, token: Integers) -> Integers:
        """Return the numbers of rows after a token.

        Args:
            numbers: before it, [n, width].
            token: [n].
        """
        layout, numbers = self._layout, numbers.copy()
        _, relation, aligned, hashes, bounds, progress, text = np.split(numbers, self._bounds, axis=1)
        count, number, offset = progress.T
        is_text, is_break = token >= layout.inputs.first_token, token == DELIMITER_ID
        self._compare(relation, aligned, token, is_text, is_break)
        remembered = np.where(count < layout.inputs.memory, token, NO_TOKEN)
        grows = is_text[:, None] & (number[:, None] == layout.value_fields)
        grown = (hashes * layout.value_multipliers + remembered[:, None] + 3) % HASH_MODULUS
        hashes[:] = np.where(grows, grown, hashes)
        kept = np.flatnonzero(is_text & (count < layout.inputs.memory))
        text[kept, count[kept]] = token[kept]
        count += is_text
        number += is_break
        offset[:] = np.where(is_break, 0, offset + is_text)
        known = np.flatnonzero(is_break & (number <= layout.fields))
        bounds[known, number[known]] = count[known]
        return self._looked_up(numbers, token)

    def _compare(
        self,
        relation: Integers,
        aligned: Integers,
        token: Integers,
        is_text: npt.NDArray[np.bool_],
        is_break: npt.NDArray[np.bool_],
    ) -> None:
        """Update how each field compares with its parents."""
        digit, other = self._digits[token][:, None], self._digits[aligned]
        by_digits = np.clip(10 * relation + digit - other, -FAR, FAR)
        by_text = np.where(aligned == token[:, None], relation, FAR)
        near = np.where((digit >= 0) & (other >= 0), by_digits, by_text)
        after = np.where(is_text[:, None] & (np.abs(relation) < FAR), near, relation)
        relation[:] = np.where(is_break[:, None], 0, after)

    def _looked_up(self, numbers: Integers, token: Integers) -> Integers:
        """Fill in the rows of the table for the next step, and the aligned tokens; returns the numbers."""
        layout = self._layout
        looked_up, relation, aligned, hashes, bounds, progress, text = np.split(numbers, self._bounds, axis=1)
        number, offset = progress[:, 1], progress[:, 2]
        field = np.minimum(number, layout.fields)
        parents, row = layout.parents[field], np.arange(len(numbers))[:, None]
        known = np.maximum(parents, 0)
        start = bounds[row, known]
        length, place = bounds[row, known + 1] - start, start + offset[:, None]
        found = text[row, np.clip(place, 0, layout.inputs.memory - 1)]
        found = np.where(place < layout.inputs.memory, found, NO_TOKEN)
        found = np.where(offset[:, None] == length, END_OF_FIELD, found)
        aligned[:] = np.where((parents < 0) | (offset[:, None] > length), NO_TOKEN, found)
        index = layout.aligned_indices[np.where(parents < 0, layout.fields, parents), aligned + 2]
        looked_up[:] = np.concatenate(
            [
                token[:, None],
                (layout.position_starts[field] + np.minimum(offset, layout.last_positions[field]))[:, None],
                layout.pair_starts[field] + index + (relation + FAR) * layout.pair_widths[field],
                layout.value_starts[field] + hashes % layout.value_buckets[field],
            ],
            axis=1,
        )
        return numbers
