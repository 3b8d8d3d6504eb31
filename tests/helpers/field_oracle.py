"""The rows of a network that knows fields, computed slowly and obviously: one record, one step, one slot at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from linesmith.core.artifacts.field_inputs import FieldInputs, ValueHash
from linesmith.model.fields.layout import HASH_MODULUS, FieldLayout
from linesmith.records.fields import DELIMITER_ID


def slow_rows(ids: Sequence[int], layout: FieldLayout) -> list[list[int]]:
    """Return the rows of every step of one record, from what the network reads of it, `<n>` first."""
    return [_rows_of_step(list(ids[: step + 1]), layout) for step in range(len(ids))]


def _rows_of_step(ids: list[int], layout: FieldLayout) -> list[int]:
    inputs = layout.inputs
    fields: list[list[int]] = [[]]
    remembered = 0
    for number in ids:
        if number == DELIMITER_ID:
            fields.append([])
        elif number >= inputs.first_token:
            remembered += 1
            fields[-1].append(number if remembered <= inputs.memory else -2)
    known = len(inputs.parents)
    field, current = min(len(fields) - 1, known), _actual_texts(ids, inputs)[-1]
    offset = len(current)
    row = layout.vocab_size
    starts = []
    for count in inputs.positions:
        starts.append(row)
        row += count
    found = [ids[-1], starts[field] + min(offset, inputs.positions[field] - 1)]
    pairs = {}
    for number, (slots, parents) in enumerate(zip(inputs.parent_slots, inputs.parents, strict=True)):
        for _, parent in sorted(zip(slots, parents, strict=True)):
            same = [pairs[other, parent] for other in range(number) if inputs.shared_rows and (other, parent) in pairs]
            pairs[number, parent] = same[0] if same else row
            row += 0 if same else 5 * (len(inputs.tokens[parent]) + 3)
    values = []
    for value in inputs.values:
        values.append(row)
        row += value.buckets
    parents = inputs.parents[field] if field < known else []
    slots = inputs.parent_slots[field] if field < known else []
    for slot in range(inputs.parent_slot_count):
        if slot not in slots:
            found.append(row + slot)
            continue
        of_slot = parents[slots.index(slot)]
        parent = fields[of_slot]
        tokens = inputs.tokens[of_slot]
        if offset > len(parent) or (offset < len(parent) and parent[offset] == -2):
            index = 0
        elif offset == len(parent):
            index = 1
        else:
            index = 3 + tokens.index(parent[offset]) if parent[offset] in tokens else 2
        found.append(pairs[field, of_slot] + index + (2 + _relation(current, parent, inputs)) * (len(tokens) + 3))
    for slot, value in enumerate(inputs.values):
        if value.field in parents:
            found.append(values[slot] + _hash(fields[value.field], value) % value.buckets)
        else:
            found.append(row + inputs.parent_slot_count + slot)
    return found


def _relation(text: list[int], parent: list[int], inputs: FieldInputs) -> int:
    """Compare two texts, of which the second is cut or filled up with 0 to the length of the first."""
    values = {number: value for value, number in enumerate(inputs.digits) if number}
    difference = 0
    for place, number in enumerate(text):
        other = parent[place] if place < len(parent) else -1
        value, other_value = values.get(number), 0 if other < 0 else values.get(other)
        if value is not None and other_value is not None:
            difference = 10 * difference + value - other_value
        elif number != other:
            return 2
        if abs(difference) > 1:
            return 2 if difference > 0 else -2
    return difference


def _actual_texts(ids: Sequence[int], inputs: FieldInputs) -> list[list[int]]:
    fields: list[list[int]] = [[]]
    for number in ids:
        if number == DELIMITER_ID:
            fields.append([])
        elif number >= inputs.first_token:
            fields[-1].append(number)
    return fields


def _hash(tokens: Sequence[int], value: ValueHash) -> int:
    total = 0
    for number in tokens:
        total = (total * value.multiplier + number + 3) % HASH_MODULUS
    return total


def random_records(layout: FieldLayout, random: np.random.Generator, count: int, steps: int) -> np.ndarray:
    """Return ids [steps, count], `<n>` first: fields that repeat others' beginnings, empty ones, too many, stray markers."""
    first, vocab = layout.inputs.first_token, layout.vocab_size
    columns = []
    for _ in range(count):
        ids, fields = [0], [[]]
        share = random.choice([0.05, 0.2, 0.6])
        while len(ids) < steps:
            if random.random() < share:
                ids.append(1)
                if first > 2 and random.random() < 0.8:
                    ids.append(int(random.integers(2, first)))
                fields.append([])
                continue
            source = fields[random.integers(len(fields))]
            here = len(fields[-1])
            copied = random.random() < 0.7 and here < len(source)
            ids.append(source[here] if copied else int(random.integers(first, vocab)))
            fields[-1].append(ids[-1])
            if first > 2 and random.random() < 0.02:
                ids.append(int(random.integers(2, first)))
        columns.append(ids[:steps])
    return np.array(columns, np.int32).T
