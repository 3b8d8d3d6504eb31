"""Files as rows, and the log-likelihood of rows and of lines."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

import linesmith
from tests.helpers.conditioned_run import COLUMNS, conditioned_run

pytestmark = pytest.mark.integration
ReadRecords = linesmith.beam.ReadRecords


def local_pipeline() -> beam.Pipeline:
    return beam.Pipeline(options=PipelineOptions([], runner="FnApiRunner"))


def values(row) -> tuple:
    return tuple(row._asdict().values())


def counters_of(result, namespace: str) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counter in result.metrics().query()["counters"]:
        if counter.key.metric.namespace == namespace:
            total[counter.key.metric.name] += counter.committed
    return total


def test_rows_of_every_format_are_those_of_the_files(tmp_path):
    rows = [{"town": f"T{n}", "number": n, "ratio": n / 4, "note": "a\nb" if n == 3 else None} for n in range(50)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with open(tmp_path / "a.csv", "w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "a.txt").write_text("town|number\n" + "".join(f"T{n}|{n}\n" for n in range(50)))
    (tmp_path / "a.log").write_text("".join(f"T{n} {n}\n" for n in range(50)))
    typed = [tuple(row.values()) for row in rows]
    expected = {
        "parquet": (ReadRecords(tmp_path / "a.parquet"), typed),
        "jsonl": (ReadRecords(tmp_path / "a.jsonl", "jsonl"), typed),
        "csv": (
            ReadRecords(str(tmp_path / "*.csv"), "csv", header=True),
            [(t, str(n), str(r), note or "") for t, n, r, note in typed],
        ),
        "text": (
            ReadRecords([str(tmp_path / "a.txt")], header=True, field_delimiter="|"),
            [(t, str(n)) for t, n, *_ in typed],
        ),
        "lines": (ReadRecords(tmp_path / "a.log", "text"), [(f"{t} {n}",) for t, n, *_ in typed]),
    }
    with local_pipeline() as pipeline:
        for name, (read, wanted) in expected.items():
            found = pipeline | name >> read | f"{name} values" >> beam.Map(values)
            assert_that(found, equal_to(wanted), f"{name} check")
    names = {name: [field for field, _ in read._rows.element_type._fields] for name, (read, _) in expected.items()}
    assert names["parquet"] == names["csv"] == ["town", "number", "ratio", "note"]
    assert (names["text"], names["lines"]) == (["town", "number"], ["text"])


def test_rejects_are_counted_by_reason(tmp_path):
    (tmp_path / "a.txt").write_text("a,b\n1,2\n3\n4,5,6\n" + "x" * 50 + ",7\n")
    pipeline = local_pipeline()
    rows = pipeline | ReadRecords(tmp_path / "a.txt", header=True, field_delimiter=",", max_line_len=20)
    assert_that(rows | beam.Map(values), equal_to([("1", "2")]))
    counters = counters_of(pipeline.run(), "linesmith.read")
    assert counters == {
        "records_read": 1,
        "records_rejected": 3,
        "rejected_field_count": 2,
        "rejected_too_long": 1,
    }


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("nothing-*.txt",), "LS205: pattern"),
        (("a.txt", "xml"), "LS101: format"),
        (("a.txt", "text", {"epochs": 3}), "LS101: epochs"),
    ],
)
def test_what_cannot_be_read_is_refused_where_it_is_written(tmp_path, monkeypatch, arguments, found):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("a\n")
    *plain, settings = arguments if isinstance(arguments[-1], dict) else (*arguments, {})
    with pytest.raises(linesmith.LinesmithError) as raised:
        ReadRecords(*plain, **settings)
    assert str(raised.value).startswith(found) and "--" not in str(raised.value)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return conditioned_run(tmp_path_factory.mktemp("models") / "run")


def test_scores_are_those_of_the_model_for_lines_rows_and_mappings(run):
    lines = ["1,node,FR,20", '2,b,"a,b",', "3,ß,IT,1"]
    expected = linesmith.load(run).score(lines).tolist()
    assert math.isinf(expected[2]) and all(map(math.isfinite, expected[:2]))
    fields = list(csv.reader(lines))
    rows = [beam.Row(**dict(zip(COLUMNS, row, strict=True)), more=1) for row in fields]
    mappings = [{**dict(zip(COLUMNS, row, strict=True)), "height": row[3] or None} for row in fields]
    pipeline = local_pipeline()
    for name, elements in {"lines": lines, "rows": rows, "mappings": mappings}.items():
        scored = pipeline | f"{name} of records" >> beam.Create(elements) | name >> linesmith.beam.ScoreRecords(run)
        near = scored | f"{name} scores" >> beam.MapTuple(lambda record, score: round(score, 3))
        assert_that(near, equal_to([round(score, 3) for score in expected]), f"{name} check")
    counters = counters_of(pipeline.run(), "linesmith.score")
    assert (counters["records_scored"], counters["records_impossible"]) == (6, 3)


def test_generated_rows_can_be_scored(run):
    with local_pipeline() as pipeline:
        rows = pipeline | linesmith.beam.GenerateRecords(run, records=30, seed=1)
        scored = rows | linesmith.beam.ScoreRecords(run)
        finite = scored | beam.MapTuple(lambda row, score: (hasattr(row, "town"), math.isfinite(score)))
        assert_that(finite | beam.combiners.Count.PerElement(), equal_to([((True, True), 30)]))


@pytest.mark.parametrize("record", [5, "a\nb", {"town": "x"}])
def test_an_element_that_is_no_record_ends_the_pipeline_without_a_word_of_it(run, record):
    with pytest.raises(Exception, match="LS232: records"), local_pipeline() as pipeline:
        _ = pipeline | beam.Create([record]) | linesmith.beam.ScoreRecords(run)
