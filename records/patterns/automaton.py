"""Deterministic finite automata over bytes that say which texts a field may hold.

Tables are complete: every state has a next state for every byte. `DEAD` (−1) is the next state where no text can follow.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from linesmith.core.errors import ParameterError

DEAD = -1
_QUOTE, _NEWLINE = 0x22, 0x0A
MAX_STATES = 20_000
Transitions = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ByteAutomaton:
    """A deterministic automaton over bytes; state 0 is the start.

    Attributes:
        transitions: [states, 256] int32, the next state for each byte, or DEAD.
        accepting: [states] bool, whether the text so far is in the language.
        unconstrained: [states] bool, whether the text so far has left the second language of `soft_intersect`, which only a
            given start string can do; None: no state is such.
        given_ends: [states] bool, whether a text that is given may end in a state; None: where any may.

    Example:
        >>> machine = utf8_automaton()
        >>> machine.accepts_text("é".encode()), machine.accepts_text("é".encode()[:1])
        (True, False)
    """

    transitions: Transitions
    accepting: npt.NDArray[np.bool_]
    unconstrained: npt.NDArray[np.bool_] | None = None
    given_ends: npt.NDArray[np.bool_] | None = None

    def accepts_text(self, text: bytes) -> bool:
        """Return whether a text, as UTF-8, is in the language."""
        state = 0
        for byte in text:
            state = int(self.transitions[state, byte])
            if state == DEAD:
                return False
        return bool(self.accepting[state])


def build_automaton(
    start: Hashable, next_states: Callable[[Hashable], list[Hashable]], is_accepting: Callable[[Hashable], bool]
) -> ByteAutomaton:
    """Build the automaton of all states that can be reached from a start state.

    Args:
        start: the first state, anything that can be hashed.
        next_states: returns the 256 next states of a state, one per byte; None for DEAD.
        is_accepting: returns whether a text may end in a state.

    Returns:
        An automaton whose states are numbered in the order in which they are found, breadth first.

    Raises:
        ParameterError: LS125, there are more than `MAX_STATES` states.
    """
    transitions, states = _explore(start, next_states)
    return ByteAutomaton(transitions, np.array([is_accepting(state) for state in states], np.bool_))


def _explore(start: Hashable, next_states: Callable[[Hashable], list[Hashable]]) -> tuple[Transitions, list[Hashable]]:
    """Return the transitions between all states that can be reached, by number, and the states in the order of their numbers."""
    numbers: dict[Hashable, int] = {start: 0}
    order = [start]
    rows: list[list[int]] = []
    for state in order:  # `order` grows during the iteration
        row = []
        for after in next_states(state):
            if after is None:
                row.append(DEAD)
                continue
            if after not in numbers:
                numbers[after] = len(order)
                order.append(after)
            row.append(numbers[after])
        rows.append(row)
        if len(order) > MAX_STATES:
            raise ParameterError(
                "LS125",
                None,
                f"a field's pattern needs more than {MAX_STATES:,} states",
                "Make its repetitions shorter.",
            )
    return np.array(rows, np.int32).reshape(-1, 256), order


def intersect(one: ByteAutomaton, other: ByteAutomaton) -> ByteAutomaton:
    """Return the automaton of the texts that are in both languages (the product construction)."""

    def next_states(pair: Any) -> list[Hashable]:
        rows = one.transitions[pair[0]].tolist(), other.transitions[pair[1]].tolist()
        return [None if DEAD in after else after for after in zip(*rows, strict=True)]

    def is_accepting(pair: Any) -> bool:
        return bool(one.accepting[pair[0]] and other.accepting[pair[1]])

    return build_automaton((0, 0), next_states, is_accepting)


def soft_intersect(one: ByteAutomaton, other: ByteAutomaton) -> ByteAutomaton:
    """Return the automaton of one language in which a text must stay in a second language until it has left it.

    States of texts that have left the second language are `unconstrained`: they accept what the first language accepts. The
    sampler draws no token that leads to such a state from another; only a given start string can.

    Args:
        one: the language that every text must be in.
        other: the language that a text must be in, too, unless a start string has left it.

    Example:
        >>> fields = [field_text_automaton(delimiter, quoted=False, last=True) for delimiter in ",b"]
        >>> machine = soft_intersect(*fields)
        >>> state = machine.transitions[0, ord("a")], machine.transitions[0, ord("b")]
        >>> [bool(machine.unconstrained[number]) for number in state]
        [False, True]
    """

    def next_states(pair: Any) -> list[Hashable]:
        first = one.transitions[pair[0]].tolist()
        second = [DEAD] * 256 if pair[1] == DEAD else other.transitions[pair[1]].tolist()
        return [None if after[0] == DEAD else after for after in zip(first, second, strict=True)]

    transitions, pairs = _explore((0, 0), next_states)
    first, second = np.array(pairs).T
    unconstrained = second == DEAD
    ends = one.accepting[first]
    return ByteAutomaton(transitions, ends & (unconstrained | other.accepting[second]), unconstrained, ends)


def in_optional_quotes(machine: ByteAutomaton) -> ByteAutomaton:
    """Return the automaton of a language's texts, as they are or in double quotes.

    A text that itself begins with a quote could not be told from one in quotes: such a language is returned as it is. Texts
    with a quote elsewhere are accepted without quotes around them only.

    Example:
        >>> machine = in_optional_quotes(utf8_automaton())
        >>> machine.accepts_text(b'"a"'), len(machine.transitions) == len(utf8_automaton().transitions)
        (True, True)
    """
    if machine.transitions[0, _QUOTE] != DEAD:
        return machine
    states = len(machine.transitions)
    # A start of its own, so that a quote begins nothing elsewhere; then the texts, the texts in quotes, and the closing quote.
    plain, inside, closed = 1, 1 + states, 1 + 2 * states
    table = np.full((closed + 1, 256), DEAD, np.int32)
    known = machine.transitions != DEAD
    table[0] = np.where(known[0], machine.transitions[0] + plain, DEAD)
    table[0, _QUOTE] = inside
    table[plain:inside] = np.where(known, machine.transitions + plain, DEAD)
    table[inside:closed] = np.where(known, machine.transitions + inside, DEAD)
    table[inside:closed, _QUOTE] = np.where(machine.accepting, closed, DEAD)
    nothing = np.zeros(states, np.bool_)
    accepting = np.concatenate([machine.accepting[:1], machine.accepting, nothing, np.ones(1, np.bool_)])
    return ByteAutomaton(table, accepting)


def utf8_automaton() -> ByteAutomaton:
    """Return the automaton of UTF-8 text without newlines (RFC 3629, section 4)."""
    # A state is the number of continuation bytes that are missing, and the range of the next one. Some first bytes narrow the
    # range of the second, so that no surrogate, no overlong form and nothing above U+10FFFF is accepted.
    complete, narrowed = (
        (0, 0x80, 0xBF),
        {0xE0: (2, 0xA0, 0xBF), 0xED: (2, 0x80, 0x9F), 0xF0: (3, 0x90, 0xBF), 0xF4: (3, 0x80, 0x8F)},
    )

    def after(state: tuple[int, int, int], byte: int) -> Hashable:
        missing, low, high = state
        if missing:
            return (missing - 1, 0x80, 0xBF) if low <= byte <= high else None
        if byte < 0x80:
            return None if byte == _NEWLINE else complete
        if byte in narrowed:
            return narrowed[byte]
        widths = ((0xC2, 0xDF, 1), (0xE1, 0xEF, 2), (0xF1, 0xF3, 3))
        return next(((n, 0x80, 0xBF) for first, last, n in widths if first <= byte <= last), None)

    return build_automaton(complete, lambda s: [after(s, b) for b in range(256)], lambda s: s == complete)  # type: ignore[arg-type]


def field_text_automaton(delimiter: str, quoted: bool, last: bool) -> ByteAutomaton:
    """Return the automaton of the texts that may stand between two delimiters, so that the record is split only there.

    Without `quoted`, the first occurrence of the delimiter in `text + delimiter` must be at its end. With `quoted`, a field that
    begins with a double quote runs to the closing quote, and delimiters inside it are text; a quote must be closed.

    Args:
        delimiter: the text between fields; one character if `quoted` is set.
        quoted: delimiters inside double quotes are text, as in the csv module.
        last: the field is the last of a record, so that no delimiter follows.

    Example:
        >>> machine = field_text_automaton(", ", quoted=False, last=False)
        >>> machine.accepts_text(b"a,b"), machine.accepts_text(b"a, b")
        (True, False)
        >>> field_text_automaton(",", quoted=True, last=False).accepts_text(b'"a,b"')
        True
    """
    delimiter_bytes = delimiter.encode()
    # By length of the longest suffix read so far that begins the delimiter, and next byte: that length afterwards. A row is that
    # of the next shorter such suffix but for the byte that goes on (Knuth, Morris and Pratt 1977).
    lengths_after: list[list[int]] = []
    shorter = 0
    for length, expected in enumerate(delimiter_bytes):
        row = list(lengths_after[shorter]) if length else [0] * 256
        if length:
            shorter = row[expected]
        row[expected] = length + 1
        lengths_after.append(row)

    def may_end(matched: int) -> bool:
        """Return whether a delimiter that follows now is found where it begins, and not earlier."""
        for position, byte in enumerate(delimiter_bytes):
            matched = lengths_after[matched][byte]
            if matched == len(delimiter_bytes):
                return position == len(delimiter_bytes) - 1
        return True

    # A state is a mode and the number of bytes of the delimiter that the text so far ends with.
    def after(state: tuple[str, int], byte: int) -> Hashable:
        mode, matched = state
        if byte == _NEWLINE:
            return None
        if mode == "quotes":
            return ("closed", 0) if byte == _QUOTE else state
        if quoted and byte == _QUOTE and mode in ("start", "closed"):
            return ("quotes", 0)
        matched = lengths_after[matched][byte]
        return None if matched == len(delimiter_bytes) else ("text", matched)

    def is_accepting(state: tuple[str, int]) -> bool:
        return state[0] != "quotes" and (last or may_end(state[1]))

    return build_automaton(("start", 0), lambda s: [after(s, b) for b in range(256)], is_accepting)  # type: ignore[arg-type]
