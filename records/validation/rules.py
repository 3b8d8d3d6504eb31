"""Rules that judge a record, from YAML: what each field must be, and how fields go together. No code is run.

```yaml
- field_count: 6
- field: elevation                # a column's name, or a field's number from 0
  type: integer                   # integer, number, boolean, date, timestamp
  range: [-400, 9000]             # both ends belong to it; null: open
- field: country
  optional: true                  # an empty field passes; otherwise the checks below decide
  enum: [CR, PA, NI]
  length: [2, 2]                  # characters
  regex: '[A-Z]{2}'               # of the whole field; RE2, so without backtracking
- length: [10, 200]               # without `field`: of the whole record
- check: latitude < 12 or country != 'CR'      # linesmith.records.validation.expressions
  name: in_costa_rica
- not_in_training_set: true       # reads the training data: see docs/generation.md
```

The reason of a record that breaks a rule is `rule:<field>:<kind>`, for example `rule:elevation:range`; `record` stands for
the whole record, and a check's name for its field. The first broken rule, in the order of the file, is the reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from linesmith.core.errors import ParameterError
from linesmith.records.validation.expressions import ExpressionError, compile_expression
from linesmith.records.validation.field_rules import TESTS, Test

RECORD = "record"
MAX_RULES = 500
_FIELD_KINDS = tuple(TESTS)  # in the order in which a rule's checks are made
_RECORD_KINDS = ("field_count", "length", "regex", "check", "not_in_training_set")
_FORM = "docs/generation.md shows what a rule looks like."


class RuleViolation(Exception):
    """A rule that a record breaks."""

    def __init__(self, reason: str, explain: str) -> None:
        super().__init__(explain)
        self.reason = reason
        self.explain = explain


@dataclass(frozen=True)
class RuleSet:
    """Rules as they were written, checked. It travels to workers; `compile` makes functions of it.

    Attributes:
        rules: the rules as JSON.
        option: where they came from, for messages.
    """

    rules: str
    option: str

    @property
    def needs_training_set(self) -> bool:
        """A rule compares with the training data."""
        return any(rule.get("not_in_training_set") for rule in json.loads(self.rules))

    def compile(self, names: Sequence[str] | None, seen: Callable[[str], bool] | None = None) -> CompiledRules:
        """The rules as functions.

        Args:
            names: of the fields, in order; None: their number is not known, and they can be given by number alone.
            seen: tells whether a record is one of the training data; needed where `needs_training_set`.

        Raises:
            ParameterError: LS113, a rule is not one, or names a field that is not there.
        """
        rules = json.loads(self.rules)
        checks: list[Check] = []
        for number, rule in enumerate(rules, 1):
            try:
                checks += _checks_of(rule, names, seen)
            except ValueError as error:
                raise ParameterError(f"LS113: {self.option}: rule {number}: {error}. {_FORM}", code="LS113") from None
        return CompiledRules(checks)


Check = Callable[[str, list[str]], None]


@dataclass(frozen=True)
class CompiledRules:
    """Rules ready to judge."""

    checks: list[Check]

    def __call__(self, text: str, fields: list[str]) -> None:
        """Judge a record.

        Raises:
            RuleViolation: the first rule that it breaks.
        """
        for check in self.checks:
            check(text, fields)


def parse_rules(rules: Any, option: str) -> RuleSet:
    """Rules from what YAML gave: a list, or a mapping with `rules`.

    Raises:
        ParameterError: LS113, it is neither.
    """
    if isinstance(rules, dict) and set(rules) == {"rules"}:
        rules = rules["rules"]
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise ParameterError(f"LS113: {option}: this is no list of rules. {_FORM}", code="LS113")
    if len(rules) > MAX_RULES:
        raise ParameterError(f"LS113: {option}: {len(rules)} rules are more than {MAX_RULES}. {_FORM}", code="LS113")
    return RuleSet(json.dumps(rules, default=str, ensure_ascii=False), option)  # YAML's dates become ISO text


def _checks_of(rule: dict[str, Any], names: Sequence[str] | None, seen: Callable[[str], bool] | None) -> list[Check]:
    known = {*_FIELD_KINDS, "field", "optional"} if "field" in rule else {*_RECORD_KINDS, "name"}
    unknown = [str(key) for key in rule if key not in known]
    if unknown:
        raise ValueError(f"'{unknown[0]}' is unknown; known here are {', '.join(sorted(known))}")
    if "field" not in rule:
        return _record_checks(rule, names, seen)
    place, label = _place(rule["field"], names)
    kinds = [kind for kind in _FIELD_KINDS if kind in rule]
    if not kinds:
        raise ValueError(f"it says nothing about the field; give one of {', '.join(_FIELD_KINDS)}")
    tests = [(f"rule:{label}:{kind}", TESTS[kind](rule[kind])) for kind in kinds]
    optional = _yes(rule.get("optional", False), "optional")

    def check(text: str, fields: list[str]) -> None:
        if place >= len(fields):
            raise RuleViolation(f"rule:{label}:missing", "the record has no such field")
        value = fields[place]
        if value == "" and optional:
            return
        for reason, test in tests:
            found = test(value)
            if found is not None:
                raise RuleViolation(reason, found)

    return [check]


def _record_checks(
    rule: dict[str, Any], names: Sequence[str] | None, seen: Callable[[str], bool] | None
) -> list[Check]:
    checks: list[Check] = []
    for kind in _RECORD_KINDS:
        if kind not in rule:
            continue
        if kind == "field_count":
            checks.append(_field_count(rule[kind]))
        elif kind == "check":
            checks.append(_expression(rule[kind], rule.get("name"), names))
        elif kind == "not_in_training_set":
            if _yes(rule[kind], kind):
                checks.append(_novel(seen))
        else:
            checks.append(_whole(kind, TESTS[kind](rule[kind])))
    if not checks and "not_in_training_set" not in rule:
        raise ValueError(f"it says nothing; give 'field', or one of {', '.join(_RECORD_KINDS)}")
    return checks


def _place(field: Any, names: Sequence[str] | None) -> tuple[int, str]:
    if isinstance(field, int) and not isinstance(field, bool):
        if field < 0 or (names is not None and field >= len(names)):
            raise ValueError(f"there is no field {field}; the first is 0")
        return field, str(field)
    if names is None:
        raise ValueError("fields are known by number only here; give columns to name them")
    if field not in names:
        raise ValueError(f"there is no field '{field}'; the fields are {', '.join(names)}")
    return list(names).index(field), str(field)


def _yes(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{what} is true or false")
    return value


def _field_count(count: Any) -> Check:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError("field_count is a whole number of at least 1")

    def check(text: str, fields: list[str]) -> None:
        if len(fields) != count:
            raise RuleViolation(f"rule:{RECORD}:field_count", f"{len(fields)} fields instead of {count}")

    return check


def _whole(kind: str, test: Test) -> Check:
    def check(text: str, fields: list[str]) -> None:
        found = test(text)
        if found is not None:
            raise RuleViolation(f"rule:{RECORD}:{kind}", found)

    return check


def _expression(source: Any, name: Any, names: Sequence[str] | None) -> Check:
    if not isinstance(source, str) or (name is not None and not isinstance(name, str)):
        raise ValueError("check is an expression and name a text")
    if names is None:
        raise ValueError("a check needs fields that are known; give columns")
    try:
        evaluate = compile_expression(source, names)
    except ExpressionError as error:
        raise ValueError(f"check '{source}' cannot be read: {error}") from None
    reason = f"rule:{RECORD if name is None else name}:check"

    def check(text: str, fields: list[str]) -> None:
        try:
            answer = evaluate(fields)
        except (ValueError, ArithmeticError, IndexError) as error:
            raise RuleViolation(reason, f"cannot be evaluated: {error}") from None
        if answer is not True:
            raise RuleViolation(reason, "is not true" if answer is False else "gave neither true nor false")

    return check


def _novel(seen: Callable[[str], bool] | None) -> Check:
    def check(text: str, fields: list[str]) -> None:
        if seen is not None and seen(text):
            raise RuleViolation(f"rule:{RECORD}:not_in_training_set", "a record of the training data")

    return check
