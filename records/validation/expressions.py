"""A small, safe expression language for rules about several fields of a record.

```
latitude >= -90 and (country != 'CR' or latitude < 12)
end >= start                                    ISO dates compare correctly as text
len(field('zip code')) == 5 and kind in ['a', 'b']
number(price) * number(count) == number(total)
```

Expressions are in Python's syntax and parsed by Python's parser, but each node is evaluated here: `and or not`, comparisons and
their chains, `in` a list or a text, `+ - * / // %` on numbers, `a if b else c`, and the functions of `FUNCTIONS`. A name means
the text of that field; `field('a name')` and `field(0)` give fields whose names are not identifiers, and fields by number. A
field's text is converted to a number if it is compared or combined with a number; two fields are compared as numbers if both
are numbers, else as text. If an expression cannot be evaluated (a text that is not a number, a division by zero), the record is
invalid.

The cost is bounded: no loops, no powers, no repetition of text, at most `MAX_NODES` nodes, and integers of at most 18 digits
(larger results become floats).

The package `rule-engine` is no substitute: it has neither chained comparisons nor `a if b else c`, does not convert text to
numbers, calculates in decimals, so that `0.1 + 0.2 == 0.3` would change from false to true, and has regex operators that can
backtrack for minutes.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from typing import Any

from linesmith.records.validation.expression_values import (
    FUNCTIONS,
    FieldText,
    as_number,
    check_bool,
    comparable,
    contains,
)

MAX_NODES = 200
MAX_CHARS = 2000
Fields = Sequence[str]
Evaluator = Callable[[Fields], Any]


class ExpressionError(ValueError):
    """Raised for an expression that is not in this language; the message says why."""


_COMPARISONS = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def compile_expression(source: str, names: Sequence[str]) -> Evaluator:
    """Compile an expression to a function of a record's fields.

    Args:
        source: the expression.
        names: names of the fields, in order.

    Returns:
        A function of the fields, in the order of `names`. It raises ValueError, ArithmeticError or IndexError if the expression
        cannot be evaluated for a record.

    Raises:
        ExpressionError: the expression is not in this language, or names a field that does not exist.

    Example:
        >>> check = compile_expression("low <= high and kind in ['a', 'b']", ["low", "high", "kind"])
        >>> check(["9", "10", "a"]), check(["11", "10", "a"])
        (True, False)
    """
    if len(source) > MAX_CHARS:
        raise ExpressionError(f"it is longer than {MAX_CHARS} characters")
    try:
        tree = ast.parse(source.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError("it is not an expression in Python's notation") from None
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
        raise ExpressionError(f"it has more than {MAX_NODES} parts")
    return _Compiler(list(names)).compile(tree.body)


class _Compiler:
    """Compiles syntax nodes to functions: one method per allowed type of node; all other types are refused."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def compile(self, node: ast.expr) -> Evaluator:
        """Return the function that evaluates a node."""
        build = getattr(self, f"_{type(node).__name__.lower()}", None)
        if build is None:
            raise ExpressionError(f"{type(node).__name__} is not part of the language")
        built: Evaluator = build(node)
        return built

    def _constant(self, node: ast.Constant) -> Evaluator:
        value = node.value
        if not isinstance(value, str | int | float | bool) or (isinstance(value, int) and abs(value) >= 10**18):
            raise ExpressionError("a constant must be a text, a number of at most 18 digits, True or False")
        return lambda fields: value

    def _name(self, node: ast.Name) -> Evaluator:
        return self._field(node.id)

    def _field(self, name: str | int) -> Evaluator:
        if isinstance(name, str):
            if name not in self._names:
                raise ExpressionError(f"there is no field '{name}'; the fields are {', '.join(self._names)}")
            name = self._names.index(name)
        if not 0 <= name < len(self._names):
            raise ExpressionError(f"there is no field {name}; the record has {len(self._names)}")
        position = name
        return lambda fields: FieldText(fields[position])

    def _boolop(self, node: ast.BoolOp) -> Evaluator:
        parts = [self.compile(value) for value in node.values]
        all_or_any = all if isinstance(node.op, ast.And) else any
        return lambda fields: all_or_any(check_bool(part(fields)) for part in parts)

    def _unaryop(self, node: ast.UnaryOp) -> Evaluator:
        inner = self.compile(node.operand)
        if isinstance(node.op, ast.Not):
            return lambda fields: not check_bool(inner(fields))
        if isinstance(node.op, ast.USub):
            return lambda fields: -as_number(inner(fields))
        raise ExpressionError(f"{type(node.op).__name__} is not part of the language")

    def _binop(self, node: ast.BinOp) -> Evaluator:
        function = _ARITHMETIC.get(type(node.op))
        if function is None:
            raise ExpressionError(f"{type(node.op).__name__} is not part of the language")
        left, right = self.compile(node.left), self.compile(node.right)

        def calculate(fields: Fields) -> Any:
            value = function(as_number(left(fields)), as_number(right(fields)))
            # Floats do not grow: the cost of a long product stays bounded.
            return value if isinstance(value, float) or abs(value) < 10**18 else float(value)

        return calculate

    def _ifexp(self, node: ast.IfExp) -> Evaluator:
        test, then, other = self.compile(node.test), self.compile(node.body), self.compile(node.orelse)
        return lambda fields: then(fields) if check_bool(test(fields)) else other(fields)

    def _list(self, node: ast.List | ast.Tuple | ast.Set) -> Evaluator:
        parts = [self.compile(value) for value in node.elts]
        return lambda fields: [part(fields) for part in parts]

    _tuple = _set = _list

    def _compare(self, node: ast.Compare) -> Evaluator:
        values = [self.compile(value) for value in [node.left, *node.comparators]]
        tests = [self._comparison(comparison) for comparison in node.ops]

        def compare(fields: Fields) -> bool:
            left = values[0](fields)
            for test, value in zip(tests, values[1:], strict=True):
                right = value(fields)
                if not test(left, right):
                    return False
                left = right
            return True

        return compare

    def _comparison(self, comparison: ast.cmpop) -> Callable[[Any, Any], bool]:
        if isinstance(comparison, ast.In):
            return contains
        if isinstance(comparison, ast.NotIn):
            return lambda left, right: not contains(left, right)
        function = _COMPARISONS.get(type(comparison))
        if function is None:
            raise ExpressionError(f"{type(comparison).__name__} is not part of the language")
        return lambda left, right: bool(function(*comparable(left, right)))

    def _call(self, node: ast.Call) -> Evaluator:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if node.keywords:
            raise ExpressionError("arguments have no names")
        if name == "field":
            if len(node.args) != 1 or not isinstance(node.args[0], ast.Constant):
                raise ExpressionError("field(…) takes a name in quotes or a number")
            name_or_number = node.args[0].value
            if not isinstance(name_or_number, str | int) or isinstance(name_or_number, bool):
                raise ExpressionError("field(…) takes a name in quotes or a number")
            return self._field(name_or_number)
        if name is None or name not in FUNCTIONS:
            raise ExpressionError(f"there is no such function; the functions are field, {', '.join(FUNCTIONS)}")
        minimum, maximum, function = FUNCTIONS[name]
        if not minimum <= len(node.args) <= maximum:
            raise ExpressionError(
                f"{name} takes {minimum if minimum == maximum else f'{minimum} to {maximum}'} arguments"
            )
        arguments = [self.compile(argument) for argument in node.args]
        return lambda fields: function(*(argument(fields) for argument in arguments))
