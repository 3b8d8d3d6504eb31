"""Find the pattern of a column of keys: lengths, and at each place which classes of characters occur. Nothing else is kept.

The accumulator is what workers send: it holds classes, never characters of letters or digits. Punctuation and spaces stand for
themselves, since they are what makes `AB-1234` look like a key.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from linesmith.core.config.key_pattern import UUID_LENGTHS, KeyPattern, Place, uuid_shape

MOST_LENGTHS = 32
_LONGEST = 200
_UUID = re.compile("-".join(f"[0-9a-fA-F]{{{length}}}" for length in UUID_LENGTHS))
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,37}", re.ASCII)
_MOST_DIGITS = 18  # of whole numbers in a column of texts: longer ones do not fit into 64 bits
_DIGITS = set(string.digits)
_HEX_LOWER, _HEX_UPPER = set("abcdef"), set("ABCDEF")
_PLAIN = set(string.punctuation + " ") - {"\\"}  # a backslash begins escapes, in patterns and in the texts of tables


@dataclass
class KeyForms:
    """What the keys of a column look like.

    Attributes:
        places: for each length, the classes and punctuation at each place.
        whole: all keys are whole numbers without zeros in front.
        digits: least and most digits of those that are not negative, and of those that are; empty: there are none.
        uuid: all keys are UUIDs.
        versions: digits of their versions.
        strange: some key is empty, too long, or holds another character than letters, digits and ASCII punctuation.
    """

    places: dict[int, list[set[str]]] = field(default_factory=dict)
    whole: bool = True
    digits: list[int] = field(default_factory=list)
    negative: list[int] = field(default_factory=list)
    uuid: bool = True
    versions: set[str] = field(default_factory=set)
    strange: bool = False

    def add(self, key: str) -> None:
        """Take a key into account."""
        if not 0 < len(key) <= _LONGEST:
            self.strange = True
            return
        self.uuid = self.uuid and _UUID.fullmatch(key) is not None
        if self.uuid:
            self.versions.add(key[14])
        self.whole = self.whole and _WHOLE.fullmatch(key) is not None
        if self.whole:
            widths = self.negative if key[0] == "-" else self.digits
            widths[:] = _widened(widths, len(key.lstrip("-")))
        if len(key) not in self.places:
            if len(self.places) > MOST_LENGTHS:
                return
            self.places[len(key)] = [set() for _ in key]
        for place, character in zip(self.places[len(key)], key, strict=True):
            found = _class_of(character)
            self.strange = self.strange or found is None
            if found is not None:
                place.add(found)

    def merge(self, other: KeyForms) -> None:
        """Take the keys of another accumulator into account."""
        for length, places in other.places.items():
            mine = self.places.setdefault(length, [set() for _ in places])
            for place, more in zip(mine, places, strict=True):
                place.update(more)
        self.whole, self.uuid = self.whole and other.whole, self.uuid and other.uuid
        self.digits, self.negative = _merged(self.digits, other.digits), _merged(self.negative, other.negative)
        self.versions |= other.versions
        self.strange = self.strange or other.strange

    def pattern(self, most: int | None = None) -> KeyPattern:
        """Return the pattern of the keys.

        Args:
            most: the largest number that the column's type can hold; None: it holds texts.

        Raises:
            ValueError: they have no pattern that could be kept; the message says why.
        """
        if self.strange:
            raise ValueError(
                "some of its values are empty, very long, or hold other characters than letters, digits and punctuation"
            )
        if not self.places or len(self.places) > MOST_LENGTHS:
            raise ValueError(f"its values have more than {MOST_LENGTHS} lengths" if self.places else "it has no values")
        widest = max([*self.digits, *self.negative], default=0)
        if self.whole and (most is not None or widest <= _MOST_DIGITS):
            return KeyPattern(limits=self._limits((1 << 63) - 1 if most is None else most))
        if most is not None:
            raise ValueError("some of its values are no whole numbers")
        letters = {name for shape in self.places.values() for place in shape for name in place if len(name) > 1}
        if self.uuid and len(self.versions) == 1 and self.versions <= set("12345678"):
            cases = [name for name in ("a-f", "A-F") if name in letters]
            return KeyPattern((uuid_shape(next(iter(self.versions)), cases or ("a-f",)),))
        # Where every letter may be a digit as well, hexadecimal digits stay so; otherwise a place with some letters may have any.
        lettered = [place for shape in self.places.values() for place in shape if place & {"a-f", "A-F"}]
        keep_hex = (
            not letters & {"a-z", "A-Z"}
            and len(letters & {"a-f", "A-F"}) == 1
            and all("0-9" in place for place in lettered)
        )
        shapes = [tuple(_place(place, keep_hex) for place in self.places[length]) for length in sorted(self.places)]
        return KeyPattern(tuple(shapes))

    def _limits(self, most: int) -> tuple[int, int]:
        """Return the limits of whole numbers with as many digits as the keys."""
        low = 0
        if self.negative:
            low = 1 - 10 ** self.negative[1]
        elif self.digits[0] > 1:
            low = 10 ** (self.digits[0] - 1)
        high = 10 ** self.digits[1] - 1 if self.digits else -(10 ** (self.negative[0] - 1))
        return max(low, -most - 1), min(high, most)

    def as_dict(self) -> dict[str, Any]:
        """Return the accumulator as plain JSON types; `forms_from_dict` reads them."""
        return {
            "places": {str(length): [sorted(place) for place in shape] for length, shape in self.places.items()},
            "whole": self.whole,
            "digits": self.digits,
            "negative": self.negative,
            "uuid": self.uuid,
            "versions": sorted(self.versions),
            "strange": self.strange,
        }


def forms_from_dict(stored: Mapping[str, Any]) -> KeyForms:
    """Return the accumulator that `KeyForms.as_dict` described."""
    places = {int(length): [set(place) for place in shape] for length, shape in stored["places"].items()}
    return KeyForms(**{**stored, "places": places, "versions": set(stored["versions"])})


def merge_forms(forms: Iterable[KeyForms]) -> KeyForms:
    """Return what the keys of several accumulators look like."""
    merged = KeyForms()
    for one in forms:
        merged.merge(one)
    return merged


def _class_of(character: str) -> str | None:
    """Return the class of a character, or itself if it is punctuation; None for any other."""
    if character in _DIGITS:
        return "0-9"
    if character in _PLAIN:
        return character
    for small, names in ((True, ("a-f", "a-z")), (False, ("A-F", "A-Z"))):
        if character.isascii() and character.isalpha() and character.islower() is small:
            return names[0] if character in (_HEX_LOWER if small else _HEX_UPPER) else names[1]
    if character.isalpha() and character.isprintable():  # a letter of another alphabet: keys are written in ASCII
        return "a-z" if character.islower() else "A-Z"
    return None


def _place(found: set[str], keep_hex: bool) -> Place:
    """Return what may stand at a place; of hexadecimal digits all, of other letters the whole alphabet."""
    if keep_hex:
        return tuple(sorted(found))
    return tuple(sorted({{"a-f": "a-z", "A-F": "A-Z"}.get(name, name) for name in found}))


def _widened(widths: list[int], width: int) -> list[int]:
    return [min(widths[0], width), max(widths[1], width)] if widths else [width, width]


def _merged(first: list[int], second: list[int]) -> list[int]:
    return [min(first[0], second[0]), max(first[1], second[1])] if first and second else first or second
