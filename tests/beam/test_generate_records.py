"""A foreign pipeline, written with nothing but public names, makes the records of the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.ml.inference.base import RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

import linesmith
from linesmith.cli import app as cli
from linesmith.cli import console
from tests.helpers.conditioned_run import COLUMNS, conditioned_run

pytestmark = pytest.mark.integration
SEED = 7


@pytest.fixture(autouse=True)
def _keep_log_levels(monkeypatch):
    """Leave out what the command line changes in its process for good, such as log levels."""
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return conditioned_run(tmp_path_factory.mktemp("models") / "run")


def local_pipeline() -> beam.Pipeline:
    return beam.Pipeline(options=PipelineOptions([], runner="FnApiRunner"))


def command_rows(run: Path, *arguments: object) -> list[str]:
    """Return the rows that the command writes as Parquet, as sorted JSON."""
    given = ["generate", "--output", str(run), "--overwrite", "--output-format", "parquet", "--seed", str(SEED)]
    assert cli.run_command_line([*given, *map(str, arguments)]) == 0
    return rows_of(sorted((run / "synthetic").glob("*.parquet")))


def rows_of(files: list[Path]) -> list[str]:
    assert files
    return sorted(json.dumps(row) for path in files for row in pq.read_table(path).to_pylist())


def test_so_many_records_are_those_of_the_command(run, tmp_path):
    with local_pipeline() as pipeline:
        rows = pipeline | linesmith.beam.GenerateRecords(run, records=300, seed=SEED)
        _ = rows | beam.io.WriteToParquet(str(tmp_path / "rows"))
    made = rows_of(list(tmp_path.glob("rows*")))
    assert len(made) == 300
    assert made == command_rows(run, "--num-lines", 300)


def test_rows_of_seeds_are_those_of_the_command_whatever_their_order(run, tmp_path):
    seeds = [f"{number}," for number in range(40)] + ["7,", ""]
    (tmp_path / "seeds.txt").write_text("\n".join(seeds) + "\n")
    with local_pipeline() as pipeline:
        rows = (
            pipeline
            | beam.Create(list(enumerate(seeds))[::-1])
            | linesmith.beam.GenerateRecords(run, seed=SEED, records_per_seed=2)
        )
        _ = rows | beam.io.WriteToParquet(str(tmp_path / "rows"))
    made = rows_of(list(tmp_path.glob("rows*")))
    assert len(made) == 84
    assert made == command_rows(run, "--start-strings-file", tmp_path / "seeds.txt", "--records-per-seed", 2)


def test_rows_of_conditions_are_those_of_the_command(run, tmp_path):
    asked = [("FR", "1"), ("IT", "20"), ("a,b", "1"), ("FR", "1"), ("IT", "")]
    with open(tmp_path / "asked.csv", "w", newline="") as out:
        csv.writer(out).writerows([("country", "height"), *asked])
    with local_pipeline() as pipeline:
        rows = (
            pipeline
            | beam.Create(list(enumerate(asked)))
            | beam.Map(lambda asked: beam.Row(number=asked[0], country=asked[1][0], height=asked[1][1] or None))
            | linesmith.beam.GenerateRecords(run, seed=SEED, elements="conditions", index_field="number")
        )
        _ = rows | beam.io.WriteToParquet(str(tmp_path / "rows"))
    made = rows_of(list(tmp_path.glob("rows*")))
    assert made == command_rows(run, "--where-file", tmp_path / "asked.csv")
    assert sorted((row["country"], row["seed_id"]) for row in map(json.loads, made)) == [
        ("FR", 0), ("FR", 3), ("IT", 1), ("IT", 4), ("a,b", 2)
    ]  # fmt: skip


def test_gaps_are_filled_as_by_the_command(run, tmp_path):
    (tmp_path / "gaps.csv").write_text("town,country\nnode,\n,FR\n")
    with local_pipeline() as pipeline:
        rows = (
            pipeline
            | beam.Create([(0, {"town": "node"}), (1, {"country": "FR", "town": None})])
            | linesmith.beam.GenerateRecords(run, seed=SEED, elements="conditions", fill=True)
        )
        _ = rows | beam.io.WriteToParquet(str(tmp_path / "rows"))
    assert rows_of(list(tmp_path.glob("rows*"))) == command_rows(run, "--impute", tmp_path / "gaps.csv")


def test_what_has_no_number_is_numbered_by_its_content(run):
    """The same elements, cut in two ways, make the same records; equal elements make equal ones."""
    seeds = [f"{number % 9}," for number in range(20)]
    cuts = {"Single": [[seed] for seed in seeds], "Whole": [seeds]}
    with local_pipeline() as pipeline:
        rows = [
            pipeline
            | f"{name} parts" >> beam.Create(parts)
            | f"{name} seeds" >> beam.FlatMap(lambda part: part).with_output_types(str)
            | f"{name} rows" >> linesmith.beam.GenerateRecords(run, seed=SEED, index_column="number")
            | f"{name} values" >> beam.Map(lambda row: tuple(row._asdict().values()))
            for name, parts in cuts.items()
        ]
        times = rows | beam.Flatten() | beam.combiners.Count.PerElement() | beam.MapTuple(lambda row, number: number)
        assert_that(times, equal_to([6, 6, 4, 4, 4, 4, 4, 4, 4]))


def test_rows_have_a_schema(run):
    with local_pipeline() as pipeline:
        rows = pipeline | linesmith.beam.GenerateRecords(run, records=20, seed=SEED, where={"country": "IT"})
        assert [name for name, _ in rows.element_type._fields] == COLUMNS
        counted = rows | beam.GroupBy("country").aggregate_field("id", beam.combiners.CountCombineFn(), "number")
        assert_that(counted, equal_to([beam.Row(country="IT", number=20)]))


def test_run_inference_gives_a_row_for_each_element(run):
    handler = linesmith.beam.LinesmithModelHandler(run, elements="numbers", seed=SEED)
    with local_pipeline() as pipeline:
        results = pipeline | beam.Create([5, 3, 3]) | RunInference(handler)
        rows = results | beam.Map(lambda result: (result.example, tuple(result.inference._asdict().values())))
        generated = (
            pipeline
            | linesmith.beam.GenerateRecords(run, records=6, seed=SEED, index_column="number")
            | beam.Map(lambda row: (row.number, tuple(row._asdict().values())[:-1]))
            | beam.Filter(lambda row: row[0] in (5, 3))
        )
        both = (rows, generated) | beam.Flatten() | beam.combiners.Count.PerElement() | beam.MapTuple(lambda _, n: n)
        assert_that(both, equal_to([2, 3]))


def test_metrics_have_their_documented_names(run):
    pipeline = local_pipeline()
    seeds = ["1,", "2,", "no digits,"]
    _ = pipeline | beam.Create(seeds) | linesmith.beam.GenerateRecords(run, seed=SEED, missing="skip")
    counters = {
        counter.key.metric.name: counter.committed
        for counter in pipeline.run().metrics().query()["counters"]
        if counter.key.metric.namespace == "linesmith.generate"
    }
    assert counters["records_valid"] == 2 and counters["records_missing"] == 1
    assert counters["invalid_start_string"] == 1
    assert counters["attempts"] >= 3 and counters["characters"] > 0


@pytest.mark.parametrize(
    ("seeds", "found"),
    [(["a;"], "LS108"), ([(1 << 62, "1,")], "LS101"), ([("-1", "1,")], "LS101"), ([(0, 5)], "LS101")],
)
def test_an_element_that_cannot_be_used_ends_the_pipeline(run, seeds, found):
    with pytest.raises(Exception, match=found), local_pipeline() as pipeline:
        _ = pipeline | beam.Create(seeds) | linesmith.beam.GenerateRecords(run, elements="seeds")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"records": -1}, "LS101: records -1"),
        ({"records": 1, "elements": "seeds"}, "LS101: elements"),
        ({"elements": "starts"}, "LS101: elements 'starts'"),
        ({"records": 1, "values": "typed"}, "LS101: values 'typed'"),
        ({"records": 1, "missing": "ignore"}, "LS101: missing 'ignore'"),
        ({"records": 1, "gen_tmp": 1}, "gen_temp"),
        ({"records": 1, "epochs": 1}, "LS105"),
        ({"records": 1, "where": {"town": "x"}}, "LS132"),
        ({}, "LS101: records: missing"),
        ({"records": 1, "start_string": ["1,", "2,"]}, "LS108"),
        ({"elements": "seeds", "where": {"country": "IT"}}, "LS101: where: the elements are seeds"),
        ({"elements": "conditions", "start_string": "1,"}, "LS101: start_string"),
        ({"records": 1, "index_column": "town"}, "LS101: index_column 'town'"),
    ],
)
def test_arguments_that_cannot_work_are_refused_where_they_are_written(run, arguments, found):
    with pytest.raises(linesmith.ParameterError) as raised:
        _ = local_pipeline() | linesmith.beam.GenerateRecords(run, **arguments)
    assert found in str(raised.value)
    assert "--" not in str(raised.value)


def test_a_model_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(linesmith.DataError, match="LS201"):
        linesmith.beam.GenerateRecords(tmp_path / "nothing", records=1)


def test_the_kind_of_elements_has_to_be_known(run):
    elements = local_pipeline() | beam.Create([object()])
    with pytest.raises(linesmith.ParameterError, match="no type of a PCollection says"):
        _ = elements | linesmith.beam.GenerateRecords(run)
    with pytest.raises(linesmith.ParameterError, match="records: each element asks"):
        _ = elements | "Again" >> linesmith.beam.GenerateRecords(run, records=1)
