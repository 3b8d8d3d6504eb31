"""Shape of records: line ends, lines above a header, open quotes, surveys and shared-out texts, against slow oracles."""

from __future__ import annotations

import csv
import io
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.config.tokenization import unescape_delimiter
from linesmith.core.errors import ParameterError
from linesmith.records.fields import FieldFormat
from linesmith.records.input import line_scanner, record_survey
from linesmith.records.input.input_files import inspect_input_file
from linesmith.records.input.line_scanner import has_only_carriage_returns, next_line, scan_lines
from linesmith.records.input.open_quotes import closes_below
from linesmith.records.input.preamble import find_preamble
from linesmith.records.input.record_format import HOLDOUT, TRAIN, VALIDATION, DatasetSplitter, record_digest
from linesmith.records.input.record_survey import FrequentTexts, RecordSurvey, is_frequent, usual_field_count

DERANDOMISED = settings(derandomize=True, deadline=None, max_examples=300)
CSV = FieldFormat(",", quoted=True)


@DERANDOMISED
@given(st.text(alphabet="ab\r", max_size=40), st.integers(1, 9), st.integers(1, 40))
def test_ranges_of_a_file_with_carriage_returns_hold_every_line_once(text, chunk, step):
    content = text.encode()
    file = inspect_input_file("f", "f", len(content), io.BytesIO(content), "utf-8") if content else None
    newline = b"\n" if file is None else file.newline
    assert newline == (b"\r" if "\r" in text else b"\n")
    found = []
    original, line_scanner.CHUNK_BYTES = line_scanner.CHUNK_BYTES, chunk
    try:
        for start in range(0, len(content), step):
            stream, end = io.BytesIO(content), min(start + step, len(content))
            offset = 0 if start == 0 else next_line(stream, start=start, end=end, newline=newline)
            if offset is not None:
                found += scan_lines(stream, offset=offset, end=end, newline=newline, keep_bytes=1000)
    finally:
        line_scanner.CHUNK_BYTES = original
    expected = text.split("\r")
    assert [line.decode() for _, line, _ in found] == (expected if expected[-1] else expected[:-1])


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be", "utf-32-le", "cp037"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\rb", True), ("a\rb\r", True), ("a\r\nb", False), ("ab", False), ("\r" * 50 + "\n", False), ("ਊ\rഊ", True)],
)
def test_carriage_returns_end_lines_where_there_is_no_line_feed(encoding, text, expected, monkeypatch):
    if encoding in ("latin-1", "cp037"):
        text = text.replace("ਊ", "x").replace("ഊ", "y")
    monkeypatch.setattr(line_scanner, "CHUNK_BYTES", 8)
    assert has_only_carriage_returns(io.BytesIO(text.encode(encoding)), encoding) is expected


def test_the_line_feed_may_come_late():
    head = b"a\rb" * 40_000  # more than the part of a file that is inspected
    for tail, expected in ((b"", b"\r"), (b"\n", b"\n")):
        content = head + tail
        assert inspect_input_file("f", "f", len(content), io.BytesIO(content), "utf-8").newline == expected


@DERANDOMISED
@given(st.lists(st.text(alphabet='ab,"\r', max_size=6), min_size=1, max_size=4))
def test_fields_with_carriage_returns_survive_quoting(fields):
    assert CSV.split(CSV.join(fields)) == fields


@DERANDOMISED
@given(st.text(alphabet='ab,"', max_size=20))
def test_fields_beside_a_carriage_return_equal_those_of_csv(text):
    # The csv module refuses a carriage return outside quotes, so another character stands for it there.
    for at in range(len(text) + 1):
        with_return = text[:at] + "\r" + text[at:]
        expected = next(csv.reader([with_return.replace("\r", "\x01")]))
        assert CSV.split(with_return) == [field.replace("\x01", "\r") for field in expected]


@DERANDOMISED
@given(st.text(alphabet='a,"\n', max_size=30))
def test_a_line_ends_inside_quotes_where_csv_reads_on(text):
    first = text.split("\n")[0]
    rows = list(csv.reader(io.StringIO(f"{first}\nmark,er\n")))
    assert CSV.ends_inside_quotes(first) == (rows[-1] != ["mark", "er"])


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        (['end"'], True),
        (['end",5'], True),
        (["middle", "", 'the ""end""",5'], True),
        (['"', "x"], True),
        (['5,"other",6'], False),  # the quote begins a field of another record
        (['5,"",6'], False),  # an empty field
        (["plain", "plain"], False),
        ([], False),
        (["x" * 101, 'end"'], False),
    ],
)
def test_which_open_quotes_are_records_of_several_lines(below, expected):
    assert closes_below(below, ",", 100) is expected


HEADER, ROW = "a,b,c", "1,2,3"


