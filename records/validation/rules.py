"""Rules from YAML that check a record: what each field must be, and how fields must relate. No code is run.

```yaml
- field_count: 6
- field: elevation                # a column's name, or a field's number, from 0
  type: integer                   # integer, number, boolean, date, timestamp
  range: [-400, 9000]             # ends included; null: no limit
- field: country
  optional: true                  # an empty field passes; others are checked
  enum: [CR, PA, NI]
  length: [2, 2]                  # characters
  regex: '[A-Z]{2}'               # matches the whole field; RE2, without backtracking
- length: [10, 200]               # without `field`: the whole record
- check: latitude < 12 or country != 'CR'      # linesmith.records.validation.expressions
  name: in_costa_rica
- not_in_training_set: true       # reads the training data: see docs/generation.md
```

The reason of a record that breaks a rule is `rule:<field>:<kind>`, for example `rule:elevation:range`; the field is `record`
for the whole record, and the name of a `check`. The first broken rule, in the order of the file, is the reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from linesmith.core.errors import ParameterError
from linesmith.records.validation.expressions import ExpressionError, compile_expression
from linesmith.records.validation.field_rules import TEST_BUILDERS, FieldTest

RECORD = "record"
MAX_RULES = 500
_FIELD_KINDS = tuple(TEST_BUILDERS)  # in the order in which the tests of a rule are made
_RECORD_KINDS = ("field_count", "length", "regex", "check", "not_in_training_set")
_RULE_HELP = "docs/generation.md shows what a rule looks like."


class RuleViolation(Exception):
    """Raised if a record breaks a rule.

    Args:
        reason: `rule:<field>:<kind>`.
        explain: a sentence for a person.
    """

    def __init__(self, reason: str, explain: str) -> None:
        super().__init__(explain)
        self.reason = reason
        self.explain = explain


@dataclass(frozen=True)
class RuleSet:
    """Rules as the user wrote them, in a picklable form; `compile` turns them into functions.

    Attributes:
        rules: the rules as JSON.
        option: the option and file from which they were read, for messages.
    """

    rules: str
    option: str

    @property
    def needs_training_set(self) -> bool:
        """Whether a rule compares records with the training data."""
        return any(rule.get("not_in_training_set") for rule in json.loads(self.rules))

    def compile(
        self, names: Sequence[str] | None, in_training_set: Callable[[str], bool] | None = None
    ) -> CompiledRules:
        """Compile the rules.

        Args:
            names: names of the fields, in order; None: unknown, so that rules can only give the number of a field.
            in_training_set: returns whether a record is in the training data; required if `needs_training_set`.

        Returns:
            The rules, ready to be called.

        Raises:
            ParameterError: LS113, a rule is malformed, or names a field that does not exist.
        """
        rules = json.loads(self.rules)
        checks: list[Check] = []
        for number, rule in enumerate(rules, 1):
            try:
                checks += _compile_rule(rule, names, in_training_set)
            except ValueError as error:
                raise ParameterError("LS113", self.option, f"rule {number}: {error}", _RULE_HELP) from None
        return CompiledRules(checks)


Check = Callable[[str, list[str]], None]  # of a record's text and fields; raises RuleViolation


@dataclass(frozen=True)
class CompiledRules:
    """Rules, compiled."""

    checks: list[Check]

    def __call__(self, text: str, fields: list[str]) -> None:
        """Check a record.

        Args:
            text: the record.
            fields: its fields.

        Raises:
            RuleViolation: the record breaks a rule; the first one in the order of the file.
        """
        for check in self.checks:
            check(text, fields)


def parse_rules(rules: Any, option: str) -> RuleSet:
    """Return the rules of a YAML document.

    Args:
        rules: the parsed document: a list of rules, or a mapping whose only key is `rules`.
        option: the option and file, for messages.

    Returns:
        The rules; each is checked only by `RuleSet.compile`.

    Raises:
        ParameterError: LS113, it is neither, or there are too many rules.
    """
    if isinstance(rules, dict) and set(rules) == {"rules"}:
        rules = rules["rules"]
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise ParameterError("LS113", option, "not a list of rules", _RULE_HELP)
    if len(rules) > MAX_RULES:
        raise ParameterError("LS113", option, f"{len(rules)} rules are more than {MAX_RULES}", _RULE_HELP)
    try:
        return RuleSet(json.dumps(rules, default=str, ensure_ascii=False), option)  # dates of YAML become ISO text
    except (TypeError, ValueError):  # a key that JSON does not have, such as a date; a number of thousands of digits
        raise ParameterError("LS113", option, "a rule has a key or value that no rule can have", _RULE_HELP) from None


def _compile_rule(
    rule: dict[str, Any], names: Sequence[str] | None, in_training_set: Callable[[str], bool] | None
) -> list[Check]:
    """Return the checks of one rule.

    Raises:
        ValueError: the rule is malformed; the message says how.
    """
    known = {*_FIELD_KINDS, "field", "optional"} if "field" in rule else {*_RECORD_KINDS, "name"}
    unknown = [str(key) for key in rule if key not in known]
    if unknown:
        raise ValueError(f"'{unknown[0]}' is unknown; known here are {', '.join(sorted(known))}")
    if "field" not in rule:
        return _record_checks(rule, names, in_training_set)
    position, label = _find_field(rule["field"], names)
    kinds = [kind for kind in _FIELD_KINDS if kind in rule]
    if not kinds:
        raise ValueError(f"it says nothing about the field; give one of {', '.join(_FIELD_KINDS)}")
    tests = [(f"rule:{label}:{kind}", TEST_BUILDERS[kind](rule[kind])) for kind in kinds]
    optional = _boolean(rule.get("optional", False), "optional")

    def check(text: str, fields: list[str]) -> None:
        if position >= len(fields):
            raise RuleViolation(f"rule:{label}:missing", "the record has no such field")
        value = fields[position]
        if value == "" and optional:
            return
        for reason, test in tests:
            fault = test(value)
            if fault is not None:
                raise RuleViolation(reason, fault)

    return [check]


def _record_checks(
    rule: dict[str, Any], names: Sequence[str] | None, in_training_set: Callable[[str], bool] | None
) -> list[Check]:
    checks: list[Check] = []
    for kind in _RECORD_KINDS:
        if kind not in rule:
            continue
        if kind == "field_count":
            checks.append(_field_count_check(rule[kind]))
        elif kind == "check":
            checks.append(_expression_check(rule[kind], rule.get("name"), names))
        elif kind == "not_in_training_set":
            if _boolean(rule[kind], kind):
                checks.append(_training_set_check(in_training_set))
        else:
            checks.append(_record_text_check(kind, TEST_BUILDERS[kind](rule[kind])))
    if not checks and "not_in_training_set" not in rule:
        raise ValueError(f"it says nothing; give 'field', or one of {', '.join(_RECORD_KINDS)}")
    return checks


def _find_field(field: Any, names: Sequence[str] | None) -> tuple[int, str]:
    """Return the position of a field that is given by name or number, and its label in reasons."""
    if isinstance(field, int) and not isinstance(field, bool):
        if field < 0 or (names is not None and field >= len(names)):
            raise ValueError(f"there is no field {field}; the first is 0")
        return field, str(field)
    if names is None:
        raise ValueError("fields are known by number only here; give columns to name them")
    if field not in names:
        raise ValueError(f"there is no field '{field}'; the fields are {', '.join(names)}")
    return list(names).index(field), str(field)


def _boolean(value: Any, key: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{key} is true or false")
    return value


def _field_count_check(count: Any) -> Check:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError("field_count is a whole number of at least 1")

    def check(text: str, fields: list[str]) -> None:
        if len(fields) != count:
            raise RuleViolation(f"rule:{RECORD}:field_count", f"{len(fields)} fields instead of {count}")

    return check


def _record_text_check(kind: str, test: FieldTest) -> Check:
    def check(text: str, fields: list[str]) -> None:
        fault = test(text)
        if fault is not None:
            raise RuleViolation(f"rule:{RECORD}:{kind}", fault)

    return check


def _expression_check(source: Any, name: Any, names: Sequence[str] | None) -> Check:
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


def _training_set_check(in_training_set: Callable[[str], bool] | None) -> Check:
    def check(text: str, fields: list[str]) -> None:
        if in_training_set is not None and in_training_set(text):
            raise RuleViolation(f"rule:{RECORD}:not_in_training_set", "a record of the training data")

    return check
