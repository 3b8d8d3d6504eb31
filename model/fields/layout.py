"""Which rows the table of a network that knows fields has, and where they are.

When the network is about to write the token at offset p of field f, its input is the sum of one row per slot:

- the last token, as in a plain network;
- the place: field f and offset p, the last offsets of a field together;
- for each parent g of f: the token at offset p of field g, and how the text of f so far compares with the beginning of g; fields
  with the same parent may share its rows;
- for each parent with few values: the value itself, by a hash of its tokens.

Slots share no rows. A slot that a field does not need takes a row that stands for nothing, so every step has as many rows.
Rows in order: tokens, places, pairs of field and parent, values, and one for each slot that may be unused.

Texts compare as numbers of as many digits: equal, one more or one less in the last place, or further apart. So 37.80 is one above
37.79, and a number near another one is as easy to write across such a border as elsewhere. Where the parent has ended, its digits
are 0. Texts that differ in something else than digits are far apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from linesmith.core.artifacts.field_inputs import (
    AT_END,
    OTHER_TOKEN,
    PAST_END,
    RELATIONS,
    SPECIAL_TOKENS,
    FieldInputs,
)
from linesmith.core.artifacts.model_info import ModelInfo

HASH_MODULUS = 65_521  # prime; a hash times a multiplier below 2¹⁴, and a token, fit an int32
NO_TOKEN, END_OF_FIELD = -2, -1  # in the place of an aligned token's id: past the end of the parent, and at its end
Array = npt.NDArray[np.int32]


@dataclass(frozen=True)
class FieldLayout:
    """Look-up tables of a description, for F known fields; field number F stands for all later ones.

    Attributes:
        inputs: the description.
        vocab_size: number of token ids.
    """

    inputs: FieldInputs
    vocab_size: int

    @property
    def fields(self) -> int:
        """Number of known fields."""
        return len(self.inputs.parents)

    @property
    def rows(self) -> int:
        """Number of rows of the table."""
        return self.vocab_size + self.inputs.extra_rows

    @property
    def slots(self) -> int:
        """Number of rows that make up an input."""
        return 2 + self.inputs.parent_slot_count + len(self.inputs.values)

    @cached_property
    def parents(self) -> Array:
        """Parent of each field by slot, −1 for none, [F + 1, slots of parents]."""
        found = np.full((self.fields + 1, self.inputs.parent_slot_count), -1, np.int32)
        for field, (slots, parents) in enumerate(zip(self.inputs.parent_slots, self.inputs.parents, strict=True)):
            found[field, slots] = parents
        return found

    @cached_property
    def position_starts(self) -> Array:
        """First row of each field's places, [F + 1]."""
        counts = np.array(self.inputs.positions, np.int32)
        return (self.vocab_size + np.cumsum(counts) - counts).astype(np.int32)

    @cached_property
    def last_positions(self) -> Array:
        """Largest offset that has a row of its own, [F + 1]."""
        return np.array(self.inputs.positions, np.int32) - 1

    @cached_property
    def pair_starts(self) -> Array:
        """First row of each pair of field and parent, or the row of the unused slot, [F + 1, slots of parents]."""
        start = self.vocab_size + sum(self.inputs.positions)
        found, starts = np.empty_like(self.parents), dict[tuple[int, int], int]()
        for field, slot in np.ndindex(found.shape):
            parent = int(self.parents[field, slot])
            pair = (parent, 0 if self.inputs.shared_rows else field)
            if parent >= 0 and pair not in starts:
                starts[pair] = start
                start += RELATIONS * self.inputs.aligned_width(parent)
            found[field, slot] = starts[pair] if parent >= 0 else self._first_unused + slot
        return found

    @cached_property
    def pair_widths(self) -> Array:
        """Rows of a pair for each way in which its texts compare, [F + 1, slots of parents]; 0 for no parent."""
        widths = np.array([*map(self.inputs.aligned_width, range(self.fields)), 0], np.int32)
        return widths[self.parents]

    @cached_property
    def aligned_indices(self) -> Array:
        """Place of each aligned token in the rows of its parent, [F + 1, vocab + 2].

        Columns are ids plus 2, so that `NO_TOKEN` and `END_OF_FIELD` have some. The last line, of no parent, is 0 throughout.
        """
        found = np.full((self.fields + 1, self.vocab_size + 2), OTHER_TOKEN, np.int32)
        for field, ids in enumerate(self.inputs.tokens):
            found[field, np.array(ids, np.int64) + 2] = SPECIAL_TOKENS + np.arange(len(ids))
        found[:, NO_TOKEN + 2], found[:, END_OF_FIELD + 2] = PAST_END, AT_END
        found[-1] = 0
        return found

    @cached_property
    def digit_values(self) -> Array:
        """Value of each token that is a digit, −1 of others, [vocab]."""
        found = np.full(self.vocab_size, -1, np.int32)
        for value, number in enumerate(self.inputs.digits):
            if number:
                found[number] = value
        return found

    @cached_property
    def value_fields(self) -> Array:
        """Fields whose values are looked up, [K]."""
        return np.array([value.field for value in self.inputs.values], np.int32)

    @cached_property
    def value_multipliers(self) -> Array:
        """Multiplier of each value's hash, [K]."""
        return np.array([value.multiplier for value in self.inputs.values], np.int32)

    @cached_property
    def value_buckets(self) -> Array:
        """Number of rows of each value, where it is looked up; 1 elsewhere, [F + 1, K]."""
        return np.where(self._looks_up_value, [value.buckets for value in self.inputs.values], 1).astype(np.int32)

    @cached_property
    def value_starts(self) -> Array:
        """First row of each value, or the row of the unused slot, [F + 1, K]."""
        buckets = np.array([value.buckets for value in self.inputs.values], np.int32)
        start = self._first_unused - buckets.sum() + np.cumsum(buckets) - buckets
        unused = self._first_unused + self.inputs.parent_slot_count + np.arange(len(buckets))
        return np.where(self._looks_up_value, start, unused).astype(np.int32)

    @cached_property
    def unused_rows(self) -> Array:
        """Row of each slot where it is not needed, [slots]; 0 for the first two, which always are."""
        others = self.slots - 2
        return np.concatenate([[0, 0], self.rows - others + np.arange(others)]).astype(np.int32)

    @property
    def _first_unused(self) -> int:
        return self.rows - self.inputs.parent_slot_count - len(self.inputs.values)

    @property
    def _looks_up_value(self) -> npt.NDArray[np.bool_]:
        return (self.parents[:, :, None] == self.value_fields).any(axis=1)


def layout_of_model(info: ModelInfo) -> FieldLayout | None:
    """Return the layout of a stored model; None for a plain network.

    Args:
        info: the model's description.
    """
    return None if info.field_inputs is None else FieldLayout(info.field_inputs, info.vocab_size)
