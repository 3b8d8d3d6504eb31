"""Fuzz rules, and the expressions in them."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from linesmith.core.parsing import DocumentError, parse_yaml
from linesmith.records.validation.expressions import ExpressionError, compile_expression
from linesmith.records.validation.rules import RuleViolation, parse_rules
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated, mutated_json

NAMES = ["low", "high", "kind", "day"]
RECORDS = [["1", "2.5", "a", "2020-01-01"], ["9" * 30, "1e300", "", "x"], ["-0", "nan", "é", "0000-00-00"]]
RULES: list[Any] = [
    {"field_count": 4},
    {"field": "low", "type": "integer", "range": [-400, 9000]},
    {"field": 1, "type": "number", "range": [None, 2.5], "optional": True},
    {"field": "kind", "enum": ["a", "b", 3], "length": [1, None], "regex": "[a-z]*"},
    {"field": "day", "range": ["2019-01-01", "2021-01-01"], "type": "date"},
    {"length": [1, 200], "regex": ".*"},
    {"check": "low < high and kind in ['a', 'b']", "name": "order"},
    {"not_in_training_set": False},
]
YAML = b"""\
- field: day
  range: [2019-01-01, 2021-01-01]   # dates of YAML
- &rule {field: low, range: [1, 0x10]}
- *rule
- check: low < high
  name: order
"""
EXPRESSIONS = [
    b"low < high and kind in ['a', 'b']",
    b"number(low) * 2 - 1 >= -field(1) // 3 % 7 or not is_number(day)",
    b"len(strip(kind)) == 1 if starts_with(day, '20') else abs(low) <= 1e3",
    b"min(low, high, 3) < max(low, 2) != (1 if True else 0)",
    b"field('low') in [1, '2', kind] and 'a' not in lower(kind)",
]
WORDS = [
    b" and ",
    b" or ",
    b"not ",
    b"-",
    b"+",
    b"~",
    b"**",
    b" if ",
    b" else ",
    b"(",
    b")",
    b"[",
    b"]",
    b"lambda: ",
    b"field(",
    b"min(",
]


def read(content: bytes) -> None:
    """Compile rules and apply them to records."""
    compiled = parse_rules(parse_yaml(content.decode("utf-8", "surrogateescape")), "--rules").compile(NAMES)
    for record in RECORDS:
        try:
            compiled(",".join(record), record)
        except RuleViolation as violation:
            assert len(violation.explain) < 20_000


def read_expression(content: bytes) -> None:
    """Compile an expression and evaluate it for records."""
    evaluate = compile_expression(content.decode("utf-8", "surrogateescape"), NAMES)
    for record in RECORDS:
        try:
            evaluate(record)
        except (ValueError, ArithmeticError, IndexError) as error:
            assert len(str(error)) < 20_000


TARGET = Target("rules", read, DocumentError)
EXPRESSION_TARGET = Target("expressions", read_expression, ExpressionError)


@pytest.mark.parametrize("content", TARGET.corpus())
def test_found_cases(content: bytes) -> None:
    TARGET.check(content)


@pytest.mark.parametrize("content", EXPRESSION_TARGET.corpus())
def test_found_expressions(content: bytes) -> None:
    EXPRESSION_TARGET.check(content)


def test_the_examples_are_read() -> None:
    read(YAML)
    read(json.dumps(RULES).encode())
    for expression in EXPRESSIONS:
        read_expression(expression)


@pytest.mark.integration
def test_fuzz_rules() -> None:
    words = ["integer", "date", "low", 3, [1, 0], ["2020-01-01", None], "low == low", "(", "a{1000}{1000}", 10**400]

    def make(random: Random) -> bytes:
        return (
            mutated_json(random, [RULES], words)
            if random.randint(0, 1)
            else mutated(random, [YAML], [b"- ", b"range: "])
        )

    TARGET.fuzz(make, 100)


@pytest.mark.integration
def test_fuzz_expressions() -> None:
    EXPRESSION_TARGET.fuzz(lambda random: mutated(random, EXPRESSIONS, WORDS), 200)
