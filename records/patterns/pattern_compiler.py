"""Compile the tree of a pattern (`linesmith.records.patterns.pattern_tree`) to an automaton over UTF-8 bytes.

Thompson's construction gives a nondeterministic automaton, the subset construction a deterministic one (Thompson 1968; Rabin and
Scott 1959).
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise

from linesmith.core.errors import ParameterError
from linesmith.records.patterns.automaton import ByteAutomaton, build_automaton
from linesmith.records.patterns.pattern_tree import Pattern

PATTERN_STEPS, SCHEMA_STEPS = 5_000_000, 20_000_000  # of one pattern, of all patterns of a schema together
_LAST_CODE_POINT = 0x10FFFF


def utf8_ranges(first: int, last: int) -> list[list[tuple[int, int]]]:
    """Return the UTF-8 forms of a range of characters; surrogates have none.

    Args:
        first: the first code point.
        last: the last code point, included.

    Returns:
        Sequences of byte ranges (both ends included): a character is in the range if and only if its bytes match one sequence.

    Example:
        >>> utf8_ranges(0x7F, 0x80)
        [[(127, 127)], [(194, 194), (128, 128)]]
    """
    found: list[list[tuple[int, int]]] = []
    # Code points of equal length in UTF-8; the third range stops before the surrogates.
    for low, high in ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, _LAST_CODE_POINT)):
        a, b = max(first, low), min(last, high)
        if a <= b:
            found += _byte_ranges(chr(a).encode(), chr(b).encode())
    return found


def _byte_ranges(low: bytes, high: bytes) -> list[list[tuple[int, int]]]:
    """Return byte ranges of the UTF-8 forms between two of equal length.

    Like `_same_length_ranges` in `pattern_tree`, with continuation bytes (0x80 … 0xBF) in place of digits.
    """
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


class WorkLimit:
    """Most steps that compiling may take: a short pattern can have few states and yet take hours to compile.

    Args:
        steps: two to three million are done in a second.
    """

    def __init__(self, steps: int = PATTERN_STEPS) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """Count steps.

        Raises:
            ParameterError: LS125, there are no more.
        """
        self._left -= steps
        if self._left < 0:
            raise ParameterError(
                "LS125",
                None,
                "a field's pattern takes too long to compile",
                "Make its repetitions shorter, or let fewer parts of it overlap.",
            )


def compile_pattern(pattern: Pattern, limit: WorkLimit | None = None) -> ByteAutomaton:
    """Compile a pattern.

    Args:
        pattern: a tree as `pattern_tree` makes it.
        limit: shared by all patterns that are compiled together; None: this one's own.

    Returns:
        An automaton that accepts the UTF-8 form of exactly the texts that match the whole pattern.

    Raises:
        ParameterError: LS125, the automaton would have too many states, or takes too long to compile.
    """
    limit = WorkLimit() if limit is None else limit
    graph = _NondeterministicAutomaton(limit)
    end = graph.add(pattern, 0)

    def next_states(states: Hashable) -> list[Hashable]:
        targets_of: dict[tuple[int, int], set[int]] = {}  # by byte range; the many edges of a repeated part share a few
        for state in states:  # type: ignore[attr-defined]
            for first, last, target in graph.byte_edges[state]:
                targets_of.setdefault((first, last), set()).add(target)
        limit.spend(len(states) + sum(map(len, targets_of.values())))  # type: ignore[arg-type]
        # Between two neighboring ends of ranges all bytes lead to the same states.
        cuts = sorted({0, 256}.union(*((first, last + 1) for first, last in targets_of)))
        row: list[Hashable] = []
        for begin, after in pairwise(cuts):
            reached = frozenset().union(
                *(targets for (first, last), targets in targets_of.items() if first <= begin <= last)
            )
            limit.spend(len(targets_of) + len(reached))
            row += [graph.closure(reached) if reached else None] * (after - begin)
        return row

    return build_automaton(graph.closure(frozenset([0])), next_states, lambda states: end in states)  # type: ignore[operator]


class _NondeterministicAutomaton:
    """A nondeterministic automaton; state 0 is the start.

    Attributes:
        byte_edges: by state, edges (first byte, last byte, target).
        free_edges: by state, targets that are reached without reading a byte.
    """

    def __init__(self, limit: WorkLimit) -> None:
        self.byte_edges: list[list[tuple[int, int, int]]] = [[]]
        self.free_edges: list[list[int]] = [[]]
        self._limit = limit
        self._closures: dict[frozenset[int], frozenset[int]] = {}

    def closure(self, states: frozenset[int]) -> frozenset[int]:
        """Return the states that are reached from some states without reading a byte, these included."""
        found = self._closures.get(states)
        if found is None:
            found = self._closures[states] = self._closure(states)
        return found

    def _closure(self, states: frozenset[int]) -> frozenset[int]:
        seen, todo = set(states), list(states)
        while todo:
            for target in self.free_edges[todo.pop()]:
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        self._limit.spend(len(seen))
        return frozenset(seen)

    def add(self, pattern: Pattern, start: int) -> int:
        """Add a pattern after a state and return the state in which it ends."""
        node_type = pattern[0]
        if node_type == "seq":
            for part in pattern[1]:
                start = self.add(part, start)
            return start
        if node_type == "any":
            end = self._new_state()
            for part in pattern[1]:
                self.free_edges[self.add(part, self._new_state_after(start))].append(end)
            return end
        if node_type == "repeat":
            return self._repeat(pattern[1], pattern[2], pattern[3], start)
        end = self._new_state()
        for first, last in pattern[1]:
            for byte_ranges in utf8_ranges(first, last):
                state = start
                for low, high in byte_ranges[:-1]:
                    between = self._new_state()
                    self.byte_edges[state].append((low, high, between))
                    state = between
                self.byte_edges[state].append((*byte_ranges[-1], end))
        return end

    def _repeat(self, part: Pattern, least: int, most: int | None, start: int) -> int:
        for _ in range(least):
            start = self.add(part, start)
        if most is None:
            loop = self._new_state_after(start)
            self.free_edges[self.add(part, loop)].append(loop)
            return loop
        end = self._new_state()
        for _ in range(most - least):
            self.free_edges[start].append(end)
            start = self.add(part, start)
        self.free_edges[start].append(end)
        return end

    def _new_state_after(self, state: int) -> int:
        """Return a new state that is reached from a state without reading a byte."""
        new = self._new_state()
        self.free_edges[state].append(new)
        return new

    def _new_state(self) -> int:
        self._limit.spend(1)
        self.byte_edges.append([])
        self.free_edges.append([])
        return len(self.byte_edges) - 1
