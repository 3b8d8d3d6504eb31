"""From the tree of a pattern (`linesmith.records.patterns.pattern_tree`) to an automaton over UTF-8 bytes.

Thompson's construction, then the subset construction (Thompson 1968; Rabin and Scott 1959).
"""

from __future__ import annotations

from collections.abc import Hashable

from linesmith.records.patterns.automaton import ByteAutomaton, build_automaton
from linesmith.records.patterns.pattern_tree import Pattern

_LAST = 0x10FFFF


def utf8_ranges(first: int, last: int) -> list[list[tuple[int, int]]]:
    """The UTF-8 forms of the characters of a range, as sequences of byte ranges; surrogates have none.

    Example:
        >>> utf8_ranges(0x7F, 0x80)
        [[(127, 127)], [(194, 194), (128, 128)]]
    """
    found: list[list[tuple[int, int]]] = []
    for low, high in ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, _LAST)):
        a, b = max(first, low), min(last, high)
        if a <= b:
            found += _byte_ranges(chr(a).encode(), chr(b).encode())
    return found


def _byte_ranges(low: bytes, high: bytes) -> list[list[tuple[int, int]]]:
    """Like `_same_length`, for continuation bytes."""
    if not low:
        return [[]]
    a, b, rest = low[0], high[0], len(low) - 1
    if set(low[1:]) <= {0x80} and set(high[1:]) <= {0xBF}:
        return [[(a, b), *[(0x80, 0xBF)] * rest]]
    if a == b:
        return [[(a, a), *tail] for tail in _byte_ranges(low[1:], high[1:])]
    found = [[(a, a), *tail] for tail in _byte_ranges(low[1:], b"\xbf" * rest)]
    if a + 1 <= b - 1:
        found.append([(a + 1, b - 1), *[(0x80, 0xBF)] * rest])
    return found + [[(b, b), *tail] for tail in _byte_ranges(b"\x80" * rest, high[1:])]


def compile_pattern(pattern: Pattern) -> ByteAutomaton:
    """The automaton of a pattern.

    Raises:
        ParameterError: it has too many states.
    """
    graph = _Graph()
    end = graph.add(pattern, 0)

    def row_of(states: Hashable) -> list[Hashable]:
        reached: list[set[int]] = [set() for _ in range(256)]
        for state in states:  # type: ignore[attr-defined]
            for first, last, target in graph.bytes_from[state]:
                for byte in range(first, last + 1):
                    reached[byte].add(target)
        known: dict[frozenset[int], Hashable] = {}
        row: list[Hashable] = []
        for targets in map(frozenset, reached):
            if targets not in known:
                known[targets] = graph.closure(targets) if targets else None
            row.append(known[targets])
        return row

    return build_automaton(graph.closure(frozenset([0])), row_of, lambda states: end in states)  # type: ignore[operator]


class _Graph:
    """A nondeterministic automaton; state 0 is the start."""

    def __init__(self) -> None:
        self.bytes_from: list[list[tuple[int, int, int]]] = [[]]
        self.free_from: list[list[int]] = [[]]

    def closure(self, states: frozenset[int]) -> frozenset[int]:
        """What is reached without reading a byte."""
        seen, todo = set(states), list(states)
        while todo:
            for target in self.free_from[todo.pop()]:
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return frozenset(seen)

    def add(self, pattern: Pattern, start: int) -> int:
        """Add a pattern behind a state; returns its end."""
        kind = pattern[0]
        if kind == "seq":
            for part in pattern[1]:
                start = self.add(part, start)
            return start
        if kind == "any":
            end = self._state()
            for part in pattern[1]:
                self.free_from[self.add(part, self._after(start))].append(end)
            return end
        if kind == "repeat":
            return self._repeat(pattern[1], pattern[2], pattern[3], start)
        end = self._state()
        for first, last in pattern[1]:
            for sequence_of_bytes in utf8_ranges(first, last):
                at = start
                for low, high in sequence_of_bytes[:-1]:
                    between = self._state()
                    self.bytes_from[at].append((low, high, between))
                    at = between
                self.bytes_from[at].append((*sequence_of_bytes[-1], end))
        return end

    def _repeat(self, part: Pattern, least: int, most: int | None, start: int) -> int:
        for _ in range(least):
            start = self.add(part, start)
        if most is None:
            loop = self._after(start)
            self.free_from[self.add(part, loop)].append(loop)
            return loop
        end = self._state()
        for _ in range(most - least):
            self.free_from[start].append(end)
            start = self.add(part, start)
        self.free_from[start].append(end)
        return end

    def _after(self, state: int) -> int:
        """A new state that is reached for nothing."""
        new = self._state()
        self.free_from[state].append(new)
        return new

    def _state(self) -> int:
        self.bytes_from.append([])
        self.free_from.append([])
        return len(self.bytes_from) - 1
