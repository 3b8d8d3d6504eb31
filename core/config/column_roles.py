"""Parse `--column-role`: what stands in a column of the output in place of what a model learns.

A column without a role is learned. The others are cut before anything looks at the records, and put back on output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from linesmith.core.config.key_pattern import parse_pattern
from linesmith.core.config.where_condition import parse_where

RoleKind = Literal["learn", "key", "fake", "drop", "constant", "ref"]
ROLE_KINDS: tuple[str, ...] = get_args(RoleKind)
_FORMS = "learn, key, key:PATTERN, fake:PROVIDER, fake:PROVIDER:LOCALE, drop, constant:VALUE, ref:FILE#COLUMN"


@dataclass(frozen=True)
class ColumnRole:
    """Role of one column.

    Attributes:
        kind: what stands in the column; `learn`: what the model draws; `drop`: the output has no such column.
        text: pattern of a key (empty: that of the source), provider of a fake, value of a constant, path of a reference.
        detail: locale of a fake (empty: that of Faker), column of a reference.
        weighted: draw a value of a reference as often as it occurs in its file, and not each value equally often.
    """

    kind: RoleKind
    text: str = ""
    detail: str = ""
    weighted: bool = False


def parse_role(text: str) -> ColumnRole:
    """Return the role that a text describes.

    Raises:
        ValueError: it describes none; the message says why.

    Example:
        >>> parse_role("fake:name:de_DE")
        ColumnRole(kind='fake', text='name', detail='de_DE', weighted=False)
        >>> parse_role("ref:customers.csv#id:weighted")
        ColumnRole(kind='ref', text='customers.csv', detail='id', weighted=True)
        >>> parse_role("key"), parse_role("constant:a:b").text
        (ColumnRole(kind='key', text='', detail='', weighted=False), 'a:b')
    """
    kind, colon, rest = text.partition(":")
    if kind not in ROLE_KINDS:
        raise ValueError(f"has the role {text!r}; the roles are {_FORMS}" if text else f"has no role; give {_FORMS}")
    if colon and not rest:
        raise ValueError(f"has the role {text!r}, with nothing after the colon")
    if kind in ("learn", "drop") and rest:
        raise ValueError(f"has the role {text!r}; {kind} takes nothing after it")
    if kind == "fake":
        provider, _, locale = rest.partition(":")
        if not provider:
            raise ValueError("has the role 'fake' without a provider; give for example fake:name or fake:name:de_DE")
        return ColumnRole("fake", provider, locale)
    if kind == "ref":
        return _reference(rest)
    if kind == "key" and rest:
        try:
            parse_pattern(rest)
        except ValueError as error:
            raise ValueError(f"has the role {text!r}: {error}") from None
    if kind == "constant" and not rest:
        raise ValueError("has the role 'constant' without a value; give constant:VALUE, or drop")
    return ColumnRole(kind, rest)  # type: ignore[arg-type]


def _reference(rest: str) -> ColumnRole:
    """Return the role of a column whose values are drawn from a file; without a file, one that has to be given again."""
    if not rest:
        return ColumnRole("ref")
    path, _, column = rest.rpartition("#")
    weighted = column.endswith(":weighted")
    column = column.removesuffix(":weighted")
    if not path or not column:
        raise ValueError(f"has the role 'ref:{rest}'; give ref:FILE#COLUMN or ref:FILE#COLUMN:weighted")
    return ColumnRole("ref", path, column, weighted)


def parse_column_roles(value: Any) -> Any:
    """Return roles as a mapping from column to text; a value of another type unchanged.

    Text is `column=role`, several of them with commas between; what holds a comma is in double quotes, as in `--where`.

    Raises:
        ValueError: a text is not of that form, a column is given twice, or a role cannot be.

    Example:
        >>> parse_column_roles('id=key,"source=constant:a,b"')
        {'id': 'key', 'source': 'constant:a,b'}
    """
    try:
        roles = parse_where(value)
    except ValueError as error:
        raise ValueError(str(error).replace("COLUMN=VALUE", "COLUMN=ROLE")) from None
    if not isinstance(roles, Mapping):
        return roles
    for name, text in roles.items():
        if not isinstance(name, str) or not name:
            raise ValueError("names no column before the equals sign")
        if not isinstance(text, str):
            raise ValueError(f"column '{name}' must have a role as text; the roles are {_FORMS}")
        try:
            parse_role(text)
        except ValueError as error:
            raise ValueError(f"column '{name}' {error}") from None
    return dict(roles)


def without_references(roles: Any) -> dict[str, str] | None:
    """Return roles without the paths of files: what a run directory stores does not decide what is opened outside of it.

    Args:
        roles: text by column; None, and a list, which a configuration makes a mapping of: None is returned.
    """
    if not isinstance(roles, Mapping):
        return None
    return {name: "ref" if parse_role(text).kind == "ref" else text for name, text in roles.items()}