@pytest.mark.parametrize(
    ("lines", "kinds"),
    [
        ([HEADER, ROW], ""),
        (["sep=,", HEADER, ROW], "s"),
        (['"sep=;"', HEADER], "s"),
        (["SEP=\t", HEADER], "s"),
        (["sep=\\t ", HEADER], "s"),
        (["sep=", HEADER], ""),
        (["separator=,", HEADER], ""),
        (["# a comment", HEADER, ROW], "c"),
        (["# one, two", "", "// three", HEADER, ROW], "cec"),
        (["sep=,", "% a comment", HEADER], "sc"),
        (["#a,b,c", ROW], ""),
        (["##x,y,z", "#a,b,c", ROW], "c"),
        (["", HEADER, ROW], "e"),
        (["# only", "# comments"], ""),
        ([], ""),
    ],
)
def test_lines_above_a_header(lines, kinds):
    names = {"names": "s", "a comment": "c", "empty": "e"}
    for quoted in (False, True):
        found = find_preamble(lines, FieldFormat(",", quoted), header=True)
        assert "".join(names[what if what in names else what.partition(" ")[0]] for what in found) == kinds


def test_without_a_header_or_fields_only_a_separator_line_is_skipped():
    for fields, header in ((FieldFormat(","), False), (FieldFormat(), True)):
        assert find_preamble(["# a comment", HEADER], fields, header) == ()
        assert len(find_preamble(["sep=;", "# a comment", HEADER], fields, header)) == 1


@pytest.mark.parametrize("seed", range(6))
def test_all_frequent_texts_are_candidates_however_parts_are_merged(seed, monkeypatch):
    monkeypatch.setattr(record_survey, "_KEPT", 150)
    monkeypatch.setattr(record_survey, "_MOST", 300)
    rng = random.Random(seed)
    weights = [rng.choice([1, 1, 1, 1, 30, 300]) for _ in range(3000)]
    texts = rng.choices(range(-1500, 1500), weights, k=20_000)
    parts = [RecordSurvey() for _ in range(7)]
    for start in range(0, len(texts), 500):
        some = np.array(texts[start : start + 500], np.int64)
        rng.choice(parts).add(np.ones(len(some), np.int64), some)
    rng.shuffle(parts)
    merged = RecordSurvey()
    for part in parts:
        merged.merge(RecordSurvey.from_json(part.as_json()))
    assert merged.field_counts == {1: len(texts)}
    assert len(merged.frequent.counts) <= 300
    counts = Counter(texts)
    expected = {text for text, count in counts.items() if is_frequent(count, len(texts))}
    assert expected <= merged.frequent.candidates(len(texts))
    for text, count in counts.items():  # the bounds that the exact count of candidates rests on
        assert merged.frequent.counts[text] <= count <= merged.frequent.counts[text] + merged.frequent.missed


def test_distinct_texts_have_no_candidates():
    survey = FrequentTexts()
    for start in range(0, 100_000, 2000):
        survey.add(np.arange(start, start + 2000))
    assert survey.candidates(100_000) == frozenset()
    assert survey.missed <= 100


@pytest.mark.parametrize(
    ("counts", "expected"), [({3: 99, 4: 1}, 3), ({3: 98, 4: 2}, None), ({1: 5}, 1), ({2: 1, 3: 1}, None)]
)
def test_the_usual_number_of_fields(counts, expected):
    assert usual_field_count(counts) == expected


@pytest.mark.parametrize("count", [3, 4, 10, 57, 400])
def test_occurrences_are_shared_out_evenly(count):
    splitter = DatasetSplitter(0.05, True)
    for number in range(200):
        digest = record_digest(f"text {number}".encode())
        sides = Counter(splitter.split_of_occurrence(digest, n) for n in range(count))
        assert sides[TRAIN] >= 1
        # Not one of them alone in training and holdout: a test of an evaluation would take it for a text that occurs once.
        assert sides[TRAIN] + sides[HOLDOUT] >= 2
        for side, share in ((TRAIN, 0.75), (VALIDATION, 0.2), (HOLDOUT, 0.05)):
            assert abs(sides[side] - share * count) <= 3
        assert splitter.split_of_occurrence(digest, 0) == splitter.split_of(digest)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (r"\t", "\t"),
        (r"|\t|", "|\t|"),
        (r"\t\t", "\t\t"),
        (r"\x1f", "\x1f"),
        (r"\u001E", "\x1e"),
        (r"\001", "\x01"),
        ("\t", "\t"),
        ("\\", "\\"),
        (r"\d", r"\d"),
        (r"\x5ct", r"\x5ct"),
        (r"\ud800", r"\ud800"),
        ("||", "||"),
    ],
)
def test_escapes_in_a_delimiter(typed, meant):
    assert unescape_delimiter(typed) == meant == unescape_delimiter(meant)
    config = TensorFlowConfig(field_delimiter=typed)
    assert (config.field_delimiter, config.vocab_size) == (meant, 0)
    assert config.replace(epochs=3).field_delimiter == meant


@pytest.mark.parametrize("typed", [r"\n", r"\r", "\r", ",\n"])
def test_a_delimiter_ends_no_line(typed):
    with pytest.raises(ParameterError, match="newline or a carriage return"):
        TensorFlowConfig(field_delimiter=typed)
