"""Take the columns with a role out of the records before anything is learned, and find out what keys look like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.config.column_roles import ColumnRole, without_references
from linesmith.core.config.key_pattern import KeyPattern, parse_pattern
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.model.generation.role_plan import read_reference
from linesmith.records.model_form import AS_IN_THE_INPUT
from linesmith.records.roles.column_cut import ColumnCut
from linesmith.records.roles.stored_roles import StoredRoles
from linesmith.records.roles.table_roles import hollow_structs, key_fault, largest_key, optional_columns
from linesmith.records.roles.value_sources import FakeSource, check_values

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.records.fields import FieldFormat
    from linesmith.records.input.input_ranges import InputUnit
    from linesmith.records.table_columns import TableColumn
    from linesmith.records.table_format import TableFormat
    from linesmith.transforms.read_records import ReadSettings
    from linesmith.transforms.survey_keys import KeyColumn, KeySurvey

_TRIED_FAKES = 50  # values of a provider, by which a column with a type is checked before anything is read


def with_column_roles(
    config: TensorFlowConfig, units: Sequence[InputUnit], settings: ReadSettings
) -> tuple[ReadSettings, list[str]]:
    """Return how input is read without the columns that have a role, and the names of all its columns.

    Args:
        config: the settings.
        units: the input; the headers of all its files are compared, since in a file with another order of the columns others
            would be cut.
        settings: how it is read with all columns.

    Returns:
        Without roles, the same settings and no names.

    Raises:
        ParameterError: LS140, a role is of a column that is not there, or needs a file that cannot be used, or the columns have
            no names.
        DataError: LS230, the header of a file is not that of the others.
    """
    if not config.cut_columns:
        return settings, []
    columns = _source_columns(config, units, settings)
    _check_names(config, columns)
    for name, role in config.roles.items():
        if role.kind == "ref":  # found out now, and not when there is a model
            read_reference(name, role, settings.records.fields)
    if config.cut_columns >= set(columns):
        raise ParameterError("LS140", "--column-role", "no column is left to learn", "Leave one without a role.")
    cut = ColumnCut.of(config.cut_columns, columns)
    return replace(settings, records=replace(settings.records, cut=cut)), columns


def describe_roles(
    config: TensorFlowConfig,
    columns: Sequence[str],
    units: Sequence[InputUnit],
    settings: ReadSettings,
    options: PipelineOptions,
    scratch: Path,
    table: TableFormat | None = None,
) -> StoredRoles | None:
    """Return what is kept of the columns with a role; None where there are none.

    Args:
        config: the settings.
        columns: names of all columns of the source.
        units: the input that is learned from.
        settings: how it is read.
        options: pipeline options.
        scratch: directory for intermediate results.
        table: all columns of a source that is not lines of text; None: it is lines.

    Raises:
        DataError: LS250, a column of keys has a value twice, or its values have no pattern.
    """
    if not config.cut_columns:
        return None
    from linesmith.transforms.survey_keys import survey_keys

    keys = {name: role for name, role in config.roles.items() if role.kind == "key"}
    patterns = {name: parse_pattern(role.text) for name, role in keys.items() if role.text}
    # With dp all patterns are given, and no record is looked at: whether a value repeats would tell about records.
    if keys and not config.dp:
        settings, asked = _key_columns(table, settings, columns, list(keys))
        surveys = survey_keys(units, settings, asked, options, scratch)
        for name, survey in surveys.items():
            most = None if table is None else largest_key(table.columns[list(columns).index(name)])
            pattern = _pattern(name, keys[name], survey, most)
            patterns.setdefault(name, pattern)
    texts = without_references(config.column_role) or {}
    cut = {name: text for name, text in texts.items() if name in config.cut_columns}
    if table is not None and table.source is not None:
        cut |= _left_out_structs(config, table)
    return StoredRoles(tuple(columns), cut, patterns)


def _key_columns(
    table: TableFormat | None, settings: ReadSettings, columns: Sequence[str], keys: Sequence[str]
) -> tuple[ReadSettings, dict[str, KeyColumn]]:
    """Return how columns of keys are read, and where they are then."""
    from linesmith.transforms.survey_keys import KeyColumn

    if table is None:
        return settings, {name: KeyColumn(list(columns).index(name)) for name in keys}
    optional = optional_columns(table)
    read = settings_of_columns(settings, table, keys)
    names = list(() if read.table is None else read.table.field_names)
    found = {}
    for name in keys:
        number = list(columns).index(name)
        is_text = table.columns[number].kind == "text"
        found[name] = KeyColumn(names.index(name), is_text, number in optional)
    return read, found


def settings_of_columns(settings: ReadSettings, table: TableFormat, names: Collection[str]) -> ReadSettings:
    """Return how some columns of a typed source are read, and no others.

    Args:
        settings: how its records are read.
        table: all of its columns.
        names: of the columns, in a header line.
    """
    others = set(table.field_names) - set(names)
    records = replace(settings.records, cut=None, user_field=None, form=AS_IN_THE_INPUT)
    cut = ColumnCut.of(others, table.field_names)
    return replace(
        settings, records=records, field_count=None, frequent=frozenset(), table=table.without(others), table_cut=cut
    )


def with_table_roles(config: TensorFlowConfig, table: TableFormat | None, settings: ReadSettings) -> ReadSettings:
    """Return how a typed source is read without the columns that have a role.

    Args:
        config: the settings.
        table: all columns of the source; None: it is lines of text, and the settings are returned as they are.
        settings: how it is read.

    Raises:
        ParameterError: LS140, a role is of a column that is not there or cannot have it, or needs a file that cannot be used.
    """
    if table is None or not config.cut_columns:
        return replace(settings, table=table)
    learned = learned_part(config, table)
    cut = set(table.field_names) - set(learned.field_names)
    records, read = settings.records, learned
    if (
        records.user_field is not None
    ):  # numbered among all columns; it is read to group records, and cut before they are learned
        user = list(config.columns or table.field_names)[records.user_field]
        read = table.without(cut - {user})
        user_cut = ColumnCut.of({user}, read.field_names) if user in cut else None
        records = replace(records, user_field=list(read.field_names).index(user), cut=user_cut)
    table_cut = ColumnCut.of(set(table.field_names) - set(read.field_names), table.field_names)
    return replace(settings, records=records, table=read, table_cut=table_cut)


def learned_part(config: TensorFlowConfig, table: TableFormat) -> TableFormat:
    """Return the columns of a typed source that a model is given.

    Raises:
        ParameterError: as `with_table_roles`.
    """
    if not config.cut_columns:
        return table
    _check_names(config, table.field_names)
    columns = dict(zip(table.field_names, table.columns, strict=True))
    for name, role in config.roles.items():
        _check_fits(name, role, columns[name], table.fields)
    left_out = config.cut_columns | set(_left_out_structs(config, table))
    if left_out >= set(table.field_names):
        raise ParameterError("LS140", "--column-role", "no column is left to learn", "Leave one without a role.")
    return table.without(left_out)


def _left_out_structs(config: TensorFlowConfig, table: TableFormat) -> dict[str, str]:
    """Return the role drop by name for the columns of presence of structs whose columns all have it."""
    dropped = {name for name, role in config.roles.items() if role.kind == "drop"}
    return dict.fromkeys(hollow_structs(table, dropped), "drop")


def _check_fits(name: str, role: ColumnRole, column: TableColumn, fields: FieldFormat) -> None:
    """Refuse a role whose values a column cannot hold.

    Raises:
        ParameterError: LS140.
    """
    if role.kind == "key":
        fault = key_fault(column, parse_pattern(role.text) if role.text else None)
        if fault is not None:
            raise _role_error(name, role, fault, "Give drop, or a role whose values the column can hold.")
    elif role.kind == "constant":
        check_values(column, [role.text])
    elif role.kind == "fake":
        source = FakeSource(name, role.text, role.detail, 0, fields)
        check_values(column, map(source.value, range(_TRIED_FAKES)))
    elif role.kind == "ref" and role.text:
        check_values(column, read_reference(name, role, fields).unique().to_pylist())


def _pattern(name: str, role: ColumnRole, survey: KeySurvey, most: int | None = None) -> KeyPattern:
    """Return the pattern of a column of keys.

    Args:
        name: of the column.
        role: its role.
        survey: what its values look like.
        most: the largest number that it can hold; None: it holds texts.

    Raises:
        DataError: LS250.
    """
    option = f"--column-role {name}=key"
    if survey.distinct < survey.records:
        raise DataError(
            "LS250",
            option,
            f"values of column '{name}' repeat: {survey.records:,} records have {survey.distinct:,} different ones",
            "A key differs in every record. Give ref:FILE#COLUMN for a column that refers to the key of another file, or drop.",
        )
    if role.text:
        return parse_pattern(role.text)
    try:
        return survey.forms.pattern(most)
    except ValueError as error:
        raise DataError(
            "LS250", option, f"no pattern was found in column '{name}': {error}", "Give one, as in key:AA-000000."
        ) from None


def _check_names(config: TensorFlowConfig, columns: Sequence[str]) -> None:
    """Refuse roles of columns that are not there, or not one.

    Raises:
        ParameterError: LS140.
    """
    counts = Counter(columns)
    for name, role in config.roles.items():
        if counts[name] != 1:
            found = "is not a column" if not counts[name] else f"is the name of {counts[name]} columns"
            raise _role_error(name, role, f"'{name}' {found}", f"There are: {', '.join(columns)}.")


def _source_columns(config: TensorFlowConfig, units: Sequence[InputUnit], settings: ReadSettings) -> list[str]:
    """Return the names of all columns: those of the settings, otherwise those of the header."""
    headers = _headers(units, settings) if config.header and not config.dp else {}
    for file, names in headers.items():
        first = next(iter(headers))
        if names != headers[first]:
            raise DataError(
                "LS230",
                "--column-role",
                f"the header of '{file}' is not that of '{first}', and columns of another order would be learned",
                "Give files with the same columns in the same order.",
            )
    if config.columns is not None:
        return config.columns
    if not headers:
        raise ParameterError("LS140", "--column-role", "the columns have no names", "Give --columns or --header.")
    return next(iter(headers.values()))


def _headers(units: Sequence[InputUnit], settings: ReadSettings) -> Mapping[str, list[str]]:
    """Return the header of each file, by its name; of empty files there is none."""
    from linesmith.transforms.read_records import RangeReader

    found = {}
    for source in (source for unit in units for source in unit.ranges if source.starts_file):
        reader = RangeReader(replace(source, limit=1), settings)
        next(reader.batches(), None)
        if reader.count.columns is not None:
            found[source.file.name] = reader.count.columns
    return found


def _role_error(name: str, role: ColumnRole, found: str, remedy: str) -> ParameterError:
    return ParameterError("LS140", f"--column-role {name}={role.kind}", found, remedy)
