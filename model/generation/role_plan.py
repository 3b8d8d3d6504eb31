"""Plan what stands in the columns of the output that the model does not know: sources of values, names and types."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.column_roles import ColumnRole, parse_role
from linesmith.core.config.fake_providers import check_fake
from linesmith.core.config.key_pattern import KeyPattern, parse_pattern
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.model.generation.requests.start_string_files import find_start_string_files, iter_start_strings
from linesmith.records.fields import FieldFormat
from linesmith.records.output.column_types import STRING, ColumnType
from linesmith.records.output.layout import RecordLayout
from linesmith.records.roles.filler import RecordFiller
from linesmith.records.roles.stored_roles import StoredRoles, read_roles
from linesmith.records.roles.table_roles import hollow_structs, key_fault, optional_structs
from linesmith.records.roles.value_sources import (
    ConstantSource,
    EscapedSource,
    FakeSource,
    KeySource,
    ReferenceSource,
    ValueSource,
    check_values,
    write_values,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from linesmith.records.table_columns import TableColumn
    from linesmith.records.table_format import TableFormat

# Reads the keys of the source: patterns by column, and a directory for files → the file of each column.
SourceKeyReader = Callable[[StoredRoles, Mapping[str, KeyPattern], Path], Mapping[str, str]]


@dataclass(frozen=True)
class FilledOutput:
    """What is written.

    Attributes:
        layout: of complete records.
        filler: completes the records that the model draws.
    """

    layout: RecordLayout
    filler: RecordFiller


def plan_roles(
    config: TensorFlowConfig,
    run: RunDirectory,
    stored: StoredRoles | None,
    layout: RecordLayout,
    make_directory: Callable[[], Path],
    read_source_keys: SourceKeyReader | None = None,
    table: TableFormat | None = None,
) -> FilledOutput | None:
    """Plan the columns with a role; None where the model knows all columns.

    Args:
        config: the settings; their roles may say other things of columns that were not learned.
        run: the run directory, for messages.
        stored: its `roles.json`.
        layout: of the records that the model draws.
        make_directory: makes a directory for files that must last as long as the run.
        read_source_keys: reads the keys of the source for `avoid_source_keys`; None: they cannot be read here.
        table: all columns of the source, if it was no lines of text.

    Raises:
        ParameterError: LS140, a role cannot be used; LS128, one needs a file that has to be given again.
        DataError: LS214, the roles are not of the model beside them.
    """
    roles = effective_roles(config, stored)
    if stored is None:
        if config.avoid_source_keys:
            raise ParameterError("LS140", "--avoid-source-keys", "no column has the role key", "Leave it out.")
        return None
    if layout.columns is None or list(layout.columns) != stored.learned:
        raise DataError("LS214", None, f"the roles in '{run.model}' are not of the model beside them", "Train again.")
    keys = {name: _pattern(name, role, stored) for name, role in roles.items() if role.kind == "key"}
    avoided = _avoided(config, stored, keys, make_directory, read_source_keys)
    kinds = {name: role.kind for name, role in roles.items()}
    columns = tuple(stored.written_columns(kinds))
    written = None if table is None or table.source is None else _written_table(table, kinds, columns)
    typed = {} if written is None else dict(zip(written.field_names, written.columns, strict=True))
    sources: dict[str, ValueSource] = {}
    for name, role in roles.items():
        if role.kind == "key":
            _check_key(name, typed.get(name), keys[name])
            sources[name] = KeySource(name, keys[name], config.seed, avoided.get(name))
        elif role.kind != "drop":
            made = _source(
                name,
                role,
                config,
                layout.fields,
                lambda: make_directory() / f"values-{uuid.uuid4().hex}.arrow",
                typed.get(name),
            )
            sources[name] = made if table is None else EscapedSource(made, typed.get(name))
    structs = () if written is None or layout.table is None else optional_structs(written, layout.table, set(sources))
    filler = RecordFiller(layout.fields, tuple(sources.get(name) for name in columns), structs)
    types = None
    if layout.types is not None:
        learned = iter(layout.types)  # by position: two learned columns may have one name
        types = tuple(_type(keys.get(name)) if name in roles else next(learned) for name in columns)
    return FilledOutput(replace(layout, columns=columns, types=types, table=written), filler)


def _written_table(table: TableFormat, kinds: Mapping[str, str], columns: Sequence[str]) -> TableFormat:
    """Return the columns of an output in the format of the source.

    Args:
        table: all columns of the source.
        kinds: of the roles, by column.
        columns: names of the output's.

    Raises:
        ParameterError: LS140, a struct would have no column, and the model draws whether it is there.
        DataError: LS214, the roles are of another table.
    """
    if not set(columns) <= set(table.field_names):
        raise DataError("LS214", None, "the roles and the columns of the model are not of one source", "Train again.")
    left = {name for name, kind in kinds.items() if kind == "drop"}
    empty = [name for name in hollow_structs(table, left) if name not in left]
    if empty:
        raise ParameterError(
            "LS140",
            "--column-role",
            f"no column of '{empty[0]}' would be written, and the model draws which records have it",
            "Give one of them another role than drop, or train a model with the role drop for all.",
        )
    return table.without(left)


def _check_key(name: str, column: TableColumn | None, pattern: KeyPattern) -> None:
    """Refuse a pattern of keys that a column with a type cannot hold.

    Raises:
        ParameterError: LS140.
    """
    fault = None if column is None else key_fault(column, pattern)
    if fault is not None:
        raise ParameterError("LS140", f"--column-role {name}=key", fault, "Give another pattern, or another role.")


def effective_roles(config: TensorFlowConfig, stored: StoredRoles | None) -> dict[str, ColumnRole]:
    """Return the roles of the columns that the model does not know, by the settings and otherwise as stored.

    Args:
        config: the settings.
        stored: what was kept when the model was trained; None: it knows all columns.

    Raises:
        ParameterError: LS140, the settings speak of a column that was learned, or would learn one that was not.
    """
    roles = {} if stored is None else {name: parse_role(text) for name, text in stored.roles.items()}
    for name, role in config.roles.items():
        if (name in roles) == (role.kind == "learn"):
            was = "was not learned" if name in roles else "was learned, or is not there"
            raise ParameterError(
                "LS140",
                f"--column-role {name}={role.kind}",
                f"column '{name}' {was} by the model in '{config.checkpoint_dir}'",
                "Roles decide what a model learns: train another with it.",
            )
        if name in roles:
            roles[name] = role
    return roles


def _pattern(name: str, role: ColumnRole, stored: StoredRoles) -> KeyPattern:
    if role.text:
        return parse_pattern(role.text)
    if name not in stored.patterns:
        raise ParameterError(
            "LS140",
            f"--column-role {name}=key",
            "the column had another role when the model was trained, so no pattern of its keys is known",
            "Give one, as in key:AA-000000.",
        )
    return stored.patterns[name]


def _source(
    name: str,
    role: ColumnRole,
    config: TensorFlowConfig,
    fields: FieldFormat,
    make_path: Callable[[], Path],
    column: TableColumn | None,
) -> ValueSource:
    """Return the source of a column whose values are no keys.

    Args:
        name: of the column.
        role: its role.
        config: the settings.
        fields: how records are split.
        make_path: names a file for values.
        column: its type, which the values are checked against; None: it holds any texts.
    """
    if role.kind == "constant":
        if column is not None:
            check_values(column, [role.text])
        return ConstantSource(role.text)
    if role.kind == "fake":
        check_fake(role.text, role.detail, f"--column-role {name}=fake:{role.text}")
        return FakeSource(name, role.text, role.detail, config.seed, fields)
    path = make_path()
    values = read_reference(name, role, fields)
    if column is not None:
        check_values(column, values.unique().to_pylist())
    write_values(str(path), values)
    return ReferenceSource(name, str(path.absolute()), config.seed)


def read_reference(name: str, role: ColumnRole, fields: FieldFormat) -> pa.ChunkedArray:
    """Return the values that a reference is drawn from: each once, or with `weighted` as often as it occurs.

    Args:
        name: of the column.
        role: its role.
        fields: how the records that the values are put into are split.

    Raises:
        ParameterError: LS128, its file was not given; LS140, it cannot be used.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not role.text:
        raise ParameterError(
            "LS128",
            f"--column-role {name}=ref",
            "a run directory does not decide which files are opened, and this one names none",
            f"Give the file again: --column-role {name}=ref:FILE#COLUMN.",
        )
    option = f"--column-role {name}=ref:{role.text}#{role.detail}"
    try:
        files = find_start_string_files(role.text)
        arrays = [pa.array(iter_start_strings(file, role.detail), pa.large_string()) for file in files]
    except ParameterError:
        raise ParameterError(
            "LS140",
            option,
            "there is no such file, it cannot be read, or it has no column of this name",
            "Give a .csv file with a header and commas, or a .jsonl, .avro or .parquet file, and a column of it.",
        ) from None
    values = pa.chunked_array(arrays, pa.large_string())
    values = values.filter(pc.not_equal(values, ""))
    separators = ["\n", "\r", *([] if fields.quoted or fields.delimiter is None else [fields.delimiter])]
    fault = None if len(values) else "the column has no value"
    if any(pc.any(pc.match_substring(values, separator)).as_py() for separator in separators):
        fault = "a value holds a line end, or the delimiter of records that are not quoted"
    if fault is not None:
        raise ParameterError("LS140", option, fault, "Give a column of plain values.")
    return values if role.weighted else pa.chunked_array([pc.unique(values)])


