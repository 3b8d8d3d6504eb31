"""Description of what a network that knows fields looks up beside its last token, as `model.json` stores it.

The network's input is a sum of rows of one table (`linesmith.model.fields.layout` says which). This module holds the numbers
that decide how many rows there are and what each stands for; it knows neither tokenizers nor networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import Field

MAX_FIELDS = 256  # fields that are told apart; later fields of a record share their rows
MAX_ROWS = 1 << 20  # of a table, beside those of the tokens
PAST_END, AT_END, OTHER_TOKEN = range(3)  # what an aligned token can be, beside the tokens that have rows of their own
SPECIAL_TOKENS = 3
RELATIONS = 5  # of a field's text so far to a parent's beginning: far below, one below, equal, one above, far above
FAR = 2

_Field = Annotated[int, Field(ge=0, lt=MAX_FIELDS)]
_Token = Annotated[int, Field(ge=1, le=1 << 24)]


@dataclass(frozen=True)
class ValueHash:
    """How the whole value of a field becomes a row.

    Attributes:
        field: number of the field.
        multiplier: of the polynomial hash of its tokens.
        buckets: rows; a value has the row `hash % buckets`.
    """

    field: _Field
    multiplier: Annotated[int, Field(ge=2, lt=1 << 14)]
    buckets: Annotated[int, Field(ge=1, le=1 << 15)]


@dataclass(frozen=True)
class FieldInputs:
    """What a network looks up beside its last token.

    Attributes:
        first_token: the first id that is text; ids below it separate and mark records and fields.
        memory: how many tokens of text of a record are remembered; later ones cannot be looked up.
        positions: offsets told apart in each known field, and at the end in all later ones together.
        parents: for each known field the earlier fields that are looked up while it is written.
        tokens: for each known field the ids that have rows of their own where the field is looked up; others share one.
        values: fields whose whole value is looked up, too.
        digits: ids of the digits 0 to 9; 0 for one that the vocabulary lacks.
        shared_rows: all fields with the same parent look up the same rows of it; otherwise each has rows of its own.
    """

    first_token: _Token
    memory: _Token
    positions: list[Annotated[int, Field(ge=1, le=1 << 12)]]
    parents: list[list[_Field]]
    tokens: list[list[_Token]]
    values: list[ValueHash]
    digits: Annotated[list[Annotated[int, Field(ge=0, le=1 << 24)]], Field(min_length=10, max_length=10)]
    shared_rows: bool = False

    def problem(self, vocab_size: int) -> str | None:
        """Return what contradicts itself in the description; None where nothing does.

        Args:
            vocab_size: number of token ids.
        """
        count = len(self.parents)
        if not 1 <= count <= MAX_FIELDS or len(self.positions) != count + 1 or len(self.tokens) != count:
            return "its parts are of different numbers of fields"
        for number, parents in enumerate(self.parents):
            if len(set(parents)) != len(parents) or any(parent >= number for parent in parents):
                return "a field's parents are not different earlier fields"
        if any(ids != sorted(set(ids)) or (ids and ids[-1] >= vocab_size) for ids in self.tokens):
            return "the tokens of a field are not different ids in order"
        named = [value.field for value in self.values]
        if len(set(named)) != len(named) or any(number >= count for number in named):
            return "a value is not that of a known field"
        if any(number >= vocab_size for number in self.digits):
            return "a digit is not a token"
        return None if self.extra_rows <= MAX_ROWS else "it needs too many rows"

    @cached_property
    def parent_slots(self) -> list[list[int]]:
        """Slot of each parent of each field, in the order of `parents`.

        Slots share no rows, on which the norms of private training rest. So where fields share the rows of a parent, it has the
        same slot in all of them: the first one that no other parent of the same field has.
        """
        if not self.shared_rows:
            return [list(range(len(parents))) for parents in self.parents]
        beside: dict[int, set[int]] = {}
        for parents in self.parents:
            for parent in parents:
                beside.setdefault(parent, set()).update(parents)
        slots: dict[int, int] = {}
        for parent in sorted(beside):
            taken = {slots[other] for other in beside[parent] if other in slots}
            slots[parent] = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        return [[slots[parent] for parent in parents] for parents in self.parents]

    @cached_property
    def parent_slot_count(self) -> int:
        """Number of slots for parents: as many as a field has parents at most, or more where rows are shared."""
        return max((slot + 1 for slots in self.parent_slots for slot in slots), default=0)

    @property
    def extra_rows(self) -> int:
        """Rows of the table beside those of the tokens."""
        looked_up = [parent for parents in self.parents for parent in parents]
        pairs = sum(
            RELATIONS * self.aligned_width(parent) for parent in (set(looked_up) if self.shared_rows else looked_up)
        )
        values = sum(value.buckets for value in self.values)
        return sum(self.positions) + pairs + values + self.parent_slot_count + len(self.values)

    def aligned_width(self, parent: int) -> int:
        """Return how many aligned tokens of a parent are told apart."""
        return len(self.tokens[parent]) + SPECIAL_TOKENS
