"""Parse regular expressions of a limited syntax to the trees of `linesmith.records.patterns.pattern_tree`.

A pattern is matched against the whole text. Supported: characters, `\\` escapes (`\\d \\w \\s` are ASCII), `.`, classes
`[a-z]` and `[^…]`, groups `( )` and `(?: )`, alternatives `|`, and the repetitions `? * + {m} {m,} {m,n}`, m and n up to
1,000. Not supported, and refused: anchors, look-around, back-references, lazy and possessive repetitions, flags.

A pattern may come from somebody else, so its cost is bounded before any of it is spent: 10,000 characters, 50 groups inside one
another, and 100,000 characters to match once every repetition is written out.
"""

from __future__ import annotations

from collections.abc import Iterable

from linesmith.records.patterns.pattern_tree import Pattern, any_of, sequence, written_out_size

_MAX_REPEATS = 1000
_MAX_CHARS = 10_000
_MAX_DEPTH = 50
_MAX_SIZE = 100_000
_LAST_CODE_POINT = 0x10FFFF
_CLASSES = {
    "d": [(0x30, 0x39)],
    "w": [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)],
    "s": [(0x09, 0x0D), (0x20, 0x20)],
}
_ESCAPES = {"n": 0x0A, "t": 0x09, "r": 0x0D, "f": 0x0C, "v": 0x0B}
_SPECIAL = set("()[]{}|?*+.^$\\")
Ranges = list[tuple[int, int]]  # of code points, both ends included


def parse_regex(text: str) -> Pattern:
    """Parse a regular expression.

    Args:
        text: the expression; it is matched against whole texts.

    Returns:
        Its tree.

    Raises:
        ValueError: it is malformed or not supported; the message names the position.
    """
    return _Parser(text).parse()


class _Parser:
    """Recursive descent over the text of a pattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._depth = 0

    def parse(self) -> Pattern:
        """Parse the whole text."""
        if len(self._text) > _MAX_CHARS:
            raise ValueError(f"the pattern is longer than {_MAX_CHARS:,} characters")
        pattern = self._alternatives()
        if self._position < len(self._text):
            raise self._error("a parenthesis is closed that was not opened")
        if written_out_size(pattern) > _MAX_SIZE:
            raise ValueError(f"the pattern has more than {_MAX_SIZE:,} characters once its repetitions are written out")
        return pattern

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _next(self) -> str:
        character = self._peek()
        if not character:
            raise self._error("it ends too early")
        self._position += 1
        return character

    def _error(self, found: str) -> ValueError:
        return ValueError(f"the pattern is not understood at character {self._position + 1}: {found}")

    def _alternatives(self) -> Pattern:
        parts = [self._sequence()]
        while self._peek() == "|":
            self._position += 1
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else any_of(parts)

    def _sequence(self) -> Pattern:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return sequence(parts)

    def _repeated(self, part: Pattern) -> Pattern:
        """Parse the repetition that may follow a part."""
        counts = {"?": (0, 1), "*": (0, None), "+": (1, None)}
        if self._peek() in counts:
            least, most = counts[self._next()]
        elif self._peek() == "{":
            least, most = self._braces()
        else:
            return part
        if self._peek() in ("?", "*", "+", "{"):
            raise self._error("a repetition is repeated")
        return ("repeat", part, least, most)

    def _braces(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._position)
        first, comma, last = self._text[self._position + 1 : max(end, self._position + 1)].partition(",")
        if end < 0 or not first.isdecimal() or (last and not last.isdecimal()):
            raise self._error("a repetition is {m}, {m,} or {m,n}")
        # No longer number is in the range, nor would Python convert one of thousands of digits.
        least = int(first[:5])
        most = (int(last[:5]) if last else None) if comma else least
        if max(least, most or 0) > _MAX_REPEATS or (most is not None and most < least):
            raise self._error(f"a repetition runs from a smaller number to a larger one, {_MAX_REPEATS} at most")
        self._position = end + 1
        return least, most

    def _atom(self) -> Pattern:
        character = self._next()
        if character == "(":
            if self._peek() == "?":
                if self._text[self._position : self._position + 2] != "?:":
                    raise self._error("of the groups that begin with (? only (?: is")
                self._position += 2
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise self._error(f"more than {_MAX_DEPTH} groups are inside one another")
            inner = self._alternatives()
            self._depth -= 1
            if self._peek() != ")":
                raise self._error("a parenthesis is not closed")
            self._position += 1
            return inner
        if character == "[":
            return ("set", tuple(self._class()))
        if character == ".":
            return ("set", ((0, 9), (11, _LAST_CODE_POINT)))
        if character == "\\":
            return ("set", tuple(self._escape()))
        if character in _SPECIAL:
            raise self._error(f"'{character}' is not supported here")
        return ("set", ((ord(character), ord(character)),))

    def _escape(self) -> Ranges:
        character = self._next()
        if character in _CLASSES:
            return _CLASSES[character]
        if character.lower() in _CLASSES:
            return complement(_CLASSES[character.lower()])
        if character in _ESCAPES:
            return [(_ESCAPES[character], _ESCAPES[character])]
        if character.isalnum():
            raise self._error(f"the escape '\\{character}' is not supported")
        return [(ord(character), ord(character))]

    def _class(self) -> Ranges:
        negative = self._peek() == "^"
        self._position += negative
        ranges: Ranges = []
        first = True  # a "]" in the first place is a character
        while first or self._peek() != "]":
            first = False
            character = self._next()
            found = self._escape() if character == "\\" else [(ord(character), ord(character))]
            if self._peek() == "-" and self._text[self._position + 1 : self._position + 2] not in ("", "]"):
                self._position += 1
                last = self._next()
                upper = self._escape() if last == "\\" else [(ord(last), ord(last))]
                if len(found) != 1 or len(upper) != 1 or found[0][0] > upper[0][1]:
                    raise self._error("a range in a class runs from a smaller character to a larger one")
                found = [(found[0][0], upper[0][1])]
            ranges += found
        self._position += 1
        return complement(ranges) if negative else ranges


def complement(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the ranges of all other characters.

    Args:
        ranges: in any order; they may overlap.

    Example:
        >>> complement([(5, 7), (0, 2)])
        [(3, 4), (8, 1114111)]
    """
    found, after = [], 0
    for first, last in sorted(ranges):
        if first > after:
            found.append((after, first - 1))
        after = max(after, last + 1)
    return found + ([(after, _LAST_CODE_POINT)] if after <= _LAST_CODE_POINT else [])
