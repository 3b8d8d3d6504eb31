"""Word counts of a corpus in bounded memory: what SentencePiece is trained on.

A word is a space-led run of other characters, so that the words of a field, joined, are the field. When there are more
distinct words than the cap, lines are sampled: a line's level is a function of its text's hash, a share 2^-k of the lines
has level k or more, and the counts keep only the lines at or above the lowest level that fits. The result depends on the
set of lines alone, not on the order or grouping in which they arrive, and is exact while the cap is not reached.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from linesmith.model.tokenizers.escape import escape
from linesmith.records.fields import FIELD_BREAK

# Tabs separate words from counts in the trainer's input, and stand for themselves in its model.
_WORD = re.compile(rf" [^ \t{FIELD_BREAK}]*|[^ \t{FIELD_BREAK}]+")


def split_words(text: str) -> list[str]:
    r"""The escaped words of a text in which field breaks stand for delimiters.

    Example:
        >>> split_words("ab  c\nd e\t")
        ['ab', ' ', ' c', 'd', ' e']
    """
    return _WORD.findall(escape(text))


class WordCounts:
    """A mergeable, serialisable count of words, at most `cap` distinct ones after every operation.

    Attributes:
        lowest: lines below this level are left out; 0: nothing was.
    """

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.lowest = 0
        self._levels: dict[int, Counter[str]] = {}
        self._seen: Counter[str] = Counter()  # in how many levels a word occurs

    def __getstate__(self) -> tuple[int, int, dict[int, dict[str, int]]]:
        return self.cap, self.lowest, {level: dict(words) for level, words in self._levels.items()}

    def __setstate__(self, state: tuple[int, int, Mapping[int, Mapping[str, int]]]) -> None:
        self.cap, self.lowest = state[:2]
        self._levels, self._seen = {}, Counter()
        for level, words in state[2].items():
            self._add(level, words)

    def add_lines(self, lines: Iterable[tuple[int, str]]) -> None:
        """Count the words of (level, text with field breaks) lines."""
        grouped: dict[int, list[str]] = {}
        for level, text in lines:
            if level >= self.lowest:
                grouped.setdefault(level, []).append(text)
        for level, texts in grouped.items():
            self._add(level, Counter(split_words(FIELD_BREAK.join(texts))))
        self._shrink()

    def merge(self, other: WordCounts) -> None:
        """Add the counts of another part of the corpus, counted with the same cap."""
        self.lowest = max(self.lowest, other.lowest)
        for level, words in other._levels.items():
            self._add(level, words)
        self._shrink()

    def total(self) -> list[tuple[str, int]]:
        """Words with their counts, most frequent first, ties in code-point order: one list whatever the input order."""
        counts: Counter[str] = Counter()
        for words in self._levels.values():
            counts.update(words)
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))

    def _add(self, level: int, words: Mapping[str, int]) -> None:
        known = self._levels.setdefault(level, Counter())
        self._seen.update(word for word in words if word not in known)
        known.update(words)

    def _shrink(self) -> None:
        # Never drops the last level: one line with more words than the cap is still counted.
        self._drop_below(self.lowest)
        while len(self._seen) > self.cap and self.lowest < max(self._levels, default=0):
            self.lowest += 1
            self._drop_below(self.lowest)

    def _drop_below(self, lowest: int) -> None:
        for level in [level for level in self._levels if level < lowest]:
            for word in self._levels.pop(level):
                self._seen[word] -= 1
                if not self._seen[word]:
                    del self._seen[word]
