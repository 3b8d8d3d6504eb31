"""A small, safe expression language over the fields of a record, for rules that look at several fields.

```
latitude >= -90 and (country != 'CR' or latitude < 12)
end >= start                                    dates in ISO form compare as they should
len(field('zip code')) == 5 and kind in ['a', 'b']
number(price) * number(count) == number(total)
```

Written in Python's notation and read by Python's parser, but evaluated here, node by node: `and or not`, comparisons and
their chains, `in` a list or a text, `+ - * / // %` on numbers, `a if b else c`, and the functions of `FUNCTIONS`. A name is
a field's text; `field('a name')` and `field(0)` are for names that are no identifiers, and for numbers. Compared or
calculated with a number, a field's text is read as a number; two fields compare as numbers where both are numbers, else as
text. What cannot be evaluated (a text that is no number, a division by zero) makes the record invalid.

The cost is bounded: no loops, no powers, no repetition of text, at most `MAX_NODES` nodes, numbers of at most 18 digits
or floats.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MAX_NODES = 200
MAX_CHARS = 2000
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)

Fields = Sequence[str]
Evaluator = Callable[[Fields], Any]


class ExpressionError(ValueError):
    """An expression that is not of this language; the message says what and where."""


class Text(str):
    """A field's text, as opposed to a text that is written in the expression: it may be read as a number."""

    __slots__ = ()


def as_number(value: Any) -> int | float:
    """A number, or the number that a text spells.

    Raises:
        ValueError: it spells none.

    Example:
        >>> as_number("-12"), as_number("1e3"), as_number(2)
        (-12, 1000.0, 2)
    """
    if isinstance(value, bool):
        raise ValueError("true or false is no number")
    if isinstance(value, int | float):
        return value
    if _NUMBER.fullmatch(value) is None:
        raise ValueError("a text is no number")
    return int(value) if len(value) <= 18 and value.lstrip("+-").isdigit() else float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _texts(*values: Any) -> None:
    if not all(isinstance(value, str) for value in values):
        raise ValueError("a function of text was given a number")


def _of_text(function: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*values: Any) -> Any:
        _texts(*values)
        return function(*values)

    return checked


