"""Take the columns with a role out of the records before anything is learned, and find out what keys look like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.config.column_roles import ColumnRole, without_references
from linesmith.core.config.key_pattern import KeyPattern, parse_pattern
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.model.generation.role_plan import read_reference
from linesmith.records.roles.column_cut import ColumnCut
from linesmith.records.roles.stored_roles import StoredRoles

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.records.input.input_ranges import InputUnit
    from linesmith.transforms.read_records import ReadSettings
    from linesmith.transforms.survey_keys import KeySurvey


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
    counts = Counter(columns)
    for name, role in config.roles.items():
        if counts[name] != 1:
            found = "is not a column" if not counts[name] else f"is the name of {counts[name]} columns"
            raise _role_error(name, role, f"'{name}' {found}", f"There are: {', '.join(columns)}.")
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
) -> StoredRoles | None:
    """Return what is kept of the columns with a role; None where there are none.

    Args:
        config: the settings.
        columns: names of all columns of the source.
        units: the input that is learned from.
        settings: how it is read.
        options: pipeline options.
        scratch: directory for intermediate results.

    Raises:
        DataError: LS250, a column of keys has a value twice, or its values have no pattern.
    """
    if not columns:
        return None
    from linesmith.transforms.survey_keys import survey_keys

    keys = {name: role for name, role in config.roles.items() if role.kind == "key"}
    patterns = {name: parse_pattern(role.text) for name, role in keys.items() if role.text}
    # With dp all patterns are given, and no record is looked at: whether a value repeats would tell about records.
    asked = {} if config.dp else {name: list(columns).index(name) for name in keys}
    surveys = survey_keys(units, settings, asked, options, scratch) if asked else {}
    for name, survey in surveys.items():
        pattern = _pattern(name, keys[name], survey)
        patterns.setdefault(name, pattern)
    texts = without_references(config.column_role) or {}
    cut = {name: text for name, text in texts.items() if name in config.cut_columns}
    return StoredRoles(tuple(columns), cut, patterns)


def _pattern(name: str, role: ColumnRole, survey: KeySurvey) -> KeyPattern:
    """Return the pattern of a column of keys.

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
        return survey.forms.pattern()
    except ValueError as error:
        raise DataError(
            "LS250", option, f"no pattern was found in column '{name}': {error}", "Give one, as in key:AA-000000."
        ) from None


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
