"""Parse JSON and YAML that others give, within limits on nesting and size, so that a small file cannot exhaust memory or time.

The limits are far above what Linesmith writes: nesting of 64, 4 million JSON values, 100,000 YAML nodes. An alias of YAML counts
as often as what it stands for, since a chain of a few aliases can stand for more nodes than fit in memory.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

MAX_TEXT_BYTES = 64 << 20
MAX_DEPTH = 64
TOO_DEEP, KEY_TWICE = f"nested more than {MAX_DEPTH} deep", "a key occurs twice in an object"
MAX_JSON_VALUES = 4_000_000  # at 80 bytes of memory each
MAX_YAML_CHARS = 4 << 20
MAX_YAML_NODES = 100_000  # read in about three seconds
_MERGE = "tag:yaml.org,2002:merge"  # of `<<`, which takes over the names of another mapping
_SURROGATE = re.compile(r"[\ud800-\udfff]|\\u[dD][89a-fA-F]")
_MAX_NUMBER_CHARS = 400  # of a YAML number; a float has at most 309 digits before the point
# Written in C where PyYAML was built with libyaml: ten times faster, equal results.
_YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class DocumentError(ValueError):
    """A text is not JSON or YAML, or exceeds a limit. The message quotes nothing of the text.

    Args:
        found: what is wrong.
        line: number of the line, from 1; None where it is not known.
    """

    def __init__(self, found: str, line: int | None = None) -> None:
        super().__init__(found if line is None else f"{found} at line {line}")
        self.line = line


def read_text(path: str | Path, encoding: str = "utf-8") -> str:
    """Read a text file that a person wrote, such as settings, rules or a schema.

    Raises:
        OSError: it cannot be read.
        DocumentError: it is not text of this encoding, or too long.
    """
    with open(path, "rb") as content:
        found = content.read(MAX_TEXT_BYTES + 1)
    if len(found) > MAX_TEXT_BYTES:
        raise DocumentError(f"longer than {MAX_TEXT_BYTES:,} bytes")
    try:
        return found.decode(encoding)
    except UnicodeDecodeError:
        raise DocumentError("not UTF-8 text") from None


class JsonNumber(str):
    """A number of a JSON text with a point or an exponent, as it is written there."""


def parse_json(text: str | bytes, exact: bool = False, strict: bool = False) -> Any:
    """Parse a JSON text.

    Args:
        text: the text.
        exact: numbers with a point or an exponent become `JsonNumber`, not floats.
        strict: refuse a key that an object has twice, and what Python reads as a number beside JSON (NaN, Infinity, 1e999).

    Raises:
        DocumentError: it is not JSON, is nested too deeply, has too many values, or a text in it is not Unicode.

    Example:
        >>> parse_json('{"a": [1, 2]}')
        {'a': [1, 2]}
    """
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        brackets = text.count("[") + text.count("{")
        if brackets + text.count(",") > MAX_JSON_VALUES:
            raise DocumentError("more values than are allowed")
        value = json.loads(text, parse_float=JsonNumber) if exact else json.loads(text, **(_STRICT if strict else {}))
    except DocumentError:
        raise
    except json.JSONDecodeError as error:
        raise DocumentError("not valid JSON", error.lineno) from None
    except RecursionError:
        raise DocumentError(TOO_DEEP) from None
    except ValueError:  # a number with more digits than Python converts, or bytes that are not UTF-8
        raise DocumentError("not valid JSON") from None
    if brackets > MAX_DEPTH:
        _check_depth(value)
    if _SURROGATE.search(text) is not None:
        _check_unicode(json.dumps(value, ensure_ascii=False))
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise DocumentError(KEY_TWICE)
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise DocumentError("a number that is not finite")
    return number


_STRICT: dict[str, Any] = {"object_pairs_hook": _unique_keys, "parse_float": _finite, "parse_constant": _finite}


def parse_yaml(text: str) -> Any:
    """Parse a YAML text of one document. Safe-loaded: it cannot run code.

    Raises:
        DocumentError: it is not YAML, has a value that is not of its type, is nested too deeply, has too many nodes, or a name
            twice in one mapping.

    Example:
        >>> parse_yaml("a: [1, x]")
        {'a': [1, 'x']}
    """
    if len(text) > MAX_YAML_CHARS:
        raise DocumentError(f"longer than {MAX_YAML_CHARS:,} characters")
    try:
        _check_events(text)
        loader = _YAML_LOADER(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _expanded_size(node, {})
            _refuse_repeated_names(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except DocumentError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise DocumentError("not valid YAML", None if mark is None else mark.line + 1) from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
        # The constructors of numbers, dates and the like raise all of these for a text that is none.
        raise DocumentError("not valid YAML: a value is not of its type") from None


def _check_events(text: str) -> None:
    """Refuse deep nesting and too many nodes while the parser runs, before anything recursive sees them."""
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_YAML_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            nodes += 1
        if depth > MAX_DEPTH:
            line = None if event.start_mark is None else event.start_mark.line + 1
            raise DocumentError(f"nested more than {MAX_DEPTH} deep", line)
        if nodes > MAX_YAML_NODES:
            raise DocumentError(f"more than {MAX_YAML_NODES:,} values")


def _refuse_repeated_names(root: yaml.Node) -> None:
    """Refuse a mapping in which a name occurs twice: the loader would take the last one and say nothing.

    Raises:
        DocumentError: there is one.
    """
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            names = set()
            for key, value in node.value:
                name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
                if name in names and key.tag != _MERGE:
                    raise DocumentError("a name that occurs twice in one mapping", key.start_mark.line + 1)
                names |= {name} - {None}
                waiting += [key, value]


def _expanded_size(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of nodes that a node stands for, aliases followed.

    Args:
        node: the node.
        known: sizes of nodes that were visited, by id; 0 for those whose visit has not ended.

    Raises:
        DocumentError: there are too many, a node contains itself, or a number is too long.
    """
    if id(node) in known:
        if not known[id(node)]:
            raise DocumentError("a value contains itself", node.start_mark.line + 1)
        return known[id(node)]
    known[id(node)], size = 0, 1
    if isinstance(node, yaml.ScalarNode):
        _check_unicode(node.value)
        if node.tag.endswith((":int", ":float")) and len(node.value) > _MAX_NUMBER_CHARS:
            raise DocumentError("a number is too long", node.start_mark.line + 1)
    else:
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        size += sum(_expanded_size(part, known) for part in parts)
    if size > MAX_YAML_NODES:
        raise DocumentError(f"aliases stand for more than {MAX_YAML_NODES:,} values", node.start_mark.line + 1)
    known[id(node)] = size
    return size


def _check_unicode(text: str) -> None:
    """Refuse half of a surrogate pair, which an escape can stand for, unless it stands for a byte of a file's name."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise DocumentError("not Unicode in one of its texts") from None


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            part
            for outer in level
            if isinstance(outer, list | dict)
            for part in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise DocumentError(TOO_DEEP)
