"""Uniform samples of rows: exact size, the same rows whatever the units, in every format, and no row preferred."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.records.fields import FieldFormat
from linesmith.records.input.input_ranges import plan_input_units
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
from linesmith.records.input.row_sample import ALL_ROWS, RowSample, sampled_ranges
from linesmith.runners import pipeline_options
from linesmith.transforms.csv_index import with_cuts
from linesmith.transforms.find_inputs import find_inputs
from linesmith.transforms.read_records import RangeReader, ReadSettings
from linesmith.transforms.samples import find_sample as find_sample_module
from linesmith.transforms.samples.find_sample import find_sample
from linesmith.transforms.samples.places import line_places
from tests.helpers.sources import describe

pytestmark = pytest.mark.integration
ROWS = 700


def write(folder: Path, kind: str) -> list[str]:
    """Write ROWS rows as two files, and return their paths."""
    rows = [{"number": number, "text": f"row {number}"} for number in range(ROWS)]
    quoted = {7: '"row\n7"'} if kind == "csv" else {}
    for name, part in (("a", rows[:400]), ("b", rows[400:])):
        lines = [f"{row['number']},{quoted.get(row['number'], row['text'])}" for row in part]
        if kind in ("txt", "csv"):
            (folder / f"{name}.{kind}").write_text("\n".join(["number,text", *lines]) + "\n")
        elif kind == "gz":
            (folder / f"{name}.gz").write_bytes(gzip.compress("\n".join(["number,text", *lines]).encode()))
        elif kind == "jsonl":
            (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)))
        elif kind == "parquet":
            pq.write_table(pa.Table.from_pylist(part), folder / f"{name}.parquet", row_group_size=150)
        else:
            fields = [{"name": "number", "type": "long"}, {"name": "text", "type": "string"}]
            with open(folder / f"{name}.avro", "wb") as stream:
                fastavro.writer(stream, {"type": "record", "name": "row", "fields": fields}, part, sync_interval=900)
    return [str(folder / f"{name}.{kind}") for name in "ab"]


def prepared(folder: Path, kind: str, unit_bytes: int | None = None):
    """Return the units of the files, all of whose rows have a hash, and how they are read."""
    settings = {"field_delimiter": ",", "header": True} if kind in ("txt", "gz") else {"input_format": kind}
    config = TensorFlowConfig(input_data_path=write(folder, kind), **settings)
    files = find_inputs(config, folder)
    if kind == "csv":
        files = with_cuts(files, FieldFormat(",", True), unit_bytes or 1 << 22)
    units = plan_input_units(files, unit_bytes)
    table = None if kind in ("txt", "gz") else describe(config, files, units)
    read = ReadSettings(RecordFormat.from_config(config), DatasetSplitter(0, False), config.header, table=table)
    return sampled_ranges(units), read


def texts(units, read) -> list[str]:
    return [
        text
        for unit in units
        for source in unit.ranges
        for batch in RangeReader(source, read).batches()
        for text in batch["text"].to_pylist()
    ]


def below(units, limit: int):
    return sampled_ranges(units, limit)


@pytest.mark.parametrize("kind", ["txt", "gz", "csv", "jsonl", "avro", "parquet"])
def test_a_sample_has_as_many_rows_as_asked_for(kind, tmp_path):
    units, read = prepared(tmp_path, kind, 1000)
    assert len(units) > 1
    everything = texts(units, read)
    assert len(everything) == ROWS
    found = find_sample(units, 100, line_places(read), pipeline_options(()), tmp_path)
    assert (found.rows, found.of) == (100, ROWS)
    sample = texts(below(units, found.below), read)
    assert len(sample) == 100 and set(sample) < set(everything)
    # The oracle: all hashes, sorted.
    hashes = np.sort(
        np.concatenate([part.hashes(places) for unit in units for part, places in line_places(read)(unit)])
    )
    assert hashes[99] < found.below <= hashes[100]


@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl", "parquet"])
def test_units_play_no_part(kind, tmp_path):
    samples = []
    for unit_bytes in (500, 3000, None):
        units, read = prepared(tmp_path, kind, unit_bytes)
        samples.append(texts(below(units, ALL_ROWS // 5), read))
    assert samples[0] == samples[1] == samples[2]
    assert 100 < len(samples[0]) < 180


def test_what_is_left_out_is_counted_and_a_header_is_not(tmp_path):
    units, read = prepared(tmp_path, "txt", 1000)
    counts = []
    for source in (source for unit in below(units, ALL_ROWS // 7) for source in unit.ranges):
        reader = RangeReader(source, read)
        list(reader.batches())
        counts.append(reader.count)
    assert sum(count.lines for count in counts) == ROWS + 2
    assert sum(count.headers for count in counts) == 2
    assert sum(count.accepted + count.unsampled for count in counts) == ROWS


@pytest.mark.parametrize("wanted", [1, 2, ROWS - 1, ROWS, ROWS + 1])
def test_from_one_row_to_all(wanted, tmp_path):
    units, read = prepared(tmp_path, "txt")
    found = find_sample(units, wanted, line_places(read), pipeline_options(()), tmp_path)
    assert (found.rows, found.of) == (min(wanted, ROWS), ROWS)
    assert len(texts(below(units, found.below), read)) == min(wanted, ROWS)
    assert (found.below == ALL_ROWS) is (wanted >= ROWS)


def test_rows_whose_hashes_begin_alike_take_further_passes(tmp_path, monkeypatch):
    passes = []
    run = find_sample_module._count
    monkeypatch.setattr(find_sample_module, "_count", lambda *given: (passes.append(1), run(*given))[1])
    monkeypatch.setattr(RowSample, "hashes", lambda self, positions: np.fromiter(positions, np.uint64))
    units, read = prepared(tmp_path, "parquet")  # numbers of rows, of two files, are the hashes: equal but for 16 bits
    found = find_sample(units, 7, line_places(read), pipeline_options(()), tmp_path)
    assert len(passes) == 4
    assert (found.below, found.rows, found.of) == (
        4,
        8,
        ROWS,
    )  # rows 0, 1, 2, 3 of both: equal hashes are not torn apart


def test_no_place_is_preferred():
    """Rows of all tenths of several files are drawn alike; a hash that is not mixed fails the same test."""
    rows, share = 20_000, 20

    def p_value(hashes_of) -> float:
        drawn = np.zeros(40)
        for file in range(4):
            positions = np.arange(rows, dtype=np.uint64) * np.uint64(57)
            taken = hashes_of(file, positions) < np.uint64(ALL_ROWS // share)
            drawn[10 * file : 10 * file + 10] = taken.reshape(10, -1).sum(1)
        return float(stats.chisquare(drawn, np.full(40, drawn.sum() / 40)).pvalue)

    assert p_value(lambda file, positions: RowSample(file).hashes(positions)) > 1e-3
    assert p_value(lambda file, positions: positions << np.uint64(44)) < 1e-9
    several = [RowSample(file).hashes(range(1000)) for file in range(3)]
    assert len(np.unique(np.concatenate([*several, RowSample(0, part=5).hashes(range(1000))]))) == 4000


def test_one_row_and_many_have_the_same_hash():
    sample = RowSample(3, part=123, below=ALL_ROWS // 3)
    positions = [0, 1, 57, 2**40, 2**63]
    assert [sample.takes(place) for place in positions] == (sample.hashes(positions) < np.uint64(sample.below)).tolist()