FUNCTIONS: Mapping[str, tuple[int, int, Callable[..., Any]]] = {  # fewest and most arguments
    "number": (1, 1, as_number),
    "abs": (1, 1, lambda value: abs(as_number(value))),
    "min": (2, 8, lambda *values: min(map(as_number, values))),
    "max": (2, 8, lambda *values: max(map(as_number, values))),
    "is_number": (1, 1, lambda value: _is_number(value) or (isinstance(value, str) and bool(_NUMBER.fullmatch(value)))),
    "len": (1, 1, _of_text(len)),
    "lower": (1, 1, _of_text(lambda text: Text(text.lower()))),
    "upper": (1, 1, _of_text(lambda text: Text(text.upper()))),
    "strip": (1, 1, _of_text(lambda text: Text(text.strip()))),
    "starts_with": (2, 2, _of_text(lambda text, start: text.startswith(start))),
    "ends_with": (2, 2, _of_text(lambda text, end: text.endswith(end))),
    "contains": (2, 2, _of_text(lambda text, part: part in text)),
}
_COMPARE = {
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
    """A function of a record's fields, in the order of `names`.

    It raises ValueError or ZeroDivisionError where a record's fields cannot be evaluated.

    Raises:
        ExpressionError: the expression is not of this language, or names a field that is not there.

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
    return _Compiler(list(names)).node(tree.body)


class _Compiler:
    """Turns nodes into functions, once; unknown kinds of nodes are refused."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def node(self, node: ast.expr) -> Evaluator:
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
        place = name
        return lambda fields: Text(fields[place])

    def _boolop(self, node: ast.BoolOp) -> Evaluator:
        parts = [self.node(value) for value in node.values]
        every = all if isinstance(node.op, ast.And) else any
        return lambda fields: every(_truth(part(fields)) for part in parts)

    def _unaryop(self, node: ast.UnaryOp) -> Evaluator:
        inner = self.node(node.operand)
        if isinstance(node.op, ast.Not):
            return lambda fields: not _truth(inner(fields))
        if isinstance(node.op, ast.USub):
            return lambda fields: -as_number(inner(fields))
        raise ExpressionError(f"{type(node.op).__name__} is not part of the language")

    def _binop(self, node: ast.BinOp) -> Evaluator:
        function = _ARITHMETIC.get(type(node.op))
        if function is None:
            raise ExpressionError(f"{type(node.op).__name__} is not part of the language")
        left, right = self.node(node.left), self.node(node.right)

        def calculate(fields: Fields) -> Any:
            value = function(as_number(left(fields)), as_number(right(fields)))
            return value if isinstance(value, float) or abs(value) < 10**18 else float(value)

        return calculate

    def _ifexp(self, node: ast.IfExp) -> Evaluator:
        test, then, other = self.node(node.test), self.node(node.body), self.node(node.orelse)
        return lambda fields: then(fields) if _truth(test(fields)) else other(fields)

    def _list(self, node: ast.List | ast.Tuple | ast.Set) -> Evaluator:
        parts = [self.node(value) for value in node.elts]
        return lambda fields: [part(fields) for part in parts]

    _tuple = _set = _list

    def _compare(self, node: ast.Compare) -> Evaluator:
        values = [self.node(value) for value in [node.left, *node.comparators]]
        tests = [self._test(kind) for kind in node.ops]

        def compare(fields: Fields) -> bool:
            left = values[0](fields)
            for test, value in zip(tests, values[1:], strict=True):
                right = value(fields)
                if not test(left, right):
                    return False
                left = right
            return True

        return compare

    def _test(self, kind: ast.cmpop) -> Callable[[Any, Any], bool]:
        if isinstance(kind, ast.In):
            return _contains
        if isinstance(kind, ast.NotIn):
            return lambda left, right: not _contains(left, right)
        function = _COMPARE.get(type(kind))
        if function is None:
            raise ExpressionError(f"{type(kind).__name__} is not part of the language")
        return lambda left, right: bool(function(*_comparable(left, right)))

    def _call(self, node: ast.Call) -> Evaluator:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if node.keywords:
            raise ExpressionError("arguments have no names")
        if name == "field":
            if len(node.args) != 1 or not isinstance(node.args[0], ast.Constant):
                raise ExpressionError("field(…) takes a name in quotes or a number")
            asked = node.args[0].value
            if not isinstance(asked, str | int) or isinstance(asked, bool):
                raise ExpressionError("field(…) takes a name in quotes or a number")
            return self._field(asked)
        if name is None or name not in FUNCTIONS:
            raise ExpressionError(f"there is no such function; the functions are field, {', '.join(FUNCTIONS)}")
        fewest, most, function = FUNCTIONS[name]
        if not fewest <= len(node.args) <= most:
            raise ExpressionError(f"{name} takes {fewest if fewest == most else f'{fewest} to {most}'} arguments")
        arguments = [self.node(argument) for argument in node.args]
        return lambda fields: function(*(argument(fields) for argument in arguments))


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("a part is neither true nor false")
    return value


def _comparable(left: Any, right: Any) -> tuple[Any, Any]:
    if _is_number(left) or _is_number(right):
        return as_number(left), as_number(right)
    if isinstance(left, Text) and isinstance(right, Text) and _NUMBER.fullmatch(left) and _NUMBER.fullmatch(right):
        return as_number(left), as_number(right)
    if type(left) in (Text, str) and type(right) in (Text, str):
        return str(left), str(right)
    if isinstance(left, bool) and isinstance(right, bool):
        return left, right
    raise ValueError("values of different kinds are compared")


def _contains(left: Any, right: Any) -> bool:
    if isinstance(right, str):
        _texts(left)
        return left in right
    if not isinstance(right, list):
        raise ValueError("'in' needs a list or a text")
    for value in right:
        if _is_number(value) and isinstance(left, str) and _NUMBER.fullmatch(left) is None:
            continue
        one, other = _comparable(left, value)
        if one == other:
            return True
    return False
