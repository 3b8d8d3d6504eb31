"""Check a record beyond its shape: against the output's schema, then rules, then the user's validator; the first fault counts.

`RecordCheckSpec` is made on the driver and sent to the workers, where `load` compiles it to `RecordChecks`. These act as the
validator of a `linesmith.records.validation.record_validator.RecordValidator`, which has already checked encoding, length and
field count.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from linesmith.records.input.training_hashes import TrainingHashes
from linesmith.records.output.layout import RecordLayout
from linesmith.records.output.partitions import encode_partition_value, max_partition_value_bytes
from linesmith.records.output.schema import ValueLimits
from linesmith.records.patterns.pattern_compiler import SCHEMA_STEPS, WorkLimit, compile_pattern
from linesmith.records.patterns.regex_parser import parse_regex
from linesmith.records.table_format import TableFormat
from linesmith.records.validation.record_validator import (
    BatchValidator,
    ValidationResult,
    Validator,
    run_validator_batch,
)
from linesmith.records.validation.rules import CompiledRules, RuleSet, RuleViolation
from linesmith.records.validation.user_validator import InProcessValidator, ValidatorSource
from linesmith.records.validation.validator_process import ValidatorProcess

_TypeCheck = tuple[int, str, Callable[[str], Any]]  # position, reason, parser
_LimitCheck = tuple[int, str, Callable[[str, Any], str | None]]  # position, column, result of `_compile_limits`


@dataclass(frozen=True)
class RecordCheckSpec:
    """Picklable description of the checks.

    Attributes:
        layout: columns and types of the output.
        check_types: check that each field is a value of its type.
        limits: the schema's limits on each field's values, one per field; empty: no limits.
        rules: in the order in which they are applied.
        validator: the user's validator, or None.
        timeout: most seconds that the validator may take per record; 0: no limit, and the validator runs in this process.
        partition_by: the column whose values become names of directories, or None.
        ignores_case: the file system takes capitals and small letters for the same.
        training_hashes_file: file of the training records' hashes; required if a rule is `not_in_training_set`.
        table: columns as values of which every field must be readable, or None.
    """

    layout: RecordLayout = field(default_factory=RecordLayout)
    check_types: bool = False
    limits: tuple[ValueLimits, ...] = ()
    rules: tuple[RuleSet, ...] = ()
    validator: ValidatorSource | InProcessValidator | None = None
    timeout: float = 0.0
    partition_by: str | None = None
    ignores_case: bool = False
    training_hashes_file: str | None = None
    table: TableFormat | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to check."""
        needed = (self.validator, self.partition_by, self.table)
        return not self.check_types and not self.rules and all(part is None for part in needed)

    @property
    def identity(self) -> dict[str, Any] | None:
        """The manifest entry of the validator."""
        return None if self.validator is None else self.validator.identity

    def check_validator_loads(self) -> None:
        """Load the validator once, as a worker would, to find errors early.

        Raises:
            ParameterError: the validator cannot be loaded.
        """
        if isinstance(loaded := self._validator(), ValidatorProcess):
            loaded.start()
            loaded.close()

    def load(self) -> RecordChecks:
        """Compile the checks.

        Runs the validator's file or imports its module; with a time limit, the process that does so starts with the first batch.

        Returns:
            The checks, ready to be called.

        Raises:
            ParameterError: the validator cannot be loaded, or a rule does not fit the fields.
        """
        in_training_set = (
            None if self.training_hashes_file is None else TrainingHashes(self.training_hashes_file).__contains__
        )
        rules = [rules.compile(self.layout.columns, in_training_set) for rules in self.rules]
        return RecordChecks(self, rules, self._validator())

    def _validator(self) -> Validator | None:
        if self.validator is None:
            return None
        if self.timeout == 0 or isinstance(self.validator, InProcessValidator):
            return self.validator.load()
        return ValidatorProcess(self.validator, self.timeout)


