"""Parse `--differences`, and find the fields it names: numbers that the model writes as differences from an earlier field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from linesmith.core.config.column_names import name_fault
from linesmith.core.config.setting_field import option_text, shortened
from linesmith.core.config.where_condition import parse_where
from linesmith.core.errors import ParameterError

MAX_DECIMALS = 15
_BASE = re.compile(r"(.+?)(?:\s*:\s*([0-9]+))?", re.DOTALL)


class Difference(NamedTuple):
    """What a column is written as a difference from.

    Attributes:
        base: name of the other column.
        decimals: digits after the point of the column's numbers; None: as few as they need.
    """

    base: str
    decimals: int | None = None


def parse_differences(value: Any) -> Any:
    """Return differences as a mapping from column to base, with the decimals after a colon; another type unchanged.

    Raises:
        ValueError: a text is not of that form, or a column is given twice.

    Example:
        >>> parse_differences("end_lat=start_lat,total=price:2")
        {'end_lat': 'start_lat', 'total': 'price:2'}
    """
    try:
        found = parse_where(value)
    except ValueError as error:
        raise ValueError(str(error).replace("COLUMN=VALUE", "COLUMN=BASE")) from None
    if not isinstance(found, Mapping):
        return found
    found = {name.strip() if isinstance(name, str) else name: base for name, base in found.items()}
    for name, base in found.items():
        if not isinstance(name, str) or not isinstance(base, str) or not base.strip():
            raise ValueError("must be COLUMN=BASE or COLUMN=BASE:DECIMALS, or a mapping from columns to such texts")
        decimals = split_base(base).decimals
        if decimals is not None and decimals > MAX_DECIMALS:
            raise ValueError(f"gives '{name}' {decimals} decimals; at most {MAX_DECIMALS} can be")
    if not found:
        raise ValueError("names no column")
    return found


def split_base(text: str) -> Difference:
    """Return the base and the decimals of a setting's text.

    Example:
        >>> split_base("price:2"), split_base("price")
        (Difference(base='price', decimals=2), Difference(base='price', decimals=None))
    """
    base, decimals = _BASE.fullmatch(text.strip()).groups()  # type: ignore[union-attr]  # it matches every text
    return Difference(base.strip(), None if decimals is None else int(decimals))


def resolve_differences(
    differences: Mapping[str, Difference], columns: Sequence[str] | None, first: Sequence[str], is_private: bool
) -> list[tuple[int, int, int | None]]:
    """Return the numbers of each column and its base in the order of the input, and its decimals, by column.

    Args:
        differences: by column.
        columns: names of the columns, in the order of the input; None where they have none.
        first: those that are written first (`condition_on`).
        is_private: names may not come from the records' files.

    Raises:
        ParameterError: LS136, a column does not exist, or is not after its base, in the input and as it is written.
    """
    if not differences:
        return []
    if columns is None:
        sources = "Give --columns or a --schema-file" + (" that names them." if is_private else ", or --header.")
        raise _refusal(differences, "names columns, and the columns have no names", sources)
    listed = list(columns)
    written = [*first, *(name for name in columns if name not in first)]
    for name in dict.fromkeys(name for column, (base, _) in differences.items() for name in (column, base)):
        if (found := name_fault(name, columns)) is not None:
            raise _refusal(differences, f"'{shortened(name)}' {found}", f"There are: {shortened(', '.join(columns))}.")
    for column, (base, _) in differences.items():
        if base == column:
            raise _refusal(differences, f"'{column}' is no difference from itself", "Name an earlier column.")
        if listed.index(base) >= listed.index(column):
            found = f"'{base}' does not come before '{column}' in the records"
            raise _refusal(differences, found, f"Give '{base}={column}' instead, or change the order of the columns.")
        if written.index(base) >= written.index(column):
            found = f"'{column}' is written before '{base}', since --condition-on names it first"
            raise _refusal(differences, found, f"Name '{base}' before it in --condition-on, or leave it out there.")
    numbers = [(listed.index(column), listed.index(base), decimals) for column, (base, decimals) in differences.items()]
    return sorted(numbers, key=lambda one: one[0])


def _refusal(differences: Mapping[str, Difference], found: str, remedy: str) -> ParameterError:
    text = ",".join(
        f"{column}={base}" + ("" if decimals is None else f":{decimals}")
        for column, (base, decimals) in differences.items()
    )
    return ParameterError("LS136", shortened(option_text("differences", text)), found, remedy)
