"""What the settings `where`, `balance`, `where_file` and `impute` ask for, checked against the model before any work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

from linesmith.core.artifacts.model_info import ModelInfo
from linesmith.core.config.setting_field import option_text, shortened
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.generation.output_plan import OutputPlan
from linesmith.model.generation.requests.conditions import (
    ConditionCounts,
    ConditionEncoder,
    ConditionSettings,
    condition_text,
)
from linesmith.model.generation.requests.partial_records import condition_error
from linesmith.model.generation.work_units import StartString, WorkUnit
from linesmith.records.fields import FieldFormat


def check_whole_records(config: TensorFlowConfig, info: ModelInfo) -> None:
    """Refuse to cut the records of a model whose ids have another order than the text.

    Raises:
        ParameterError: LS101.
    """
    if info.condition_on is not None and config.gen_chars:
        raise ParameterError(
            "LS101",
            option_text("gen_chars", config.gen_chars),
            "the model was trained with --condition-on, and a cut record would lack fields anywhere",
            "Leave it out.",
        )


def condition_settings(config: TensorFlowConfig, info: ModelInfo, output: OutputPlan) -> ConditionSettings:
    """Return what may be given, and how it is checked.

    Args:
        config: the settings, with conditions.
        info: the model's description.
        output: the plan of the output, with the schema's types.

    Raises:
        ParameterError: LS132, the model cannot be asked for this.
    """
    option = _option(config)
    count = output.field_count
    if count is None or output.layout.fields.delimiter is None:
        raise condition_error(
            option, "the model's records have no fixed number of fields", "Give --columns, or train on such records."
        )
    named = info.columns is not None and len(info.columns) == count
    columns = tuple(info.columns or ()) if named else output.layout.columns or ()
    ordered = tuple(name for name in info.condition_on or () if name in columns)
    allowed = columns if config.impute is not None else ordered
    for name in [*config.condition, *([] if config.balance is None else [config.balance])]:
        _check_column(name, option, columns, ordered)
    if not allowed:
        raise condition_error(
            option,
            "the model was trained without --condition-on, so no field comes first",
            "Tokenize and train with --condition-on and the columns to be given.",
        )
    known = dict(zip(info.condition_on or [], info.condition_values or [], strict=False))
    return ConditionSettings(
        option,
        columns,
        allowed,
        fill=config.impute is not None,
        known={name: tuple(values) for name, values in known.items() if values is not None and name in columns},
        strict=config.strict_conditions,
        checks=replace(output.checks, rules=(), validator=None, partition_by=None, training_hashes_file=None),
    )


def _option(config: TensorFlowConfig) -> str:
    """Return the option that asks for a condition, as typed, for messages."""
    if config.where is not None:
        return option_text("where", shortened(condition_text(config.condition)))
    name = next(name for name in ("where_file", "impute", "balance") if getattr(config, name) is not None)
    return option_text(name, getattr(config, name))


def _check_column(name: str, option: str, columns: Sequence[str], ordered: Sequence[str]) -> None:
    if name not in ordered:
        found = "was not given first in training" if name in columns else "is not a column of the model"
        allowed = f"It can be asked for {', '.join(ordered)}." if ordered else "It was trained without --condition-on."
        raise condition_error(
            option, f"'{name}' {found}", f"{allowed} Tokenize and train with --condition-on for other columns."
        )


def conditioned_starts(
    config: TensorFlowConfig, settings: ConditionSettings, encoder: ConditionEncoder, output: OutputPlan
) -> tuple[StartString, ...]:
    """Return the start strings that the records of `where` and `balance` have in turn: one, or one for each value.

    Args:
        config: the settings.
        settings: what may be given.
        encoder: of these settings.
        output: the plan of the output, whose schema may state values.

    Raises:
        ParameterError: LS132, no record can have what is asked for, or the values of the column are not known.
    """
    if config.balance is None:
        return (encoder.encode_condition(config.condition),)
    values = _values(config.balance, settings, output)
    return tuple(encoder.encode_condition({**config.condition, config.balance: value}) for value in values)


def _values(column: str, settings: ConditionSettings, output: OutputPlan) -> list[str]:
    """Return the values of a column, those of the schema where it states them; an empty one is no value."""
    position, types = settings.columns.index(column), output.layout.types
    if types is not None and types[position].type_name == "enum":
        return list(types[position].symbols)
    fields: FieldFormat = output.layout.fields
    values = {fields.split(raw)[0] if fields.quoted else raw for raw in settings.known.get(column, ())} - {""}
    if not values:
        raise condition_error(
            settings.option,
            f"the values of column '{column}' are not known: they are too many, or the model is private",
            "Give a --schema-file in which the column is an enum, or ask for values with --where-file.",
        )
    return sorted(values)


def condition_notices(
    config: TensorFlowConfig,
    settings: ConditionSettings,
    counts: ConditionCounts,
    encoder: ConditionEncoder | None = None,
) -> list[str]:
    """Return sentences about values that the training data never had, and about those that cannot be checked.

    Args:
        config: the settings.
        settings: what could be given.
        counts: of the conditions that were encoded.
        encoder: of the one condition of `where`, whose value and the nearest known one are named; None for files.
    """
    notices = []
    for column, number in sorted(counts.unseen.items()):
        what = _value(config, column, number, encoder)
        notices.append(f"{settings.option}: column '{column}': the training data never had {what}; used as given")
    for column, number in sorted(counts.replaced.items()):
        what = _value(config, column, number, encoder)
        notices.append(
            f"{settings.option}: column '{column}': the model has not the characters of {what}; the nearest value of the "
            "training data is used instead"
        )
    if counts.unchecked:
        names = ", ".join(f"'{name}'" for name in sorted(counts.unchecked))
        notices.append(
            f"--strict-conditions: which values the training data had cannot be checked for {names}: there were too many, or the "
            "model is private"
        )
    return notices


def _value(config: TensorFlowConfig, column: str, number: int, encoder: ConditionEncoder | None) -> str:
    if encoder is None:
        return f"the value given in {number:,} record{'' if number == 1 else 's'}"
    value = config.condition.get(column, "")
    nearest = encoder.nearest.get((column, value))
    hint = "" if nearest is None else f" (nearest: '{shortened(nearest)}')"
    return f"'{shortened(value)}'{hint}"


@dataclass(frozen=True)
class CyclicStartStrings(Sequence[StartString]):
    """Start strings that records `start` … `end` − 1 of a run have in turn: record i has number i modulo their count.

    Attributes:
        values: the start strings.
        start, end: the range of records.
    """

    values: tuple[StartString, ...]
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def __iter__(self) -> Iterator[StartString]:
        return (self[position] for position in range(len(self)))

    @overload
    def __getitem__(self, position: int) -> StartString: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[StartString, ...]: ...
    def __getitem__(self, position: int | slice) -> StartString | tuple[StartString, ...]:
        if isinstance(position, slice):
            return tuple(self[number] for number in range(*position.indices(len(self))))
        if not 0 <= position < len(self):
            raise IndexError(position)
        return self.values[(self.start + position) % len(self.values)]


def plan_cyclic_units(starts: tuple[StartString, ...], count: int, unit_size: int) -> list[WorkUnit]:
    """Cut a run whose records have some start strings in turn into units.

    Args:
        starts: at least one.
        count: records of the run.
        unit_size: records of each unit but the last.

    Example:
        >>> units = plan_cyclic_units((StartString("a"), StartString("b")), 5, 3)
        >>> [[unit.start_string_of(index).text for index in range(unit.start, unit.end)] for unit in units]
        [['a', 'b', 'a'], ['b', 'a']]
    """
    return [
        WorkUnit(number, start, end, CyclicStartStrings(starts, start, end))  # type: ignore[arg-type]
        for number, start in enumerate(range(0, count, unit_size))
        for end in [min(start + unit_size, count)]
    ]