class RecordChecks(BatchValidator):
    """Checks of a record, compiled.

    Args:
        spec: what to check.
        rules: the rules of `spec`, compiled.
        validator: the validator of `spec`, loaded, or None.
    """

    def __init__(self, spec: RecordCheckSpec, rules: list[CompiledRules], validator: Validator | None) -> None:
        layout = spec.layout
        self._field_format = layout.fields
        columns, types = layout.columns or (), layout.types or ()
        self._type_checks: list[_TypeCheck] = []
        self._limit_checks: list[_LimitCheck] = []
        if spec.check_types:
            work = WorkLimit(SCHEMA_STEPS)
            self._type_checks = [
                (position, f"schema:{name}:{column_type.type_name}", column_type.parse)
                for position, (name, column_type) in enumerate(zip(columns, types, strict=False))
                if column_type.type_name != "string"
            ]
            self._limit_checks = [
                (position, name, _compile_limits(limits, column_type.nullable, work))
                for position, (name, column_type, limits) in enumerate(zip(columns, types, spec.limits, strict=False))
                if limits != ValueLimits()
            ]
        self._partition_column = spec.partition_by
        self._ignores_case = spec.ignores_case
        self._max_partition_bytes = max_partition_value_bytes(spec.partition_by or "")
        self._partition_position = None if spec.partition_by is None else layout.names.index(spec.partition_by)
        self._rules = rules
        self._validator = validator
        self._table = spec.table

    def validate_batch(self, texts: Sequence[str]) -> list[ValidationResult]:
        """Check records; the user's validator is called once, with all that pass the other checks.

        Args:
            texts: records.

        Returns:
            Results in the order of the texts.
        """
        faults = [self._fault(text) for text in texts]
        passed = [text for text, fault in zip(texts, faults, strict=True) if fault is None]
        if self._validator is None:
            results = iter([ValidationResult(True)] * len(passed))
        else:
            results = iter(run_validator_batch(self._validator, passed))
        return [next(results) if fault is None else fault for fault in faults]

    def field_fault(self, position: int, text: str) -> str | None:
        """Return the reason why the schema allows no record with a text as one field; None if it does.

        Args:
            position: of the field, from 0.
            text: of the field, without quotes.
        """
        value: Any = None
        if self._table is not None:
            column = self._table.columns[position]
            try:
                column.decode(text)
            except ValueError:
                return f"schema:{column.name}:{column.kind}"
        for checked, reason, parse in self._type_checks:
            if checked == position:
                try:
                    value = parse(text)
                except ValueError:
                    return reason
        for checked, name, broken_limit in self._limit_checks:
            limit = broken_limit(text, value) if checked == position else None
            if limit is not None:
                return f"schema:{name}:{limit}"
        return None

    def _fault(self, text: str) -> ValidationResult | None:
        """Return what is wrong with a record before the user's validator is called; None if nothing is."""
        try:
            fields = self._field_format.split(text)
        except csv.Error:
            return ValidationResult(False, "field_count", "a quoted field is too long to be read")
        fault = self._schema_fault(fields)
        if fault is not None:
            return fault
        try:
            for rules in self._rules:
                rules(text, fields)
        except RuleViolation as violation:
            return ValidationResult(False, violation.reason, violation.explain)
        return None

    def _schema_fault(self, fields: list[str]) -> ValidationResult | None:
        """Return what contradicts the output's schema; None if nothing does."""
        if self._table is not None and (found := self._table.fault(fields)) is not None:
            return ValidationResult(False, f"schema:{found[0]}:{found[1]}", found[2])
        values: dict[int, Any] = {}  # by position of the field
        for position, reason, parse in self._type_checks:
            try:
                values[position] = parse(fields[position])
            except ValueError as error:
                return ValidationResult(False, reason, str(error))
        for position, name, broken_limit in self._limit_checks:
            limit = broken_limit(fields[position], values.get(position))
            if limit is not None:
                return ValidationResult(False, f"schema:{name}:{limit}", "outside what the schema allows")
        if self._partition_position is not None:
            value = encode_partition_value(fields[self._partition_position], self._ignores_case)
            if len(value) > self._max_partition_bytes:
                reason = f"schema:{self._partition_column}:partition"
                return ValidationResult(False, reason, "too long for the name of a directory")
        return None


def _compile_limits(limits: ValueLimits, nullable: bool, work: WorkLimit) -> Callable[[str, Any], str | None]:
    """Return a function of a field's text and value that names the limit they break, 'pattern' or 'range', or None."""
    automaton = None if limits.pattern is None else compile_pattern(parse_regex(limits.pattern), work)
    least, most = limits.minimum, limits.maximum
    # A decimal is compared with the limit as it is written: as a float, 0.3 lies a little below the decimal 0.3.
    exact_least, exact_most = (None if limit is None else Decimal(str(limit)) for limit in (least, most))

    def is_outside(value: Any) -> bool:
        low, high = (exact_least, exact_most) if isinstance(value, Decimal) else (least, most)
        return (low is not None and value < low) or (high is not None and value > high)

    def broken_limit(text: str, value: Any) -> str | None:
        if nullable and text == "":
            return None
        if automaton is not None and not automaton.accepts_text(text.encode()):
            return "pattern"
        if value is not None and is_outside(value):
            return "range"
        return None

    return broken_limit
