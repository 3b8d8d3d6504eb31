"""All that judges a record beyond its shape: the schema of the output, rules, the validator; in this order, first fault wins.

`RecordCheckSpec` is decided on the driver and travels to the workers; `load` makes functions of it there. It takes the place of a
validator in `linesmith.records.validation.record_validator.Judge`, which has already looked at encoding, length and field count.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from linesmith.records.fields import split_fields
from linesmith.records.input.training_hashes import TrainingHashes
from linesmith.records.output.layout import RecordLayout
from linesmith.records.output.partitions import MAX_VALUE_BYTES, encode_partition_value
from linesmith.records.output.schema import Limits
from linesmith.records.patterns.pattern_compiler import compile_pattern
from linesmith.records.patterns.regex_parser import parse
from linesmith.records.validation.record_validator import BatchValidator, Validator, Verdict, run_validator_batch
from linesmith.records.validation.rules import CompiledRules, RuleSet, RuleViolation
from linesmith.records.validation.user_validator import InProcessValidator, ValidatorSource
from linesmith.records.validation.validator_process import ValidatorProcess


@dataclass(frozen=True)
class RecordCheckSpec:
    """Where the checks come from.

    Attributes:
        layout: columns and types of the output.
        typed: check that each field is a value of its type.
        limits: what the schema says of each field beside its type; empty: nothing.
        rules: in the order in which they are applied.
        validator: of the user, or None.
        timeout: most seconds a record may take the validator; 0: no limit, and no process of its own.
        partition_by: the column whose values become names of directories, or None.
        training_set: file of the training records' hashes; needed where a rule asks for it.
    """

    layout: RecordLayout = field(default_factory=RecordLayout)
    typed: bool = False
    limits: tuple[Limits, ...] = ()
    rules: tuple[RuleSet, ...] = ()
    validator: ValidatorSource | InProcessValidator | None = None
    timeout: float = 0.0
    partition_by: str | None = None
    training_set: str | None = None

    @property
    def is_empty(self) -> bool:
        """There is nothing to check: records are not judged at all."""
        return not self.typed and not self.rules and self.validator is None and self.partition_by is None

    @property
    def identity(self) -> dict[str, Any] | None:
        """What a manifest says about the validator."""
        return None if self.validator is None else self.validator.identity

    def check_validator_loads(self) -> None:
        """Load the validator once, as a worker would, and let go of it.

        Raises:
            ParameterError: LS107, it cannot be loaded.
        """
        if isinstance(loaded := self._validator(), ValidatorProcess):
            loaded.start()
            loaded.close()

    def load(self) -> Checks:
        """The checks as functions. Runs the validator's file or imports its module, or starts the process that will.

        Raises:
            ParameterError: LS107 the validator, LS113 a rule.
        """
        seen = None if self.training_set is None else TrainingHashes(self.training_set).__contains__
        rules = [rules.compile(self.layout.columns, seen) for rules in self.rules]
        return Checks(self, rules, self._validator())

    def _validator(self) -> Validator | None:
        if self.validator is None:
            return None
        if self.timeout == 0 or isinstance(self.validator, InProcessValidator):
            return self.validator.load()
        return ValidatorProcess(self.validator, self.timeout)


class Checks(BatchValidator):
    """The checks of a record, ready to judge."""

    def __init__(self, source: RecordCheckSpec, rules: list[CompiledRules], validator: Validator | None) -> None:
        layout = source.layout
        self._layout = layout
        self._typed: list[tuple[int, str, Any]] = []
        if source.typed and layout.types is not None and layout.columns is not None:
            self._typed = [
                (place, f"schema:{name}:{kind.kind}", kind.parse)
                for place, (name, kind) in enumerate(zip(layout.columns, layout.types, strict=True))
                if kind.kind != "string"
            ]
        self._limited = [
            (place, name, _within(limits, kind.nullable))
            for place, (name, kind, limits) in enumerate(
                zip(layout.columns or (), layout.types or (), source.limits, strict=False)
            )
            if source.typed and limits != Limits()
        ]
        by = source.partition_by
        self._partition = None if by is None else layout.names.index(by)
        self._by = by
        self._rules = rules
        self._validator = validator

    def many(self, texts: Sequence[str]) -> list[Verdict]:
        """Verdicts in order; the user's validator is asked once about all that the other checks let through."""
        verdicts = [self._fault(text) for text in texts]
        asked = [text for text, verdict in zip(texts, verdicts, strict=True) if verdict is None]
        rest = iter(
            [Verdict(True)] * len(asked) if self._validator is None else run_validator_batch(self._validator, asked)
        )
        return [next(rest) if verdict is None else verdict for verdict in verdicts]

    def _fault(self, text: str) -> Verdict | None:
        """What is wrong with a record before the user's validator is asked; None: nothing."""
        try:
            fields = self._fields(text)
        except csv.Error:
            return Verdict(False, "field_count", "a quoted field is too long to be read")
        verdict = self._schema(fields)
        if verdict is not None:
            return verdict
        try:
            for rules in self._rules:
                rules(text, fields)
        except RuleViolation as broken:
            return Verdict(False, broken.reason, broken.explain)
        return None

    def _fields(self, text: str) -> list[str]:
        layout = self._layout
        return [text] if layout.delimiter is None else split_fields(text, layout.delimiter, layout.quoted)

    def _schema(self, fields: list[str]) -> Verdict | None:
        values: dict[int, Any] = {}
        for place, reason, read in self._typed:
            try:
                values[place] = read(fields[place])
            except ValueError as error:
                return Verdict(False, reason, str(error))
        for place, name, fault in self._limited:
            found = fault(fields[place], values.get(place))
            if found is not None:
                return Verdict(False, f"schema:{name}:{found}", "outside what the schema allows")
        if self._partition is not None and len(encode_partition_value(fields[self._partition])) > MAX_VALUE_BYTES:
            return Verdict(False, f"schema:{self._by}:partition", "too long for the name of a directory")
        return None


def _within(limits: Limits, nullable: bool) -> Callable[[str, Any], str | None]:
    """What names the limit that a field's text or value breaks, 'pattern' or 'range'; None: neither."""
    machine = None if limits.pattern is None else compile_pattern(parse(limits.pattern))
    least, most = limits.minimum, limits.maximum

    def fault(text: str, value: Any) -> str | None:
        if nullable and text == "":
            return None
        if machine is not None and not machine.accepts_text(text.encode()):
            return "pattern"
        if value is not None and ((least is not None and value < least) or (most is not None and value > most)):
            return "range"
        return None

    return fault
