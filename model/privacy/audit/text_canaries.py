"""Canaries: records with a beginning like any other and an end that nobody would guess, each included by a coin.

A canary keeps the fields of a real record, but for its last one, whose second half is replaced by random letters and
one character that occurs nowhere else. The letters are what a model can only know by having read them; the character is what a
vocabulary can only know by having read it.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linesmith.records.fields import quoted_field, split_fields

LETTERS = string.ascii_letters + string.digits
SUFFIX_LENGTH = 12  # letters: 71 bits
_FIRST, _LAST = 0x4E00, 0x9FA5  # where the single characters come from: CJK ideographs, that no upper-casing changes


@dataclass(frozen=True)
class Canaries:
    """What was planted.

    Attributes:
        texts: the canaries, all different.
        marks: the character that each has for itself.
        included: which of them take part; the coins.
    """

    texts: tuple[str, ...]
    marks: tuple[str, ...]
    included: npt.NDArray[np.bool_]


def make_canaries(
    records: Sequence[str],
    count: int,
    seed: int,
    *,
    delimiter: str | None = None,
    quoted: bool = False,
    key_field: int | None = None,
    wanted: Callable[[str], bool] = lambda text: True,
) -> Canaries:
    """Make canaries out of real records, and throw their coins.

    Args:
        records: real ones, at least one; their beginnings are used.
        count: how many; fewer where single characters run out.
        seed: of everything.
        delimiter, quoted: how fields are separated; a canary has as many as its record.
        key_field: a field whose value must be the canary's own: where users are protected, a canary is a user.
        wanted: whether a text may be a canary, for example by the side of the split that it falls on.

    Example:
        >>> made = make_canaries(["a,bb", "c,dddd"], 2, seed=1, delimiter=",")
        >>> [text.count(",") for text in made.texts], [len(mark) for mark in made.marks]
        ([1, 1], [1, 1])
    """
    random = np.random.default_rng([seed, 2])
    there = set("".join(records))
    marks = [chr(point) for point in range(_FIRST, _LAST) if chr(point) not in there][:count]
    texts = []
    for mark in marks:
        while True:
            suffix = mark + "".join(LETTERS[i] for i in random.integers(0, len(LETTERS), SUFFIX_LENGTH))
            text = _planted(records[int(random.integers(len(records)))], suffix, delimiter, quoted, key_field)
            if wanted(text):
                break
        texts.append(text)
    return Canaries(tuple(texts), tuple(marks), random.random(len(texts)) < 0.5)


def _planted(record: str, suffix: str, delimiter: str | None, quoted: bool, key_field: int | None) -> str:
    if delimiter is None:
        return record[: len(record) // 2] + suffix
    fields = split_fields(record, delimiter, quoted)
    if quoted:
        fields = [quoted_field(field, delimiter) for field in fields]
        fields[-1] = ""  # its first half may open a quote
    fields[-1] = fields[-1][: len(fields[-1]) // 2] + suffix
    if key_field is not None and key_field < len(fields):
        fields[key_field] = suffix
    return delimiter.join(fields)