def _avoided(
    config: TensorFlowConfig,
    stored: StoredRoles,
    keys: Mapping[str, KeyPattern],
    make_directory: Callable[[], Path],
    read_source_keys: SourceKeyReader | None,
) -> Mapping[str, str]:
    """Return the file of the keys to avoid, by column; empty without `avoid_source_keys`."""
    if not config.avoid_source_keys:
        return {}
    if not keys:
        raise ParameterError("LS140", "--avoid-source-keys", "no column has the role key", "Leave it out.")
    if read_source_keys is None:
        raise ParameterError(
            "LS140",
            "--avoid-source-keys",
            "the keys of the source are read by the commands run and generate, not by calls that yield records",
            "Generate with the command, or leave it out.",
        )
    return read_source_keys(stored, keys, make_directory())


def _type(pattern: KeyPattern | None) -> ColumnType:
    """Return the type of a column with a role: whole numbers where its keys are such, otherwise text."""
    if pattern is not None and pattern.limits is not None and max(map(abs, pattern.limits)) < 1 << 63:
        return ColumnType("long")
    return STRING


def role_kinds(run: RunDirectory, config: TensorFlowConfig) -> dict[str, str]:
    """Return the kind of the role of each column that the model does not know, for manifests and reports.

    Args:
        run: the run directory.
        config: the settings of generation, or those of the training.
    """
    stored = read_roles(run.model)
    return {name: role.kind for name, role in effective_roles(config, stored).items()} if stored is not None else {}
