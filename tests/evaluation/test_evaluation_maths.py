"""Distances, samples and searches, compared with slow and simple oracles and with other libraries."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from linesmith.evaluation import distances
from linesmith.evaluation import near_duplicates as near
from linesmith.evaluation.columns import KINDS, FieldColumn, RecordColumns
from linesmith.evaluation.hashing import hash_strings
from linesmith.evaluation.identifiers import find_identifiers
from linesmith.evaluation.schema import COARSE_CODES
from linesmith.evaluation.sketches import BottomKSample, FrequentItems, QuantileSketch
from tests.helpers.evaluation_sets import collect_evaluation_data_in_memory, people, shuffled_columns

settings.register_profile("evaluation", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("evaluation")


def sketch(values) -> QuantileSketch:
    quantiles = QuantileSketch()
    quantiles.add(np.asarray(values, np.float64))
    return quantiles


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=80), st.lists(st.integers(-20, 20), min_size=1, max_size=80))
def test_distances_of_numbers_equal_scipy(left, right):
    one, other = sketch(left), sketch(right)
    assert distances.kolmogorov_smirnov(one, other) == pytest.approx(
        stats.ks_2samp(left, right, method="asymp").statistic
    )
    assert distances.wasserstein(one, other) == pytest.approx(stats.wasserstein_distance(left, right))


def test_large_sketches_stay_within_their_error():
    random = np.random.default_rng(0)
    left, right = random.normal(0, 1, 200_000), random.normal(0.2, 1.1, 200_000)
    exact = stats.ks_2samp(left, right, method="asymp").statistic
    assert distances.kolmogorov_smirnov(sketch(left), sketch(right)) == pytest.approx(exact, abs=0.004)
    assert distances.wasserstein(sketch(left), sketch(right)) == pytest.approx(
        stats.wasserstein_distance(left, right), rel=0.05
    )


def test_without_values_a_distance_is_none_and_not_zero():
    assert distances.kolmogorov_smirnov(sketch([]), sketch([1])) is None
    assert distances.wasserstein(sketch([1]), sketch([])) is None
    assert distances.total_variation(np.zeros(3, int), np.ones(3, int)) is None
    assert distances.cramers_v(np.array([[5, 5]])) is None
    assert distances.rank_correlation(np.zeros((4, 4), int)) is None


def test_infinite_and_missing_numbers_are_left_out():
    assert sketch([1.0, math.inf, math.nan]).count == 1


def test_association_equals_scipy_except_for_the_correction():
    random = np.random.default_rng(1)
    table = random.integers(200, 900, (4, 5))
    plain = stats.contingency.association(table, "cramer")
    assert distances.cramers_v(table) == pytest.approx(plain, abs=0.02)
    assert distances.cramers_v(table) < plain
    independent = random.multinomial(500, np.full(64, 1 / 64)).reshape(8, 8)
    assert distances.cramers_v(independent) < 0.06 < stats.contingency.association(independent, "cramer")


def test_rank_correlation_equals_spearman():
    random = np.random.default_rng(2)
    x = random.integers(1, COARSE_CODES, 500)
    y = np.clip(x + random.integers(-3, 4, 500), 1, COARSE_CODES - 1)
    table = np.zeros((COARSE_CODES, COARSE_CODES), int)
    np.add.at(table, (x, y), 1)
    assert distances.rank_correlation(table) == pytest.approx(stats.spearmanr(x, y).statistic)


def mix(word: int) -> int:
    """Compute a step of SplitMix64 (Steele, Lea and Flood 2014) in Python's integers."""
    word = (word + 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
    return word ^ word >> 31


@given(st.lists(st.text(max_size=8), max_size=10))
def test_vectorized_hashes_equal_hashes_of_single_strings(texts):
    def slow(word: str) -> int:
        content = word.encode()
        total = sum(mix(byte + 256 * position) for position, byte in enumerate(content))
        return mix(total + mix(len(content) + (7 << 32)))

    assert hash_strings(pa.array(texts, pa.string()), 7).tolist() == [slow(word) for word in texts]


def test_many_strings_do_not_collide():
    words = [f"{a}.{b}" for a in range(300) for b in range(300)]
    assert len(set(hash_strings(pa.array(words)).tolist())) == len(words)


@given(
    st.lists(st.lists(st.integers(0, 30), max_size=40), max_size=6),
    st.integers(1, 8),
    st.randoms(use_true_random=False),
)
def test_a_sample_does_not_depend_on_batches(batches, size, random):
    parts = []
    for batch in batches:
        part = BottomKSample(size)
        part.add(np.array(batch, np.uint64), lambda i, batch=batch: f"item {batch[i]}")
        parts.append(part)
    random.shuffle(parts)
    while len(parts) > 1:
        one = parts.pop(random.randrange(len(parts)))
        parts[random.randrange(len(parts))].merge(one)
    merged = BottomKSample(size)
    for part in parts:
        merged.merge(part)
    counts = Counter(item for batch in batches for item in batch)
    assert merged.items() == [(key, f"item {key}", counts[key]) for key in sorted(counts)[:size]]
    assert merged.complete == (len(counts) <= size)


def test_frequent_values_report_whether_they_are_exact():
    few, many = FrequentItems(), FrequentItems()
    few.add(["a", "b"], [3, 1])
    many.add([str(n) for n in range(20_000)], [1] * 20_000)
    assert few.exact and not many.exact
    assert few.top(1) == [("a", 3)]


def test_kinds_and_numbers_of_values():
    values = [
        "",
        "7",
        "+7",
        "-0.5",
        "1e3",
        ".5",
        "1.",
        "2020-02-29",
        "2021-02-29",
        "2020-01-01T10:00Z",
        "x",
        "1,5",
        "9" * 30,
        "٣",
    ]
    column = FieldColumn(pa.array(values))
    kinds = [KINDS[kind] for kind in column.kinds]
    assert kinds == ["empty", "integer", "integer", *["decimal"] * 4, "time", "text", "time", *["text"] * 4]
    assert column.numbers[:7].tolist()[1:] == [7, 7, -0.5, 1000, 0.5, 1]
    assert column.numbers[9] == 1577872800


def test_ragged_records_keep_their_columns():
    columns = RecordColumns(pa.array(["a\nb", "c", "\n\nd"]))
    assert columns.field_counts.tolist() == [2, 1, 3]
    assert columns.column(1).values.to_pylist() == ["b", ""]
    assert columns.rows_with(1).tolist() == [0, 2]


def test_identifiers_are_found_and_measurements_are_not():
    texts = [
        "call +49 (30) 123-4567",
        "a@b.co x",
        "see https://x.org/a?b=1",
        "41.1234567",
        "2020-01-02 10:11:12",
        "123456",
    ]
    found, kinds, rows = find_identifiers(pa.array(texts))
    assert found == ["+49 (30) 123-4567", "a@b.co", "https://x.org/a?b=1"]
    assert kinds == ["long number", "e-mail", "web address"]
    assert rows == [0, 1, 2]


@given(st.lists(st.text("abc", max_size=40), max_size=6), st.lists(st.text("abc", max_size=40), max_size=6))
def test_longest_runs_equal_brute_force(mine, theirs):
    def slow(text: str) -> int:
        runs = [
            n for n in near.RUN_LENGTHS if any(text[i : i + n] in t for t in theirs for i in range(len(text) - n + 1))
        ]
        return max(runs, default=0)

    assert near.longest_shared_runs(mine, theirs).tolist() == [slow(text) for text in mine]


def test_near_copies_equal_brute_force():
    random = np.random.default_rng(3)
    records, synthetic = people(150, 1), people(150, 2)
    for number in range(0, 150, 3):  # some are copies with up to three characters changed
        letters = list(records[number])
        for at in random.integers(0, len(letters), random.integers(0, 4)):
            letters[at] = "#"
        synthetic[number] = "".join(letters)

    def similarity(left: str, right: str) -> float:
        one, other = near.character_ngrams(left), near.character_ngrams(right)
        return len(one & other) / len(one | other)

    best = [max(similarity(record, other) for other in synthetic) for record in records]
    found = near.find_near_duplicates(records, synthetic)
    for value, reported in zip(best, found, strict=True):
        assert value >= near.MIN_SIMILARITY or not reported  # every reported near copy really is one
    sure = [reported for value, reported in zip(best, found, strict=True) if value >= near.MIN_SIMILARITY]
    assert len(sure) > 20
    assert np.mean(sure) > 0.9


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["as real", "shuffled"])
def test_sdmetrics_quality_report_agrees(kind):
    """Compare SDMetrics' column shapes and pair trends with ours on the same records; ours bin numbers into ten other ranges."""
    sdmetrics = pytest.importorskip("sdmetrics.reports.single_table")
    import pandas

    from linesmith.evaluation.closeness import association_distance, compare_fields, compare_pairs

    real, fresh = people(3000, 1), people(3000, 2)
    made = fresh if kind == "as real" else shuffled_columns(fresh, 3)
    kinds = {"city": "categorical", "lat": "numerical", "lon": "numerical", "age": "numerical"}
    frames = []
    for records in (real, made):
        rows = [record.split("\n") for record in records]
        frame = pandas.DataFrame({"city": [r[0] for r in rows]})
        for name, at in (("lat", 1), ("lon", 2), ("age", 4)):
            frame[name] = [float(row[at]) for row in rows]
        frames.append(frame)
    report = sdmetrics.QualityReport()
    report.generate(*frames, {"columns": {n: {"sdtype": k} for n, k in kinds.items()}}, verbose=False)
    shapes = report.get_details("Column Shapes").set_index("Column")["Score"]
    data = collect_evaluation_data_in_memory({"training": real, "synthetic": made})
    ours = {one["name"]: 1 - one["distance"]["synthetic"] for one in compare_fields(data)}
    for name in kinds:
        assert ours[name] == pytest.approx(shapes[name], abs=0.005)
    trends = report.get_properties().set_index("Property")["Score"]["Column Pair Trends"]
    pairs = [pair for pair in compare_pairs(data) if set(pair["fields"]) <= set(kinds)]
    ours_lost = association_distance(pairs, "synthetic")
    assert (ours_lost < 0.06 and trends > 0.9) if kind == "as real" else (ours_lost > 0.9 and trends < 0.75)
