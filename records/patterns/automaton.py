"""Finite automata over bytes: which texts a field may hold. Tables are complete; −1 is the state from which nothing returns."""

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
Row = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ByteAutomaton:
    """A deterministic automaton; state 0 is the start.

    Attributes:
        moves: [states, 256] int32, the next state for each byte, or DEAD.
        accepts: [states] bool, the text so far is a whole one.
        strayed: [states] bool, only a start string that was given leads here; None: nothing does.

    Example:
        >>> machine = utf8_automaton()
        >>> machine.accepts_text("é".encode()), machine.accepts_text("é".encode()[:1])
        (True, False)
    """

    moves: Row
    accepts: npt.NDArray[np.bool_]
    strayed: npt.NDArray[np.bool_] | None = None

    def accepts_text(self, text: bytes) -> bool:
        """Whether the text is in the language."""
        state = 0
        for byte in text:
            state = int(self.moves[state, byte])
            if state == DEAD:
                return False
        return bool(self.accepts[state])


def build_automaton(
    start: Hashable, row_of: Callable[[Hashable], list[Hashable]], accepts: Callable[[Hashable], bool]
) -> ByteAutomaton:
    """The automaton of all states that can be reached.

    Args:
        start: the first state, anything that can be hashed.
        row_of: the 256 next states of a state; None for DEAD.
        accepts: whether the text is whole there.

    Raises:
        ParameterError: there are more than 20,000 of them.
    """
    numbers: dict[Hashable, int] = {start: 0}
    order = [start]
    rows: list[list[int]] = []
    for state in order:  # grows while it is read
        row = []
        for after in row_of(state):
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
                f"LS115: a field's pattern needs more than {MAX_STATES:,} states; make its repetitions shorter.",
                code="LS115",
            )
    return ByteAutomaton(
        np.array(rows, np.int32).reshape(-1, 256), np.array([accepts(state) for state in order], np.bool_)
    )


def both(one: ByteAutomaton, other: ByteAutomaton) -> ByteAutomaton:
    """The automaton of the texts that are in both languages."""

    def row_of(pair: Any) -> list[Hashable]:
        rows = one.moves[pair[0]].tolist(), other.moves[pair[1]].tolist()
        return [None if DEAD in after else after for after in zip(*rows, strict=True)]

    def accepts(pair: Any) -> bool:
        return bool(one.accepts[pair[0]] and other.accepts[pair[1]])

    return build_automaton((0, 0), row_of, accepts)


def soft_intersect(one: ByteAutomaton, other: ByteAutomaton) -> ByteAutomaton:
    """The automaton of one language, in which a text is held to another as long as it has not left it.

    States from which the other is out of reach are `strayed`: they take what the first takes.

    Example:
        >>> fields = [field_text_automaton(delimiter, quoted=False, last=True) for delimiter in ",b"]
        >>> machine = soft_intersect(*fields)
        >>> state = machine.moves[0, ord("a")], machine.moves[0, ord("b")]
        >>> [bool(machine.strayed[number]) for number in state]
        [False, True]
    """

    def row_of(pair: Any) -> list[Hashable]:
        here = one.moves[pair[0]].tolist()
        there = [DEAD] * 256 if pair[1] == DEAD else other.moves[pair[1]].tolist()
        return [None if after[0] == DEAD else after for after in zip(here, there, strict=True)]

    def accepts(pair: Any) -> bool:
        return bool(one.accepts[pair[0]] and (pair[1] == DEAD or other.accepts[pair[1]]))

    machine = build_automaton((0, 0), row_of, accepts)
    strayed = build_automaton((0, 0), row_of, lambda pair: pair[1] == DEAD)  # type: ignore[index]
    return ByteAutomaton(machine.moves, machine.accepts, strayed.accepts)


def utf8_automaton() -> ByteAutomaton:
    """UTF-8 text (RFC 3629, section 4) without a newline."""
    # State: how many continuation bytes are missing, and the range of the next one.
    plain, narrow = (
        (0, 0x80, 0xBF),
        {0xE0: (2, 0xA0, 0xBF), 0xED: (2, 0x80, 0x9F), 0xF0: (3, 0x90, 0xBF), 0xF4: (3, 0x80, 0x8F)},
    )

    def after(state: tuple[int, int, int], byte: int) -> Hashable:
        missing, low, high = state
        if missing:
            return (missing - 1, 0x80, 0xBF) if low <= byte <= high else None
        if byte < 0x80:
            return None if byte == _NEWLINE else plain
        if byte in narrow:
            return narrow[byte]
        widths = ((0xC2, 0xDF, 1), (0xE1, 0xEF, 2), (0xF1, 0xF3, 3))
        return next(((n, 0x80, 0xBF) for first, last, n in widths if first <= byte <= last), None)

    return build_automaton(plain, lambda s: [after(s, b) for b in range(256)], lambda s: s == plain)  # type: ignore[arg-type]


def field_text_automaton(delimiter: str, quoted: bool, last: bool) -> ByteAutomaton:
    """What may stand between two delimiters so that the record splits there and nowhere else.

    Unquoted, the first occurrence of the delimiter in `text + delimiter` must be its end. With `quoted`, a field that begins
    with a double quote runs to the closing one, and delimiters inside it are text; a quote must be closed.

    Args:
        delimiter: what separates fields; with `quoted` one character.
        quoted: as the csv module reads it.
        last: no delimiter follows, only the record's end.

    Example:
        >>> machine = field_text_automaton(", ", quoted=False, last=False)
        >>> machine.accepts_text(b"a,b"), machine.accepts_text(b"a, b")
        (True, False)
        >>> field_text_automaton(",", quoted=True, last=False).accepts_text(b'"a,b"')
        True
    """
    mark = delimiter.encode()

    def matched(done: int, byte: int) -> int:
        """Longest suffix of what was read that begins the delimiter (Knuth, Morris and Pratt 1977)."""
        text = mark[:done] + bytes([byte])
        return next(n for n in range(min(len(text), len(mark)), -1, -1) if text.endswith(mark[:n]))

    def ends_here(done: int) -> bool:
        """The delimiter, written now, is found at its own beginning and not before."""
        for position, byte in enumerate(mark):
            done = matched(done, byte)
            if done == len(mark):
                return position == len(mark) - 1
        return True

    def after(state: tuple[str, int], byte: int) -> Hashable:
        mode, done = state
        if byte == _NEWLINE:
            return None
        if mode == "quotes":
            return ("closed", 0) if byte == _QUOTE else state
        if quoted and byte == _QUOTE and mode in ("start", "closed"):
            return ("quotes", 0)
        done = matched(done, byte)
        return None if done == len(mark) else ("text", done)

    def accepts(state: tuple[str, int]) -> bool:
        return state[0] != "quotes" and (last or ends_here(state[1]))

    return build_automaton(("start", 0), lambda s: [after(s, b) for b in range(256)], accepts)  # type: ignore[arg-type]
