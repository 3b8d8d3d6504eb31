"""Damage valid examples: their bytes, their JSON trees, and the numbers inside them that state a length.

Every function takes all its choices from a `random.Random`, so that a seed is an input.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

_NUMBERS = [
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    32767,
    65535,
    65536,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**60,
    2**63 - 1,
    2**64 - 1,
]
_DECIMALS = [*(b"%d" % number for number in _NUMBERS), b"-1", b"9" * 400, b"1e999"]
_BYTES = [
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\n",
    b"\r",
    b'"',
    b"'",
    b",",
    b"\\",
    b"[",
    b"{",
    b"&",
    b"*",
    b"\xed\xa0\x80",
]
_DIGITS = re.compile(rb"-?[0-9]+")

# JSON values that a reader expects nowhere. Floats beyond the range are written as Infinity, which Python reads.
ODD_VALUES: list[Any] = [
    *[None, True, -1, 0, 1, 0.5, 10**30, 10**9, 1e308, float("inf"), float("nan")],
    *["", "x", "x" * 3000, "\ud800", "\n", "{}", "{0:>99999999}", "../../x"],
    *[[], {}, [[]], {"": None}, [None, 1, "x"], [10**9]],
]


def mutated(random: Random, examples: Sequence[bytes], tokens: Sequence[bytes] = ()) -> bytes:
    """Return one of the examples with one to six changes.

    Args:
        random: source of all choices.
        examples: valid content.
        tokens: words of the format, which are put anywhere.
    """
    content = bytearray(random.choice(examples))
    for _ in range(random.randint(1, 6)):
        _change(random, content, examples, [*_BYTES, *tokens])
    return bytes(content)


def _change(random: Random, content: bytearray, examples: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    start = random.randint(0, len(content))
    part = slice(start, start + random.choice([1, 2, 4, 8, 16, 64, 500]))
    kind = random.randint(0, 9)
    if kind == 0 and start < len(content):
        content[start] ^= 1 << random.randint(0, 7)
    elif kind == 1:
        del content[start:]
    elif kind == 2:
        del content[part]
    elif kind == 3:
        content[start:start] = content[part] * random.choice([1, 2, 50, 2000])
    elif kind == 4:
        other = random.choice(examples)
        content[start:] = other[random.randint(0, len(other)) :]
    elif kind == 5:
        content[start:start] = random.choice(tokens) * random.choice([1, 1, 1, 3, 70, 3000])
    elif kind == 6:
        token = random.choice(tokens)
        content[start : start + len(token)] = token
    elif kind == 7:
        width = random.choice([1, 2, 4, 8])
        number = random.choice([*_NUMBERS, len(content)]) % (1 << 8 * width)
        content[start : start + width] = number.to_bytes(width, random.choice(["little", "big"]))
    elif kind == 8:
        written = _varint(random.choice([*_NUMBERS, len(content), 2 * len(content)]))
        content[start : start + random.choice([0, 1, len(written)])] = written
    else:
        found = [match.span() for match in _DIGITS.finditer(content)]
        if found:
            first, end = random.choice(found)
            content[first:end] = random.choice(_DECIMALS)


def _varint(number: int) -> bytes:
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])


def mutated_json(random: Random, examples: Sequence[Any], values: Sequence[Any] = ()) -> bytes:
    """Return one of the documents with one to four changes of its tree, as JSON.

    Args:
        random: source of all choices.
        examples: valid documents.
        values: further values that a reader may trip over.
    """
    try:
        tree = [copy.deepcopy(random.choice(examples))]
        for _ in range(random.randint(1, 4)):
            _change_tree(random, tree, [*ODD_VALUES, *values])
        return json.dumps(tree[0]).encode()
    except RecursionError:  # of `copy` or `json`, with a tree that was made too deep for them
        return b"[" * 2000


def _change_tree(random: Random, tree: list[Any], values: Sequence[Any]) -> None:
    places = list(_places(tree))
    parent, key = random.choice(places)
    kind = random.randint(0, 5)
    if kind == 0 or parent is tree:
        parent[key] = copy.deepcopy(random.choice(values))
    elif kind == 1:
        del parent[key]
    elif kind == 2 and isinstance(parent, list):
        parent[key:key] = [parent[key]] * random.choice([1, 10, 300])
    elif kind == 3:
        for _ in range(random.choice([1, 5, 70, 500])):
            parent[key] = [parent[key]] if random.randint(0, 1) else {"type": parent[key]}
    elif kind == 4:
        other, place = random.choice(places)
        parent[key] = copy.deepcopy(other[place])
    elif isinstance(parent, dict):
        parent[random.choice(["", "type", "name", "x", "\ud800"])] = parent.pop(key)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place of a tree as its container and the key in it."""
    todo = [value]
    while todo:
        container = todo.pop()
        for key in range(len(container)) if isinstance(container, list) else list(container):
            yield container, key
            if isinstance(container[key], list | dict):
                todo.append(container[key])
