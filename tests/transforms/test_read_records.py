"""Reading records by ranges: number of fields, open quotes across cuts, and texts whose occurrences are shared out."""

from __future__ import annotations

import csv
import io
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.pipelines.tokenize.counts import check_counts
from linesmith.pipelines.tokenize.shape import share_out_frequent_texts
from linesmith.records.input.input_ranges import plan_input_units
from linesmith.records.input.record_format import TRAIN, DatasetSplitter, RecordFormat, record_digest
from linesmith.transforms.find_inputs import find_inputs
from linesmith.transforms.read_records import RangeReader, ReadSettings

pytestmark = pytest.mark.integration


def read(units, reading, rejects=None):
    """Return (text, split) of all records, and the counts of all ranges."""
    rows, counts = [], []
    for source in (source for unit in units for source in unit.ranges):
        reader = RangeReader(source, reading, None if rejects is None else rejects.append)
        for batch in reader.batches():
            rows += zip(batch["text"].to_pylist(), batch["split"].to_pylist(), strict=True)
        counts.append(reader.count)
    return rows, counts


def prepared(path: Path, content: bytes, unit_bytes: int, field_count=None, frequent=(), **options):
    path.write_bytes(content)
    config = TensorFlowConfig(input_data_path=str(path), **options)
    units = plan_input_units(find_inputs(config, path.parent), unit_bytes)
    splitter = DatasetSplitter(0.05, True)
    return units, ReadSettings(
        RecordFormat.from_config(config), splitter, config.header, field_count, frozenset(frequent)
    )


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.lists(st.lists(st.sampled_from(["a", "bc", "d\r", ""]), min_size=1, max_size=3), min_size=1, max_size=12),
    st.sampled_from(["\n", "\r\n", "\r", "\r\r\n"]),
    st.integers(1, 25),
)
def test_every_cut_gives_the_same_records(tmp_path_factory, rows, end, unit_bytes):
    fields = RecordFormat.from_config(TensorFlowConfig(field_delimiter=",", quoted=True)).fields
    if end == "\r":  # where there is no line feed, each carriage return ends a line
        rows = [[field.replace("\r", "") for field in row] for row in rows]
    # The last field has a fixed text, so that no record is empty or ends with a carriage return.
    lines = [fields.join([*row, "z"]) for row in rows]
    path = tmp_path_factory.mktemp("cut") / "input.csv"
    units, reading = prepared(
        path, "".join(line + end for line in lines).encode(), unit_bytes, 3, field_delimiter=",", quoted=True
    )
    rejects = []
    found, counts = read(units, reading, rejects)
    expected = [row for row in rows if len(row) == 2]
    assert [fields.split(text.replace("\n", ",")) for text, _ in found] == [[*row, "z"] for row in expected]
    assert [row["reason"] for row in rejects] == ["field_count"] * (len(rows) - len(expected))
    assert sum(count.lines for count in counts) == len(rows)


@pytest.mark.parametrize("unit_bytes", [7, 16, 40, 1000])
def test_a_record_of_several_lines_is_found_across_cuts(unit_bytes, tmp_path):
    before, after = "".join(f'{n},"b{n}"\n' for n in range(9)), "".join(f"{n},c\n" for n in range(9))
    content = f'sep=,\nname,value\n{before}7,"first\n\nlast"\n{after}'.encode()
    units, reading = prepared(
        tmp_path / "input.csv", content, unit_bytes, field_delimiter=",", quoted=True, header=True
    )
    _, counts = read(units, reading)
    with pytest.raises(DataError, match=r"LS231: --quoted: line 12 of '.*input\.csv'"):
        check_counts(counts, 1.0)


@pytest.mark.parametrize("unit_bytes", [7, 16, 40, 1000])
@pytest.mark.parametrize("packed", [False, True])
def test_a_quote_too_many_costs_one_line(unit_bytes, packed, tmp_path):
    import gzip

    content = "".join(f'{n},"{"b" if n in (3, 17) else f"b{chr(34)}"}\n' for n in range(20)).encode()
    units, reading = prepared(
        tmp_path / "input", gzip.compress(content) if packed else content, unit_bytes, field_delimiter=",", quoted=True
    )
    rejects = []
    found, counts = read(units, reading, rejects)
    assert [row["reason"] for row in rejects] == ["open_quote"] * 2
    assert [text.split("\n")[0] for text, _ in found] == [str(n) for n in range(20) if n not in (3, 17)]
    assert not any(count.spanning for count in counts)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.lists(st.lists(st.text(alphabet='a,"\n', max_size=6), min_size=2, max_size=3), min_size=1, max_size=8),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(3, 30),
)
def test_records_of_several_lines_that_csv_writes_are_found(tmp_path_factory, rows, end, unit_bytes):
    path, content = tmp_path_factory.mktemp("csv") / "input.csv", io.StringIO()
    csv.writer(content, lineterminator=end).writerows(rows)
    units, reading = prepared(path, content.getvalue().encode(), unit_bytes, field_delimiter=",", quoted=True)
    found, counts = read(units, reading)
    if any("\n" in field for row in rows for field in row):
        with pytest.raises(DataError, match="LS231"):
            check_counts(counts, 1.0)
    else:
        check_counts(counts, 1.0)
        assert [reading.records.fields.split(text.replace("\n", ",")) for text, _ in found] == rows


def shared(path: Path, lines: list[str], unit_bytes: int):
    frequent = {record_digest(line.encode()).text_hash for line in lines}
    units, reading = prepared(path, "".join(f"{line}\n" for line in lines).encode(), unit_bytes, frequent=frequent)
    _, counts = read(units, reading)
    notices: list[str] = []
    units, reading = share_out_frequent_texts(units, counts, reading, notices)
    return read(units, reading)[0], reading, notices


def test_the_shares_of_frequent_texts_depend_on_the_multiset_of_lines_only(tmp_path):
    rng = random.Random(3)
    lines = (
        [rng.choice(["left", "right", "up"]) for _ in range(400)] + [f"once {n}" for n in range(100)] + ["twice"] * 2
    )
    expected = None
    for unit_bytes in (10, 333, 1 << 20):
        rng.shuffle(lines)
        rows, reading, notices = shared(tmp_path / "input.txt", lines, unit_bytes)
        assert expected in (None, Counter(rows))
        expected = Counter(rows)
        assert len(reading.frequent) == 3
        assert notices[0].startswith("3 texts make up more than 1 % of the 502 records each (400 together)")
    counts = Counter(lines)
    for text in ("left", "right", "up"):
        assert abs(expected[text, TRAIN] - 0.75 * counts[text]) <= 3
        assert expected[text, 1] and expected[text, 2]
    for text in ("once 1", "twice"):  # all occurrences of other texts stay on the side of their content
        side = DatasetSplitter(0.05, True).split_of(record_digest(text.encode()))
        assert expected[text, side] == counts[text]


def test_no_frequent_texts_change_nothing(tmp_path):
    lines = [f"line {n // 2}" for n in range(60)]
    rows, reading, notices = shared(tmp_path / "input.txt", lines, 50)
    assert (reading.frequent, notices) == (frozenset(), [])
    splitter = DatasetSplitter(0.05, True)
    assert rows == [(line, splitter.split_of(record_digest(line.encode()))) for line in lines]
