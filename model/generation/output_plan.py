"""Plan of a run's output, made before sampling: columns, types, partitions, and what validates records."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.model_info import SCHEMA_FILE, TABLE_FILE, ModelInfo
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.core.parsing import DocumentError, parse_yaml, read_text
from linesmith.model.generation.role_plan import SourceKeyReader, effective_roles, plan_roles
from linesmith.records.fields import FieldFormat
from linesmith.records.output.avro_names import avro_record_schema
from linesmith.records.output.headers import header_line
from linesmith.records.output.layout import TEXT_COLUMN, RecordLayout, resolve_column_names
from linesmith.records.output.partitions import check_partition_column, ignores_case
from linesmith.records.output.schema import RecordSchema, read_schema
from linesmith.records.output.table_rows import avro_type, typed_table
from linesmith.records.roles.filler import RecordFiller
from linesmith.records.roles.stored_roles import read_roles
from linesmith.records.table_format import read_table_format
from linesmith.records.validation.record_checks import RecordCheckSpec
from linesmith.records.validation.rules import RuleSet, parse_rules
from linesmith.records.validation.user_validator import InProcessValidator, ValidatorSource, validator_source


@dataclass(frozen=True)
class OutputPlan:
    """Plan of a run's output.

    Attributes:
        layout: how a record of the model becomes a row, for checks.
        field_count: how many fields a record must have; None: any number.
        checks: further checks: types, rules, validator.
        notices: messages for the user.
        inferred_schema: the types that training inferred, or those of a data frame, as an Avro schema, where records are judged
            by them; the sampler is to be steered by them, too. None: records have no types, or those of a schema file.
        written: how a record is written; None: as `layout` says.
        filler: completes records with the columns that the model does not know; None: it knows all.
    """

    layout: RecordLayout
    field_count: int | None
    checks: RecordCheckSpec
    notices: list[str] = field(default_factory=list)
    inferred_schema: str | None = None
    written: RecordLayout | None = None
    filler: RecordFiller | None = None

    @property
    def output_layout(self) -> RecordLayout:
        """How a record is written."""
        return self.written or self.layout


def plan_output(
    config: TensorFlowConfig,
    run: RunDirectory,
    model: ModelInfo,
    trained_config: TensorFlowConfig,
    start_string_per_record: bool,
    make_directory: Callable[[], Path],
    validator: ValidatorSource | InProcessValidator | None = None,
    read_source_keys: SourceKeyReader | None = None,
) -> OutputPlan:
    """Plan the output. Only the run directory, a schema, rules and a validator are read.

    Args:
        config: the settings of the run.
        run: the run directory.
        model: description of the model.
        trained_config: the settings it was trained with.
        start_string_per_record: each record has a start string of its own.
        make_directory: makes a directory for files that must last as long as the run.
        validator: a validator; None: that of the settings, which is loaded here once to find errors.
        read_source_keys: as for `plan_roles`.

    Raises:
        ParameterError: LS107 to LS113, LS309: a setting does not fit the model, or another setting.
        DataError: LS201, a rule needs training data that are not there.
    """
    roles = read_roles(run.model)
    effective_roles(config, roles)  # before the names of the columns, which depend on them
    delimiter = trained_config.field_delimiter
    field_count = model.field_count if delimiter is not None else None
    whole = table = read_table_format(run.model / TABLE_FILE)
    typed = bool(set(config.output_format) - {"text", "csv"}) or config.iceberg_table is not None
    if typed_table(table) is not None and config.schema_file is None:
        typed = False  # the types are those of the source
    schema = _schema(config, run, model, delimiter, field_count, typed)
    if schema is not None:
        columns: list[str] | None = list(schema.names)
    else:
        columns = (
            None if delimiter is None else resolve_column_names(config.learned_columns, model.columns, field_count)
        )
    # A record with another number of fields cannot be written to typed output, nor where its fields are named.
    if delimiter is not None and columns is not None and (typed or schema is not None or config.columns is not None):
        field_count = len(columns)
    if table is not None:
        table = table if roles is None else table.without(frozenset(roles.roles))
        if len(table.columns) != model.field_count:
            raise DataError("LS214", None, f"'{run.model / TABLE_FILE}' is not of the model beside it", "Train again.")
        field_count = model.field_count
    layout = RecordLayout(
        columns=None if columns is None else tuple(columns),
        fields=FieldFormat(delimiter, trained_config.quoted),
        start_string_per_record=start_string_per_record,
        types=None if schema is None else schema.types,
        declared_schema=None if schema is None else schema.declared_schema,
        table=table if table is not None and table.source is not None and config.schema_file is None else None,
    )
    _check_partition(config.partition_by, layout)
    filled = plan_roles(config, run, roles, layout, make_directory, read_source_keys, whole)
    written = layout if filled is None else filled.layout
    written, notices = _with_header(written, config, trained_config.header, model.columns)
    rules = _rules(config)
    checks = RecordCheckSpec(
        layout=layout,
        check_types=schema is not None,
        limits=() if schema is None else schema.limits,
        rules=rules,
        validator=_validator(config, layout) if validator is None else validator,
        timeout=config.validator_timeout,
        partition_by=config.partition_by,
        ignores_case=config.partition_by is not None and ignores_case(make_directory()),
        table=table,
    )
    for rule_set in rules:
        rule_set.compile(layout.columns)  # raises errors now, not in a worker
    inferred = None if table is None else table.mask_schema
    if schema is not None and schema.declared_schema is None:
        inferred = json.dumps(avro_record_schema(schema.names, schema.types))
    plan = OutputPlan(
        layout, field_count, checks, notices, inferred, written, None if filled is None else filled.filler
    )
    if not any(rule_set.needs_training_set for rule_set in rules):
        return plan
    return _with_training_set(plan, trained_config, run, make_directory)


def _schema(
    config: TensorFlowConfig,
    run: RunDirectory,
    model: ModelInfo,
    delimiter: str | None,
    field_count: int | None,
    typed: bool,
) -> RecordSchema | None:
    if config.schema_file is None:
        schema_file = run.model / SCHEMA_FILE
        if not typed or config.output_types == "text" or not schema_file.is_file() or delimiter is None:
            return None
        names = resolve_column_names(config.learned_columns, model.columns, field_count)
        types = read_schema(schema_file, "the model's schema").types
        # The types belong to the model; the names may come from this run's settings.
        return None if names is None or len(names) != len(types) else RecordSchema(tuple(names), types)
    schema = read_schema(config.schema_file)
    expected = 1 if delimiter is None else field_count
    if expected is not None and len(schema.names) != expected:
        raise _mismatch(
            config, f"it has {len(schema.names)} fields, the model's records {expected}", "Give one a field."
        )
    known = resolve_column_names(config.learned_columns, model.columns, field_count) if delimiter is not None else None
    if known is not None and set(known) == set(schema.names) and known != list(schema.names):
        raise _mismatch(config, "its fields stand in another order than the columns", f"They are {', '.join(known)}.")
    return schema


def _mismatch(config: TensorFlowConfig, found: str, remedy: str) -> ParameterError:
    return ParameterError("LS111", f"--schema-file (schema_file) '{config.schema_file}'", found, remedy)


def _check_partition(partition_by: str | None, layout: RecordLayout) -> None:
    if partition_by is None:
        return
    if layout.columns is not None and partition_by in layout.columns:
        check_partition_column(partition_by)
        return
    found = "the columns are not known; give --columns" if layout.columns is None else ", ".join(layout.columns)
    raise ParameterError(
        "LS112", f"--partition-by (partition_by) '{partition_by}'", "no column has this name", f"There are: {found}."
    )


def _with_header(
    layout: RecordLayout, config: TensorFlowConfig, input_had_header: bool, header_names: Sequence[str] | None
) -> tuple[RecordLayout, list[str]]:
    """Return the layout with the header line of its text files, where they have one, and notices.

    Raises:
        ParameterError: LS101, a header is asked for and no line can hold the names.
    """
    wanted = input_had_header if config.output_header is None else config.output_header
    if config.output_header is None and "csv" in config.output_format and layout.columns is not None:
        wanted = True
    if not wanted or not {"text", "csv"} & set(config.output_format):
        return layout, []
    columns = layout.columns or header_names or (TEXT_COLUMN,)
    line = header_line(columns, layout.fields)
    if line is not None:
        return replace(layout, header=line), []
    found = "the names of the columns do not fit on one line that is split as the records are"
    if config.output_header:
        raise ParameterError(
            "LS101", "--output-header (output_header)", found, "Give other names with --columns, or leave it out."
        )
    return layout, [f"The text files have no header: {found}."]


def _rules(config: TensorFlowConfig) -> tuple[RuleSet, ...]:
    found = []
    if config.rules is not None:
        option = f"--rules (rules) '{config.rules}'"
        try:
            found.append(parse_rules(parse_yaml(read_text(config.rules)), option))
        except OSError as error:
            raise ParameterError(
                "LS113", option, f"cannot be read ({error.strerror})", "Give a YAML file that you may read."
            ) from None
        except DocumentError as error:
            raise ParameterError("LS113", option, str(error), "Mend the file.") from None
    if config.validation_rules is not None:
        found.append(parse_rules(config.validation_rules, "--validation-rules (validation_rules)"))
    return tuple(found)


def _validator(config: TensorFlowConfig, layout: RecordLayout) -> ValidatorSource | None:
    """Return the validator of the settings, loaded here once so that its errors are raised before any work."""
    if config.line_validator is None:
        return None
    source = validator_source(config.line_validator)
    RecordCheckSpec(layout, validator=source, timeout=config.validator_timeout).check_validator_loads()
    return source


def _with_training_set(
    plan: OutputPlan, trained_config: TensorFlowConfig, run: RunDirectory, make_directory: Callable[[], Path]
) -> OutputPlan:
    from linesmith.model.generation.training_hashes import write_training_hashes

    if trained_config.dp:
        raise ParameterError(
            "LS309",
            None,
            "the rule not_in_training_set reads raw records: with --dp what it lets through is not post-processing, "
            "and the privacy statement would not hold",
            "Leave the rule out; a private model needs no such filter.",
        )
    path = make_directory() / "training_set.npy"
    count = write_training_hashes(path, run.training_data)
    notice = (
        f"The rule not_in_training_set compares with {count:,} training records. It makes copies rarer, but does not make the "
        "data safe: what is never generated tells which records were in the training data, and near copies pass."
    )
    return replace(
        plan, checks=replace(plan.checks, training_hashes_file=str(path.absolute())), notices=[*plan.notices, notice]
    )


def column_descriptions(layout: RecordLayout) -> list[dict[str, Any]]:
    """Return names and types of the output's columns, for a manifest."""
    if layout.source_table is not None:
        types = {column.name: avro_type(column) for column in layout.source_table.columns}
        nullable = {column.name for column in layout.source_table.columns if column.nullable}
        missing = {name for name in nullable if types[name] != "null"}
        return [{"name": name, "type": ["null", kind] if name in missing else kind} for name, kind in types.items()]
    return [
        {"name": name, "type": field_type.avro if field_type.type_name != "enum" else "enum"}
        for name, field_type in zip(layout.names, layout.column_types, strict=True)
    ]
