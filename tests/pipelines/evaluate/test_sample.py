"""A sample of the output instead of all of it: of exact size in each format, equal to an output of these records, and said so."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linesmith.cli.app import run_command_line
from linesmith.pipelines.evaluate.input_units import TextFormat
from linesmith.pipelines.evaluate.sample import sample_synthetic
from linesmith.pipelines.evaluate.sets import find_evaluation_sets
from linesmith.records.fields import FieldFormat
from linesmith.records.input.row_sample import RowSample
from linesmith.runners import pipeline_options
from linesmith.transforms.read_evaluation_sets import read_set_unit
from tests.helpers.evaluation_sets import NAMES, people

pytestmark = pytest.mark.integration
HEAD = ",".join(NAMES)


def write(path: Path, records: list[str]) -> str:
    """Write records in the format of the file's suffix."""
    rows = [dict(zip(NAMES, record.split("\n"), strict=True)) for record in records]
    if path.suffix == ".csv":
        path.write_text("\n".join([HEAD, *(",".join(row.values()) for row in rows)]) + "\n")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=100)
    else:
        fields = [{"name": name, "type": "string"} for name in NAMES]
        with open(path, "wb") as stream:
            fastavro.writer(stream, {"type": "record", "name": "row", "fields": fields}, rows, sync_interval=2000)
    return str(path)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "avro", "parquet"])
def test_a_sample_of_exact_size_in_each_format(suffix, tmp_path):
    records = people(600, 3)
    synthetic = [write(tmp_path / f"{n}.{suffix}", records[n * 300 : n * 300 + 300]) for n in range(2)]
    paths = {"training": [write(tmp_path / "real.csv", people(300, 1))], "synthetic": synthetic}
    sets = find_evaluation_sets(paths, TextFormat(FieldFormat(",")), tmp_path / "scratch")

    def texts(name: str) -> list[str]:
        units = [unit for unit in sets.units if unit.set_name == name]
        return [text for unit in units for _, (_, batch) in read_set_unit(unit) for text in batch.to_pylist()]

    before = texts("synthetic")
    assert len(before) == 600
    assert sample_synthetic(sets, 600, pipeline_options(()), tmp_path) is None
    found = sample_synthetic(sets, 150, pipeline_options(()), tmp_path)
    assert (found.rows, found.of) == (150, 600)
    after = texts("synthetic")
    assert len(after) == 150 and set(after) < set(before)
    assert 40 < len(set(after) & set(before[:300])) < 110
    assert len(texts("training")) == 300


@pytest.mark.slow
def test_the_report_is_that_of_an_output_of_these_records_and_says_what_it_is(tmp_path, capsys):
    records = people(3000, 3)
    paths = {name: write(tmp_path / f"{name}.csv", people(800, seed)) for name, seed in (("real", 1), ("holdout", 2))}
    everything = write(tmp_path / "all.csv", records)
    lines = [line + "\n" for line in Path(everything).read_text().splitlines()]
    places = list(itertools.accumulate(map(len, lines)))[:-1]
    hashes = RowSample(0).hashes(places).tolist()
    kept = [record for record, found in zip(records, hashes, strict=True) if found <= sorted(hashes)[699]]
    bodies = []
    for out, synthetic, more in (
        ("a", everything, ["--sample-rows", "700"]),
        ("b", write(tmp_path / "some.csv", kept), []),
    ):
        command = ["evaluate", "--real", paths["real"], "--holdout", paths["holdout"], "--synthetic", synthetic]
        assert run_command_line([*command, "--field-delimiter", ",", "--output", str(tmp_path / out), *more]) == 0
        bodies.append(json.loads((tmp_path / out / "report" / "report.json").read_text()))
        said = capsys.readouterr().out
        assert ("sample of 700 of 3,000" in " ".join(said.split())) is bool(more)
    sampled, alone = bodies
    assert sampled["sets"]["synthetic"] == {**alone["sets"]["synthetic"], "sample_of": 3000}
    assert sampled["closeness"]["fields"] == alone["closeness"]["fields"]
    assert sampled["closeness"]["validity"] == alone["closeness"]["validity"]
    assert sampled["safety"]["tests"] == alone["safety"]["tests"]
    assert any("700 of 3,000" in sentence for sentence in sampled["not_covered"])
    assert "700 of 3,000" in sampled["verdict"]["privacy_reasons"][-1]
    assert "a uniform sample of 3,000" in (tmp_path / "a" / "report" / "index.html").read_text("utf-8")


def test_a_sample_of_nothing_is_refused(tmp_path, capsys):
    command = ["evaluate", "--real", "r", "--synthetic", "s", "--output", str(tmp_path), "--sample-rows", "0"]
    assert run_command_line(command) == 2
    assert "LS116: --sample-rows 0" in " ".join(capsys.readouterr().err.split())
