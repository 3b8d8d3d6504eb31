"""The arguments of `Model.sample` and `Model.stream` as settings of generation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from linesmith.api.cut_columns import roles_of
from linesmith.core.config.column_roles import parse_role
from linesmith.core.config.setting_field import shortened, stage_of
from linesmith.core.config.tensorflow_config import TensorFlowConfig, fields, nearest_setting
from linesmith.core.errors import ParameterError

if TYPE_CHECKING:
    from linesmith.records.table_format import TableFormat

_DECIDED = ("gen_lines", "where", "seed")  # arguments of their own
_OTHERS_OF_GENERATION = ("matmul_precision", "column_role")


def generation_settings(
    config: TensorFlowConfig,
    where: Mapping[str, Any] | None,
    seed: int | None,
    settings: Mapping[str, Any],
    table: TableFormat | None,
) -> TensorFlowConfig:
    """Return the settings of a call.

    Args:
        config: the settings of the model.
        where: the condition, values by column.
        seed: another seed; None: that of the training.
        settings: other settings of generation.
        table: the columns of the model; None where it was fitted to lines.

    Raises:
        ParameterError: LS101, LS105: a setting cannot be given here; LS132, the condition.
    """
    for name in settings:
        if name not in fields():
            hint = nearest_setting(name)
            raise ParameterError(
                "LS101",
                None,
                f"unknown setting '{shortened(name)}'",
                f"The nearest known is '{hint}'." if hint else "Leave it out.",
            )
        if name in _DECIDED or (stage_of(fields()[name]) != "generate" and name not in _OTHERS_OF_GENERATION):
            raise ParameterError(
                "LS105", name, "belongs to the training, or is an argument of its own here", "Leave it out."
            )
    changes = dict(settings)
    if "column_role" in changes:
        changes["column_role"] = _other_roles(config, roles_of(changes["column_role"]), table is not None)
    if seed is not None:
        changes["seed"] = seed
    if where is not None:
        changes |= {"where": condition_texts(where, table), "start_string": None, "balance": None, "where_file": None}
    return config.replace(**changes)


def _other_roles(config: TensorFlowConfig, given: dict[str, str], is_table: bool) -> dict[str, str]:
    """Return the roles of the model with some replaced.

    Raises:
        ParameterError: LS140, a column of a table would get values of another kind.
    """
    kinds = {name: role.kind for name, role in config.roles.items()}
    for name, text in given.items():
        if is_table and kinds.get(name) != parse_role(text).kind:
            raise ParameterError(
                "LS140", f"column_role {name!r}", "the columns of a table keep their kinds", "Fit another model."
            )
    return {**(config.column_role if isinstance(config.column_role, dict) else {}), **given}


def condition_texts(where: Mapping[str, Any], table: TableFormat | None) -> dict[str, str]:
    """Return a condition as texts by name of field.

    Args:
        where: values by column.
        table: the columns of the model; None where it was fitted to lines.

    Raises:
        ParameterError: LS132, the model has no such column, or it cannot hold the value.
    """
    if not isinstance(where, Mapping):
        raise ParameterError("LS132", "where", f"a {type(where).__name__}", "Give a mapping from columns to values.")
    if table is None:
        return {str(name): "" if value is None else str(value) for name, value in where.items()}
    from linesmith.records.sources.arrow_texts import encode_scalar

    texts = {}
    for name, value in where.items():
        column = table.column(name)
        if column is None:
            columns = ", ".join(column.name for column in table.columns)
            raise ParameterError(
                "LS132", f"where {shortened(repr(name))}", "the model has no such column", f"It has {columns}."
            )
        texts[table.field_name(name)] = encode_scalar(column, value)
    return texts


def whole_number(name: str, value: Any, most: int, remedy: str) -> int:
    """Return a count as an int.

    Raises:
        ParameterError: LS101, it is none, or out of range.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= value <= most:
        found = f"not a whole number from 0 to {most:,}"
        raise ParameterError("LS101", f"{name} {shortened(repr(value))}", found, remedy)
    return int(value)
