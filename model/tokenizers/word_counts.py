"""Count the words of a corpus in bounded memory, as input for training SentencePiece.

A word is an optional leading space followed by other characters, so that the words of a field, joined, are the field. When
there are more distinct words than the cap, lines are sampled: a line's level is a function of its text's hash, a share 2^-k
of the lines has level k or more, and only the lines at or above the lowest level that fits are counted. The result depends on
the set of lines alone, not on the order or grouping in which they arrive, and is exact if the cap is not reached.
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
    r"""Return the escaped words of a text in which field breaks stand for delimiters.

    Example:
        >>> split_words("ab  c\nd e\t")
        ['ab', ' ', ' c', 'd', ' e']
    """
    return _WORD.findall(escape(text))


class WordCounts:
    """Mergeable, serializable counter of words; keeps at most `cap` distinct words, unless all are at one level.

    Args:
        cap: most distinct words to keep.

    Attributes:
        min_level: lines below this level are not counted; 0: all lines are counted.
    """

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.min_level = 0
        self._counts_by_level: dict[int, Counter[str]] = {}
        self._level_counts: Counter[str] = Counter()  # number of levels in which each word occurs

    def __getstate__(self) -> tuple[int, int, dict[int, dict[str, int]]]:
        return self.cap, self.min_level, {level: dict(words) for level, words in self._counts_by_level.items()}

    def __setstate__(self, state: tuple[int, int, Mapping[int, Mapping[str, int]]]) -> None:
        self.cap, self.min_level = state[:2]
        self._counts_by_level, self._level_counts = {}, Counter()
        for level, words in state[2].items():
            self._add(level, words)

    def add_lines(self, lines: Iterable[tuple[int, str]]) -> None:
        """Count the words of lines, each a pair of its level and its text with field breaks."""
        grouped: dict[int, list[str]] = {}
        for level, text in lines:
            if level >= self.min_level:
                grouped.setdefault(level, []).append(text)
        for level, texts in grouped.items():
            self._add(level, Counter(split_words(FIELD_BREAK.join(texts))))
        self._shrink()

    def merge(self, other: WordCounts) -> None:
        """Add the counts of another part of the corpus, counted with the same cap."""
        self.min_level = max(self.min_level, other.min_level)
        for level, words in other._counts_by_level.items():
            self._add(level, words)
        self._shrink()

    def sorted_counts(self) -> list[tuple[str, int]]:
        """Return words with their counts, most frequent first, ties in code-point order: the same for any input order."""
        counts: Counter[str] = Counter()
        for words in self._counts_by_level.values():
            counts.update(words)
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))

    def _add(self, level: int, words: Mapping[str, int]) -> None:
        known = self._counts_by_level.setdefault(level, Counter())
        self._level_counts.update(word for word in words if word not in known)
        known.update(words)

    def _shrink(self) -> None:
        # Never drop the last level: a single line with more words than the cap is still counted.
        self._drop_below(self.min_level)
        while len(self._level_counts) > self.cap and self.min_level < max(self._counts_by_level, default=0):
            self.min_level += 1
            self._drop_below(self.min_level)

    def _drop_below(self, min_level: int) -> None:
        for level in [level for level in self._counts_by_level if level < min_level]:
            for word in self._counts_by_level.pop(level):
                self._level_counts[word] -= 1
                if not self._level_counts[word]:
                    del self._level_counts[word]
