"""Which earlier fields tell the most about a field: against a slow computation, on planted tables, and from samples."""

from __future__ import annotations

import functools
import math
import operator
from collections import Counter

import numpy as np
import pytest

from linesmith.records.fields import DELIMITER_ID
from linesmith.records.input import record_sample
from linesmith.records.input.aligned_information import _information, _token_table, informative_parents
from linesmith.records.input.record_sample import RecordSample

FIRST = 2  # id of the digit 0


def encode(*texts: str) -> np.ndarray:
    """Return the ids of a record of digits, as a sample holds them."""
    ids: list[int] = []
    for number, text in enumerate(texts):
        ids += [DELIMITER_ID] * (number > 0) + [FIRST + int(digit) for digit in text]
    return np.array(ids, np.int32)


def slow_information(records: list[list[str]], field: int, parent: int) -> float:
    """Return the nats per record that one field tells about another, from texts, by the definition; 0 for chance."""
    told, freedom = 0.0, 0
    for offset in range(16):
        written, shown = [], []
        for record in records:
            text, other = record[field], record[parent]
            if offset <= len(text):
                token = other[offset] if offset < len(other) else "end" if offset == len(other) else "past"
                shown.append((token, len(other) >= offset and other[:offset] == text[:offset]))
                written.append(text[offset] if offset < len(text) else "end")
        if len(written) < 20:
            break
        told += len(written) * (slow_mutual(written, shown) - slow_mutual(written, [shown[-1], *shown[:-1]]))
        freedom += (len(set(written)) - 1) * (len(set(shown)) - 1)
    return told / len(records) if told > 4 * math.sqrt(freedom) else 0.0


def slow_mutual(left: list, right: list) -> float:
    joint, lefts, rights = Counter(zip(left, right, strict=True)), Counter(left), Counter(right)
    return sum(n / len(left) * math.log(n * len(left) / (lefts[a] * rights[b])) for (a, b), n in joint.items())


def table(count: int, seed: int = 0) -> list[list[str]]:
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        a = str(random.integers(1, 10 ** int(random.integers(1, 5))))
        b = str(int(a) + int(random.integers(0, 3))) if number % 3 else ""
        found.append([a, b, str(random.integers(0, 100)), b[::-1], "7"])
    return found


def test_information_is_that_of_the_definition() -> None:
    records = table(300)
    found = _information(_token_table([encode(*record) for record in records]))
    for field in range(5):
        for parent in range(field):
            assert found[field][parent] == pytest.approx(slow_information(records, field, parent), abs=1e-9)


def test_what_tells_nothing_is_no_parent() -> None:
    parents = informative_parents([encode(*record) for record in table(1_000)])
    assert parents[0] == [] and parents[1] == [0]
    assert parents[3][0] == 1 and 2 not in parents[3]  # the reverse of field 1, which is near field 0
    assert parents[4] == []  # always the same
    assert informative_parents([encode("1", "1")] * 5) == []


def wide_records(count: int) -> list[list[str]]:
    """Return records of 40 columns in which column 35 copies column 2, and the others are independent."""
    random = np.random.default_rng(1)
    found = [[str(number) for number in row] for row in random.integers(0, 10_000, (count, 40))]
    for record in found:
        record[35] = record[2]
    return found


def sample_of(records: list[np.ndarray], hashes: np.ndarray, parts: int = 1) -> RecordSample:
    merged = RecordSample(FIRST)
    for numbers in np.array_split(np.arange(len(records)), parts):
        part = RecordSample(FIRST)
        for half in np.array_split(numbers, 2):
            ids = [np.array([0, *records[n], 0]) for n in half]
            lengths = np.array([len(record) for record in ids], np.int64)
            part.add(hashes[half], np.concatenate([*ids, np.zeros(0, np.int64)]).astype(np.int64), lengths)
        merged.merge(part)
    return merged


def test_a_planted_copy_is_found_far_away() -> None:
    records = [encode(*record) for record in wide_records(400)]
    hashes = np.random.default_rng(2).integers(-(1 << 63), 1 << 63, len(records))
    parents = informative_parents(sample_of(records, hashes).records())
    assert parents[35] == [2]
    assert [parents[n] for n in range(40) if n != 35] == [[]] * 39


@pytest.mark.parametrize(("most_records", "most_tokens"), [(50, 1 << 20), (2_000, 3_000)])
def test_a_sample_does_not_depend_on_how_records_are_divided(monkeypatch, most_records: int, most_tokens: int) -> None:
    monkeypatch.setattr(record_sample, "_MOST_RECORDS", most_records)
    monkeypatch.setattr(record_sample, "_MOST_TOKENS", most_tokens)
    random = np.random.default_rng(3)
    records = [encode(*record[: 33 + number % 7]) for number, record in enumerate(wide_records(300))]
    hashes = random.integers(-(1 << 63), 1 << 63, len(records))
    records, hashes = [*records, *records[:40]], np.concatenate([hashes, hashes[:40]])  # texts that occur twice
    expected = [record.tolist() for record in sample_of(records, hashes).records()]
    order = np.argsort(hashes.view(np.uint64), kind="stable")
    slow, tokens = [], 0
    for number in dict.fromkeys(order.tolist()):
        text = records[number].tolist()
        if text in slow:
            continue
        tokens += len(text)
        if len(slow) == most_records or tokens > most_tokens:
            break
        slow.append(text)
    assert 10 < len(expected) <= most_records and expected == slow
    for parts in (2, 7, 40):
        mixed = random.permutation(len(records))
        found = sample_of([records[n] for n in mixed], hashes[mixed], parts)
        assert [record.tolist() for record in found.records()] == expected


def test_a_sample_keeps_the_beginnings_of_wide_records_only() -> None:
    sample = RecordSample(4)  # ids 2 and 3 mark columns
    wide = [
        0,
        *functools.reduce(
            operator.iadd, ([2 + n % 2, *range(4, 4 + (30 if n == 1 else n % 3)), 1] for n in range(300)), []
        ),
        0,
    ]
    narrow = [0, *[4, 1] * 31, 4, 0]
    sample.add(np.array([5, 6]), np.array([*wide, *narrow]), np.array([len(wide), len(narrow)]))
    (found,) = sample.records()
    assert np.count_nonzero(found == DELIMITER_ID) == 255 and not np.isin(found, [0, 2, 3]).any()
    fields = "".join("," if token == DELIMITER_ID else chr(97 + token - 4) for token in found).split(",")
    assert fields[:4] == ["", "abcdefghijklmnop", "ab", ""]
