"""Patterns of keys: what is kept of a column of keys is their lengths, and the classes of the characters at each place.

A pattern is a set of texts that is numbered from 0: whole numbers from one to another, or texts of one or a few lengths with a
set of characters at each place. `KeyPattern.text` and `KeyPattern.number` are inverse to each other.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

# Classes of characters as a pattern is stored. Anything else at a place is that character itself.
CLASSES = {
    "0-9": string.digits,
    "1-9": string.digits[1:],
    "a-f": "abcdef",
    "A-F": "ABCDEF",
    "a-z": string.ascii_lowercase,
    "A-Z": string.ascii_uppercase,
}
_TYPED = {
    "0": ("0-9",),
    "A": ("A-Z",),
    "a": ("a-z",),
    "x": ("0-9", "a-f"),
    "X": ("0-9", "A-F"),
    "*": ("0-9", "A-Z"),
}  # what stands for a class in a pattern as typed
_RANGE = re.compile(r"(-?[0-9]{1,30})\.\.(-?[0-9]{1,30})")
_UUID = re.compile(r"uuid([1-8])")
_MOST_PLACES = 1000
UUID_LENGTHS = (8, 4, 4, 4, 12)

Place = tuple[str, ...]  # classes and single characters


@dataclass(frozen=True)
class KeyPattern:
    """A set of texts.

    Attributes:
        shapes: for each length, what may stand at each place; no two of one length. Empty: the numbers of `limits`.
        limits: the least and the largest whole number, written without zeros in front.

    Example:
        >>> pattern = parse_pattern("AA-00")
        >>> pattern.size, pattern.text(0), pattern.text(67_599), pattern.number("AB-07")
        (67600, 'AA-00', 'ZZ-99', 107)
        >>> parse_pattern("-5..12").text(0)
        '-5'
    """

    shapes: tuple[tuple[Place, ...], ...] = ()
    limits: tuple[int, int] | None = None

    @cached_property
    def size(self) -> int:
        """Number of texts."""
        if self.limits is not None:
            return self.limits[1] - self.limits[0] + 1
        return sum(self._sizes)

    def text(self, number: int) -> str:
        """Return the text of a number.

        Raises:
            IndexError: there is none.
        """
        if not 0 <= number < self.size:
            raise IndexError(number)
        if self.limits is not None:
            return str(self.limits[0] + number)
        shape = 0
        while number >= self._sizes[shape]:
            number -= self._sizes[shape]
            shape += 1
        characters = []
        for alphabet in reversed(self._alphabets[shape]):
            number, digit = divmod(number, len(alphabet))
            characters.append(alphabet[digit])
        return "".join(reversed(characters))

    def number(self, text: str) -> int | None:
        """Return the number of a text; None where the pattern has no such text."""
        if self.limits is not None:
            if re.fullmatch(r"0|-?[1-9][0-9]{0,40}", text, re.ASCII) is None:
                return None
            low, high = self.limits
            return int(text) - low if low <= int(text) <= high else None
        before = 0
        for alphabets, size in zip(self._alphabets, self._sizes, strict=True):
            if len(alphabets) == len(text):
                number = 0
                for character, alphabet in zip(text, alphabets, strict=True):
                    digit = alphabet.find(character)
                    if digit < 0:
                        return None
                    number = number * len(alphabet) + digit
                return before + number
            before += size
        return None

    @cached_property
    def _alphabets(self) -> list[list[str]]:
        return [[alphabet_of(place) for place in shape] for shape in self.shapes]

    @cached_property
    def _sizes(self) -> list[int]:
        return [prod(map(len, alphabets)) for alphabets in self._alphabets]

    def as_dict(self) -> dict[str, Any]:
        """Return the pattern as plain JSON types; `pattern_from_dict` reads them."""
        if self.limits is not None:
            return {"limits": list(self.limits)}
        return {"shapes": [[list(place) for place in shape] for shape in self.shapes]}


def alphabet_of(place: Place) -> str:
    """Return the characters that may stand at a place, in order and without repetition."""
    return "".join(sorted({character for part in place for character in CLASSES.get(part, part)}))


def pattern_from_dict(stored: Mapping[str, Any]) -> KeyPattern:
    """Return the pattern that `KeyPattern.as_dict` described.

    Raises:
        ValueError: it describes none.
    """
    limits = stored.get("limits")
    if limits is not None:
        if len(limits) != 2 or not all(type(limit) is int for limit in limits) or limits[0] > limits[1]:
            raise ValueError("no limits of numbers")
        return KeyPattern(limits=(limits[0], limits[1]))
    shapes = tuple(tuple(tuple(place) for place in shape) for shape in stored["shapes"])
    parts = [part for shape in shapes for place in shape for part in place]
    if not shapes or any(not isinstance(part, str) or (part not in CLASSES and len(part) != 1) for part in parts):
        raise ValueError("no shapes of keys")
    if not all(place for shape in shapes for place in shape) or len({len(shape) for shape in shapes}) != len(shapes):
        raise ValueError("a place without characters, or two shapes of one length")
    return KeyPattern(shapes)


def parse_pattern(text: str) -> KeyPattern:
    r"""Return the pattern that a person typed.

    `0` stands for a digit, `A` for a capital, `a` for a small letter, `x` and `X` for a hexadecimal digit, `*` for a digit or a
    capital, a backslash for the character after it, and any other character for itself. `LOW..HIGH` are whole numbers, and
    `uuid4` UUIDs of that version.

    Raises:
        ValueError: it is none; the message says why.

    Example:
        >>> parse_pattern(r"\A\0-00").text(7)
        'A0-07'
        >>> parse_pattern("uuid4").size == 2 ** 122
        True
    """
    numbers = _RANGE.fullmatch(text)
    if numbers is not None:
        low, high = int(numbers[1]), int(numbers[2])
        if low > high:
            raise ValueError("its first number is larger than its second")
        return KeyPattern(limits=(low, high))
    version = _UUID.fullmatch(text)
    if version is not None:
        return KeyPattern((uuid_shape(version[1]),))
    places: list[Place] = []
    characters = iter(text)
    for character in characters:
        if character == "\\":
            following = next(characters, None)
            if following is None:
                raise ValueError("a backslash at its end stands for nothing")
            if following == "\\":
                raise ValueError("a key cannot hold a backslash")
            places.append((following,))
        else:
            places.append(_TYPED.get(character, (character,)))
    if not places or len(places) > _MOST_PLACES or any(end in text for end in "\n\r\0"):
        raise ValueError(f"it is empty, has more than {_MOST_PLACES} places, or holds a line end")
    return KeyPattern((tuple(places),))


def uuid_shape(version: str, letters: Sequence[str] = ("a-f",)) -> tuple[Place, ...]:
    """Return the shape of UUIDs.

    Args:
        version: its digit.
        letters: classes of their letters.
    """
    digit = ("0-9", *letters)
    groups = [[digit] * length for length in UUID_LENGTHS]
    groups[2][0] = (version,)
    groups[3][0] = ("8", "9", *(letter for part in letters for letter in CLASSES[part][:2]))
    shape = groups[0]
    for group in groups[1:]:
        shape = [*shape, ("-",), *group]
    return tuple(shape)
