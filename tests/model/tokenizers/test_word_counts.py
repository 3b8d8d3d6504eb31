"""Word counting: any order, grouping and serialization gives the same result as counting everything at once."""

from __future__ import annotations

import pickle
import random
import re
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.model.tokenizers.word_counts import WordCounts, split_words
from linesmith.records.input.record_format import record_digest
from linesmith.transforms.combine_batches import count_words_fn

pytestmark = pytest.mark.integration

LINES = st.lists(st.text(alphabet="ab \t\n▁", min_size=1, max_size=12), max_size=40)


def oracle(lines: list[str], cap: int) -> tuple[int, dict[str, int]]:
    """Return the lowest level at which the distinct words fit, found by trying all levels, and its words."""
    levels = [record_digest(line.encode()).sample_level for line in lines]
    lowest = 0
    while True:
        counts: Counter[str] = Counter()
        for line, level in zip(lines, levels, strict=True):
            if level >= lowest:
                for field in re.split("[\t\n]", line.replace("▁", "\U0010fffd0")):
                    counts.update(re.findall(" [^ ]*|[^ ]+", field))
        if len(counts) <= cap or lowest >= max(levels, default=0):
            return lowest, dict(counts)
        lowest += 1


def batch(lines: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {"text": lines, "level": pa.array([record_digest(line.encode()).sample_level for line in lines], pa.int64())}
    )


def combine(lines: list[str], cap: int, shuffle: random.Random) -> WordCounts:
    """Count in random batches; serialize the accumulators and merge them in random groups."""
    combiner = count_words_fn(cap)
    lines = shuffle.sample(lines, len(lines))
    accumulators = [combiner.create_accumulator()]
    while lines:
        size = shuffle.randint(1, 5)
        target = shuffle.randrange(len(accumulators))
        accumulators[target] = combiner.add_input(accumulators[target], batch(lines[:size]))
        lines = lines[size:]
        if shuffle.random() < 0.5:
            accumulators.append(combiner.create_accumulator())
    while len(accumulators) > 1:
        shuffle.shuffle(accumulators)
        size = shuffle.randint(2, len(accumulators))
        group = (pickle.loads(pickle.dumps(one)) for one in accumulators[:size])
        accumulators = [combiner.merge_accumulators(group), *accumulators[size:]]
    return combiner.extract_output(accumulators[0])


@settings(derandomize=True, deadline=None, max_examples=150)
@given(LINES, st.sampled_from([1, 2, 5, 10, 1000]), st.integers(0, 2**32))
def test_any_grouping_equals_brute_force(lines, cap, seed):
    result = combine(lines, cap, random.Random(seed))
    lowest, counts = oracle(lines, cap)
    assert dict(result.sorted_counts()) == counts
    assert result.min_level == lowest


def test_empty_input_has_no_words():
    combiner = count_words_fn(3)
    assert combiner.extract_output(combiner.merge_accumulators([])).sorted_counts() == []
    assert combiner.extract_output(combiner.create_accumulator()).sorted_counts() == []


def test_the_sample_is_bounded_and_about_uniform():
    lines = [f"word{number} common" for number in range(20_000)]
    counts = WordCounts(1000)
    for start in range(0, len(lines), 500):
        counts.add_lines((record_digest(line.encode()).sample_level, line) for line in lines[start : start + 500])
        assert len(counts._level_counts) <= 1000
    total = dict(counts.sorted_counts())
    assert counts.min_level >= 5  # 2^-5 of 20,000 words is 625
    assert total[" common"] == len(total) - 1
    # Words are numbered; a uniform sample's mean is the middle, within five standard errors.
    numbers = [int(word[4:]) for word in total if word != " common"]
    assert abs(sum(numbers) / len(numbers) - 10_000) < 5 * 20_000 / (12 * len(numbers)) ** 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [("", []), ("a  b", ["a", " ", " b"]), ("\ta\t", ["a"]), ("a\nb ", ["a", "b", " "]), ("a\r b", ["a\r", " b"])],
)
def test_words(text, words):
    assert split_words(text) == words


@settings(derandomize=True, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\n\t")))
def test_words_joined_are_the_escaped_text(text):
    assert "".join(split_words(text)) == text.replace("\U0010fffd", "\U0010fffd1").replace("▁", "\U0010fffd0")
