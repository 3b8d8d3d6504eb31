"""Find how the values of each column are compared: by what typed files declare, and by how the training set writes its values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from linesmith.core.parsing import JsonNumber
from linesmith.records.fields import FIELD_BREAK
from linesmith.records.output.comparison import BOOLEAN, NUMBER, ComparisonKind, common_kind, kind_of_spellings
from linesmith.records.output.spellings import common_spellings

if TYPE_CHECKING:
    from linesmith.transforms.read_evaluation_sets import EvaluationInputUnit

Kinds = list[ComparisonKind | None]
_UNITS_READ, _RECORDS_READ = 16, 2000  # at most; a unit may be empty


def kinds_of_statistics(fields: Iterable[dict[str, Any]]) -> Kinds:
    """Return the kinds of a run's columns, from the `fields` of its statistics; text where an earlier version wrote these."""
    spelled = [field.get("spellings") for field in fields]
    return [None if found is None else kind_of_spellings(found["names"]) for found in spelled]


def kinds_of_set(
    units: Sequence[EvaluationInputUnit], declared: dict[str, ComparisonKind | None] | None, is_training: bool
) -> Kinds:
    """Return the kinds of the columns of a set, in the order in which they are read.

    Args:
        units: of the set.
        declared: the kinds that its files declare, by column; None: they declare none (lines, JSON Lines).
        is_training: of the training set the spelling of texts counts, too. It is taken from the first records: a value that
            is not of the kind is compared as text wherever it comes.
    """
    columns = (units[0].columns if units else None) or ()
    spelled = _kinds_of_texts(units) if is_training else []
    if declared is not None:
        return [one or other for one, other in zip_longest([declared.get(name) for name in columns], spelled)]
    return [one or other for one, other in zip_longest(spelled, _kinds_of_json(units, columns))]


def with_kinds(units: Sequence[EvaluationInputUnit], known: dict[str, Kinds]) -> list[EvaluationInputUnit]:
    """Return the units of all sets with the kinds in which their columns are compared.

    Args:
        units: of all sets.
        known: the kinds that are known of each set.
    """
    in_order = [known[name] for name in ("training", "holdout", "synthetic") if name in known]
    kinds = tuple(common_kind(column) for column in zip_longest(*in_order))
    return [replace(unit, kinds=kinds) for unit in units]


def _kinds_of_texts(units: Sequence[EvaluationInputUnit]) -> Kinds:
    """Return the kinds that the first records of a set have by their spelling; none for an empty set."""
    from linesmith.transforms.read_evaluation_sets import read_set_unit

    batches = (text for unit in units[:_UNITS_READ] for _, (_, text) in read_set_unit(unit))
    first = next((text for text in batches if len(text)), None)
    columns: list[frozenset[str] | None] = []
    for record in [] if first is None else first.slice(0, _RECORDS_READ).to_pylist():
        for position, value in enumerate(record.split(FIELD_BREAK)):
            if position == len(columns):
                columns.append(None)
            if value and columns[position] != frozenset():
                columns[position] = common_spellings([value], columns[position])
    return [None if spellings is None else kind_of_spellings(spellings) for spellings in columns]


def _kinds_of_json(units: Sequence[EvaluationInputUnit], columns: Sequence[str]) -> Kinds:
    """Return the kinds that the types of JSON values give the columns of a set, by its first records."""
    from linesmith.records.input.typed_files import JSONL
    from linesmith.transforms.read_evaluation_sets import first_json_rows

    if not columns or units[0].format_name != JSONL:
        return []
    rows = next((rows for unit in units[:_UNITS_READ] if (rows := first_json_rows(unit))), [])
    return [_json_kind(row.get(name) for row in rows[:_RECORDS_READ]) for name in columns]


def _json_kind(values: Iterable[Any]) -> ComparisonKind | None:
    types = {type(value) for value in values if value is not None}
    if types == {bool}:
        return ComparisonKind(BOOLEAN)
    return ComparisonKind(NUMBER) if types and types <= {int, float, JsonNumber} else None
