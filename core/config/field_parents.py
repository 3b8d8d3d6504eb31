"""Parse `--parents`, and find the fields that it names: which earlier fields a network looks up while it writes a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from linesmith.core.artifacts.field_inputs import MAX_FIELDS
from linesmith.core.config.column_names import name_fault
from linesmith.core.config.setting_field import option_text, shortened
from linesmith.core.config.where_condition import parse_where
from linesmith.core.errors import ParameterError

Parents = Mapping[str, Sequence[str]]


def parse_parents(value: Any) -> Any:
    """Return parents as a mapping from column to its parents; a value of another type unchanged.

    Text is `column=parent+parent`, several of them with commas between, in double quotes where a name holds a comma or an equals
    sign. Nothing after the equals sign means no parents. A mapping may have lists, for names that hold a plus sign.

    Raises:
        ValueError: a text is not of that form, or a column or a parent is given twice.

    Example:
        >>> parse_parents(["end_lat=start_lat", "b=a+c,d="])
        {'end_lat': ['start_lat'], 'b': ['a', 'c'], 'd': []}
        >>> parse_parents({"b": ["a", "c + d"], "e": "f"})
        {'b': ['a', 'c + d'], 'e': ['f']}
    """
    if not isinstance(value, Mapping):
        try:
            value = parse_where(value)
        except ValueError as error:
            raise ValueError(str(error).replace("COLUMN=VALUE", "COLUMN=PARENT+PARENT")) from None
        if not isinstance(value, Mapping):
            return value
    found = {
        name.strip() if isinstance(name, str) else name: [
            part.strip() for part in parents.split("+") if parents.strip()
        ]
        if isinstance(parents, str)
        else parents
        for name, parents in value.items()
    }
    for name, parents in found.items():
        if isinstance(parents, list | tuple) and len(set(map(str, parents))) != len(parents):
            raise ValueError(f"names the same parent of '{name}' twice")
    return found


def is_parents(value: Any) -> bool:
    """Return whether a value is a mapping from texts to lists of texts, not empty."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(of, list) for name, of in value.items())
        and all(isinstance(parent, str) for of in value.values() for parent in of)
    )


def parents_text(parents: Parents) -> str:
    """Return parents as they are typed.

    Example:
        >>> parents_text({"b": ["a", "c"], "d": []})
        'b=a+c,d='
    """
    return ",".join(f"{name}={'+'.join(of)}" for name, of in parents.items())


def check_circle(parents: Parents) -> None:
    """Refuse columns that are each other's parents, whatever their order.

    Raises:
        ParameterError: LS135.
    """
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise _refusal(
            parents,
            f"is a circle: '{shortened(circle)}'",
            "A column can only look at columns that are written before it: take one of these parents out.",
        ) from None


def resolve_parents(
    parents: Parents, columns: Sequence[str] | None, first: Sequence[str], is_private: bool
) -> dict[int, list[int]]:
    """Return the parents by number, in the order in which fields are written.

    Args:
        parents: names, without a circle.
        columns: names of the columns, in the order of the input; None where they have none.
        first: those that are written first (`condition_on`).
        is_private: names may not come from the records' files.

    Raises:
        ParameterError: LS135, a column does not exist, is not told apart, or is written before its parent.
    """
    if not parents:
        return {}
    if columns is None:
        sources = "Give --columns or a --schema-file" + (" that names them." if is_private else ", or --header.")
        raise _refusal(parents, "names columns, and the columns have no names", sources)
    order = {name: number for number, name in enumerate([*first, *(name for name in columns if name not in first)])}
    for name in dict.fromkeys(name for child, of in parents.items() for name in (child, *of)):
        if (found := name_fault(name, columns)) is not None:
            raise _refusal(parents, f"'{shortened(name)}' {found}", f"There are: {shortened(', '.join(columns))}.")
        if order[name] >= MAX_FIELDS:
            raise _refusal(
                parents,
                f"'{name}' is column {order[name] + 1:,} of those that are written, and the network tells {MAX_FIELDS} apart",
                "Name it in --condition-on, whose columns are written first.",
            )
    for child, of in parents.items():
        for parent in of:
            if order[parent] >= order[child]:
                raise _refusal(parents, f"'{parent}' is written after '{child}'", _earlier(parent, child, first))
    return {order[child]: sorted(order[parent] for parent in of) for child, of in parents.items()}


def _earlier(parent: str, child: str, first: Sequence[str]) -> str:
    """Return how a column comes to stand before another one."""
    if child in first:
        return f"Name '{parent}' before '{child}' in --condition-on, or give '{parent}={child}' instead."
    return f"Name '{parent}' in --condition-on, whose columns are written first, or give '{parent}={child}' instead."


def _refusal(parents: Parents, found: str, remedy: str) -> ParameterError:
    return ParameterError("LS135", shortened(option_text("parents", parents_text(parents))), found, remedy)
