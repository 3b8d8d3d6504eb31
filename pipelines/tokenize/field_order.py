"""Find out in which order the model is given the fields: `condition_on` names columns, and only the input may name them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from linesmith.core.config.field_parents import resolve_parents
from linesmith.core.config.setting_field import option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.pipelines.public_columns import public_columns
from linesmith.records.field_order import FieldOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linesmith.records.input.input_ranges import InputUnit
    from linesmith.transforms.read_records import ReadSettings


def with_field_order(
    config: TensorFlowConfig, units: Sequence[InputUnit], settings: ReadSettings
) -> tuple[ReadSettings, list[str] | None]:
    """Return how input is read, with the order of the fields that `condition_on` asks for, and the columns it was made of.

    Args:
        config: the settings.
        units: the input; the header is that of its first file.
        settings: how it is read without an order.

    Returns:
        Without `condition_on`, the same settings and None.

    Raises:
        ParameterError: LS131, the columns have no names, or one that is named is not there; LS111, the schema cannot be read;
            LS135, the same of `parents`, or one is written too late.
    """
    if config.condition_on is None and config.parents is None:
        return settings, None
    columns = _columns(config, units, settings)
    if config.condition_on is None:
        # Training needs them; a fault in their names should not wait until then.
        _check_parents(config, columns)
        return settings, None
    option = option_text("condition_on", config.condition_on)
    if columns is None:
        raise ParameterError("LS131", option, "the columns have no names", _NAME_SOURCES[config.dp])
    counts = Counter(columns)
    for name in config.condition_on:
        if counts[name] != 1:
            found = "is not a column" if not counts[name] else f"is the name of {counts[name]} columns"
            raise ParameterError("LS131", option, f"'{name}' {found}", f"There are: {', '.join(columns)}.")
    _check_parents(config, columns)
    order = FieldOrder.first(config.condition_on, columns)
    return replace(settings, records=replace(settings.records, field_order=order)), columns


def _check_parents(config: TensorFlowConfig, columns: list[str] | None) -> None:
    """Refuse parents that training would refuse."""
    if columns is None and config.dp and config.schema_file is not None:
        columns = public_columns(config)
    resolve_parents(config.column_parents, columns, config.condition_on or (), config.dp)


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
