"""Text canaries: records that begin like any other and end as nobody would guess, each included by a coin.

A canary keeps the fields of a real record, except that the second half of its last field is replaced by random letters and
one character that occurs nowhere else. A model can know the letters only by having been trained on them, and a vocabulary can
know the character only by having been built from it.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linesmith.records.fields import FREE_TEXT, FieldFormat

LETTERS = string.ascii_letters + string.digits
SUFFIX_LENGTH = 12  # random letters: 71 bits
# CJK ideographs, from which the unique characters are taken: changing the case does not change them.
_UNIQUE_CHARACTERS = range(0x4E00, 0x9FA5)


@dataclass(frozen=True)
class Canaries:
    """Canaries of one audit.

    Attributes:
        texts: the canaries, all different.
        unique_characters: the character of each canary that occurs nowhere else.
        included: whether each canary takes part in training: the coins, [canaries].
    """

    texts: tuple[str, ...]
    unique_characters: tuple[str, ...]
    included: npt.NDArray[np.bool_]


def make_canaries(
    records: Sequence[str],
    count: int,
    seed: int,
    *,
    fields: FieldFormat = FREE_TEXT,
    key_field: int | None = None,
    accepts: Callable[[str], bool] = lambda text: True,
) -> Canaries:
    """Make canaries from real records, and flip their coins.

    Args:
        records: real records, at least one; the beginnings of canaries are taken from them.
        count: number of canaries; fewer are made where unique characters run out.
        seed: seed of canaries and coins.
        fields: how records are split; a canary has as many fields as its record.
        key_field: field that gets a value unique to the canary: where users are protected, a canary is a user.
        accepts: whether a text may be a canary, for example by its side of the split.

    Example:
        >>> made = make_canaries(["a,bb", "c,dddd"], 2, seed=1, fields=FieldFormat(","))
        >>> [text.count(",") for text in made.texts], [len(character) for character in made.unique_characters]
        ([1, 1], [1, 1])
    """
    random = np.random.default_rng([seed, 2])
    occurring = set("".join(records))
    characters = [chr(point) for point in _UNIQUE_CHARACTERS if chr(point) not in occurring][:count]
    texts = []
    for character in characters:
        while True:
            suffix = character + "".join(LETTERS[i] for i in random.integers(0, len(LETTERS), SUFFIX_LENGTH))
            text = _make_canary(records[int(random.integers(len(records)))], suffix, fields, key_field)
            if accepts(text):
                break
        texts.append(text)
    return Canaries(tuple(texts), tuple(characters), random.random(len(texts)) < 0.5)


def _make_canary(record: str, suffix: str, fields: FieldFormat, key_field: int | None) -> str:
    """Return the record with the second half of its last field, or of the whole text, replaced by the suffix."""
    if fields.delimiter is None:
        return record[: len(record) // 2] + suffix
    values = [fields.quote(value) for value in fields.split(record)]
    if fields.quoted:
        values[-1] = ""  # its first half may open a quote
    values[-1] = values[-1][: len(values[-1]) // 2] + suffix
    if key_field is not None and key_field < len(values):
        values[key_field] = suffix
    return fields.delimiter.join(values)
