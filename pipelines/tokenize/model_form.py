"""Find out in which form the model is given the fields: settings name columns, and only the input may name them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from linesmith.core.config.column_names import name_fault
from linesmith.core.config.field_differences import resolve_differences
from linesmith.core.config.field_parents import resolve_parents
from linesmith.core.config.setting_field import option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.pipelines.public_columns import public_columns
from linesmith.records.field_differences import FieldDifference, FieldDifferences
from linesmith.records.field_order import FieldOrder
from linesmith.records.model_form import ModelForm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linesmith.records.input.input_ranges import InputUnit
    from linesmith.transforms.read_records import ReadSettings


def with_model_form(
    config: TensorFlowConfig, units: Sequence[InputUnit], settings: ReadSettings
) -> tuple[ReadSettings, list[str] | None]:
    """Return how input is read, with the order and the differences that the settings ask for, and the columns of the order.

    Args:
        config: the settings.
        units: the input; the header is that of its first file.
        settings: how it is read without them.

    Returns:
        Columns are None without `condition_on`.

    Raises:
        ParameterError: LS131, the columns have no names, or one that is named is not there; LS111, the schema cannot be read;
            LS135, the same of `parents`, or one is written too late; LS136, the same of `differences`.
    """
    if config.condition_on is None and config.parents is None and config.differences is None:
        return settings, None
    columns = _columns(config, units, settings)
    order = None if config.condition_on is None else _order(config, config.condition_on, columns)
    if columns is None and config.dp and config.schema_file is not None:
        columns = public_columns(config)
    # Training needs the parents; a fault in their names should not wait until then.
    resolve_parents(config.column_parents, columns, config.condition_on or (), config.dp)
    found = resolve_differences(config.column_differences, columns, config.condition_on or (), config.dp)
    differences = FieldDifferences(tuple(FieldDifference(*one) for one in found)) if found else None
    records = replace(settings.records, form=ModelForm(order, differences))
    return replace(settings, records=records), None if order is None else columns


def _order(config: TensorFlowConfig, first: Sequence[str], columns: list[str] | None) -> FieldOrder:
    """Return the order in which the columns of `condition_on` come first.

    Raises:
        ParameterError: LS131, the columns have no names, or one that is named is not there.
    """
    option = option_text("condition_on", first)
    if columns is None:
        raise ParameterError("LS131", option, "the columns have no names", _NAME_SOURCES[config.dp])
    for name in first:
        if (found := name_fault(name, columns)) is not None:
            raise ParameterError("LS131", option, f"'{name}' {found}", f"There are: {', '.join(columns)}.")
    return FieldOrder.first(first, columns)


_NAME_SOURCES = {
    False: "Give --columns, --header, or a --schema-file that names them.",
    True: "Give --columns: with --dp a model may not learn names from its input.",
}


def _columns(config: TensorFlowConfig, units: Sequence[InputUnit], settings: ReadSettings) -> list[str] | None:
    """Return the names of the columns: those of the settings, of the header, or of the schema; None if there are none."""
    from linesmith.transforms.read_records import RangeReader

    if config.columns is not None or config.dp:
        return config.learned_columns
    if config.header and units:
        reader = RangeReader(replace(units[0].ranges[0], limit=1), settings)
        for _ in reader.batches():
            pass
        return reader.count.columns
    if config.schema_file is None:
        return None
    return public_columns(config)
