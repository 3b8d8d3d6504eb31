"""What a run writes and by what its records are judged: columns, types, partitions, rules, validator. Decided before sampling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from linesmith.core.artifacts.model_info import SCHEMA_FILE, ModelInfo
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.records.output.layout import RecordLayout, resolve_column_names
from linesmith.records.output.schema import RecordSchema, read_schema
from linesmith.records.validation.record_checks import RecordCheckSpec
from linesmith.records.validation.rules import RuleSet, parse_rules
from linesmith.records.validation.user_validator import InProcessValidator, ValidatorSource, validator_source


@dataclass(frozen=True)
class OutputPlan:
    """What was decided.

    Attributes:
        layout: how a record becomes a row.
        field_count: how many fields a record must have; None: any.
        checks: what else judges it.
        notices: what a user should read.
    """

    layout: RecordLayout
    field_count: int | None
    checks: RecordCheckSpec
    notices: list[str] = field(default_factory=list)


def plan_output(
    config: TensorFlowConfig,
    run: RunDirectory,
    model: ModelInfo,
    trained: TensorFlowConfig,
    paired: bool,
    scratch: Callable[[], Path],
    given: ValidatorSource | InProcessValidator | None = None,
) -> OutputPlan:
    """Decide; nothing is read but the run directory, a schema, rules and a validator.

    Args:
        config: the settings of the run.
        model, trained: what the model was made with.
        paired: each record has a start string of its own.
        scratch: gives a directory for files that must last as long as the run.
        given: a validator; None: that of the settings, which is tried here once.

    Raises:
        ParameterError: LS107 to LS113, LS309: a setting does not go with the model, or with another.
        DataError: LS201, a rule needs training data that are not there.
    """
    delimiter = trained.field_delimiter
    field_count = model.field_count if delimiter is not None else None
    typed = bool(set(config.output_format) - {"text"}) or config.iceberg_table is not None
    schema = _schema(config, run, model, delimiter, field_count, typed)
    if schema is not None:
        columns: list[str] | None = list(schema.names)
    else:
        columns = None if delimiter is None else resolve_column_names(config.columns, model.columns, field_count)
    # A record of another count has no place in typed output, nor where its fields were named.
    if delimiter is not None and columns is not None and (typed or schema is not None or config.columns is not None):
        field_count = len(columns)
    layout = RecordLayout(
        columns=None if columns is None else tuple(columns),
        delimiter=delimiter,
        quoted=trained.quoted,
        paired=paired,
        types=None if schema is None else schema.types,
        declared=None if schema is None else schema.declared,
    )
    _check_partition(config.partition_by, layout)
    rules = _rules(config)
    checks = RecordCheckSpec(
        layout=layout,
        typed=schema is not None,
        limits=() if schema is None else schema.limits,
        rules=rules,
        validator=_validator(config, layout) if given is None else given,
        timeout=config.validator_timeout,
        partition_by=config.partition_by,
    )
    for one in rules:
        one.compile(layout.columns)  # said now, not by a worker
    if not any(one.needs_training_set for one in rules):
        return OutputPlan(layout, field_count, checks)
    return _with_training_set(OutputPlan(layout, field_count, checks), trained, run, scratch)


def _schema(
    config: TensorFlowConfig,
    run: RunDirectory,
    model: ModelInfo,
    delimiter: str | None,
    field_count: int | None,
    typed: bool,
) -> RecordSchema | None:
    if config.schema_file is None:
        learnt = run.model / SCHEMA_FILE
        if not typed or config.output_types == "text" or not learnt.is_file() or delimiter is None:
            return None
        names = resolve_column_names(config.columns, model.columns, field_count)
        types = read_schema(learnt, "the model's schema").types
        # What was learnt goes with the model; names may be given late.
        return None if names is None or len(names) != len(types) else RecordSchema(tuple(names), types)
    schema = read_schema(config.schema_file)
    wanted = 1 if delimiter is None else field_count
    if wanted is not None and len(schema.names) != wanted:
        raise _mismatch(config, f"it has {len(schema.names)} fields, the model's records {wanted}", "Give one a field.")
    known = resolve_column_names(config.columns, model.columns, field_count) if delimiter is not None else None
    if known is not None and set(known) == set(schema.names) and known != list(schema.names):
        raise _mismatch(config, "its fields stand in another order than the columns", f"They are {', '.join(known)}.")
    return schema


def _mismatch(config: TensorFlowConfig, found: str, remedy: str) -> ParameterError:
    return ParameterError(f"LS111: --schema-file (schema_file) '{config.schema_file}': {found}. {remedy}", code="LS111")


def _check_partition(partition_by: str | None, layout: RecordLayout) -> None:
    if partition_by is None or (layout.columns is not None and partition_by in layout.columns):
        return
    found = "the columns are not known; give --columns" if layout.columns is None else ", ".join(layout.columns)
    raise ParameterError(
        f"LS112: --partition-by (partition_by) '{partition_by}' names no column. There are: {found}.", code="LS112"
    )


def _rules(config: TensorFlowConfig) -> tuple[RuleSet, ...]:
    found = []
    if config.rules is not None:
        option = f"--rules (rules) '{config.rules}'"
        try:
            found.append(parse_rules(yaml.safe_load(Path(config.rules).read_text("utf-8")), option))
        except OSError as error:
            raise ParameterError(f"LS113: {option}: it cannot be read ({error.strerror}).", code="LS113") from None
        except (yaml.YAMLError, UnicodeDecodeError):
            raise ParameterError(f"LS113: {option}: it is not valid YAML; mend it.", code="LS113") from None
    if config.validation_rules is not None:
        found.append(parse_rules(config.validation_rules, "--validation-rules (validation_rules)"))
    return tuple(found)


def _validator(config: TensorFlowConfig, layout: RecordLayout) -> ValidatorSource | None:
    """The validator, tried here once so that what is wrong with it is said before any work."""
    if config.line_validator is None:
        return None
    source = validator_source(config.line_validator)
    RecordCheckSpec(layout, validator=source, timeout=config.validator_timeout).check_validator_loads()
    return source


def _with_training_set(
    plan: OutputPlan, trained: TensorFlowConfig, run: RunDirectory, scratch: Callable[[], Path]
) -> OutputPlan:
    from dataclasses import replace

    from linesmith.model.generation.training_hashes import write_training_hashes

    if trained.dp:
        raise ParameterError(
            "LS309: the rule not_in_training_set reads raw records: with --dp what it lets through is no post-processing, and "
            "the privacy statement would not hold. Leave the rule out; a private model needs no such filter.",
            code="LS309",
        )
    path = scratch() / "training_set.npy"
    count = write_training_hashes(path, run.training_data)
    notice = (
        f"The rule not_in_training_set compares with {count:,} learnt records. It makes copies rarer, not the data safe: what is "
        "never generated tells which records were learnt, and near copies pass."
    )
    return replace(
        plan, checks=replace(plan.checks, training_set=str(path.absolute())), notices=[*plan.notices, notice]
    )


def column_descriptions(layout: RecordLayout) -> list[dict[str, Any]]:
    """Names and types of the output's columns, for a manifest."""
    return [
        {"name": name, "type": kind.avro if kind.kind != "enum" else "enum"}
        for name, kind in zip(layout.names, layout.column_types, strict=True)
    ]
