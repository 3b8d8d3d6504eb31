"""The combiners by hand, in other groupings, and under TestPipeline; every kind of file; packing."""

from __future__ import annotations

import json
import pickle

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from apache_beam.testing.test_pipeline import TestPipeline

from linesmith.core.artifacts.files import read_json
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.evaluation.dataset_profile import DatasetProfile
from linesmith.evaluation.schema_counts import SchemaCounts
from linesmith.evaluation.serialization import from_json, to_json
from linesmith.pipelines.evaluate.input_units import TextFormat
from linesmith.pipelines.evaluate.sets import find_evaluation_sets, run_evaluation_sets
from linesmith.records.fields import FieldFormat
from linesmith.records.output.comparison import value_text
from linesmith.transforms.profile_evaluation_sets import ProfileEvaluationSets, profile_fn, schema_counts_fn
from linesmith.transforms.read_evaluation_sets import read_set_unit
from tests.helpers.evaluation_sets import NAMES, collect_evaluation_data_in_memory, people, text

pytestmark = pytest.mark.integration

RECORDS = [*people(900, 1), "too\nfew", "", "mail me: a@b.org"]
DATA = collect_evaluation_data_in_memory(
    {"training": RECORDS, "holdout": people(300, 2), "synthetic": people(300, 3)}, sample=100
)


def batches(size: int):
    for start in range(0, len(RECORDS), size):
        yield start, text(RECORDS[start : start + size])


def combined(combiner, size: int, fanout: int):
    """Accumulators of `size` records each, pickled as between workers, merged `fanout` at a time, empty ones thrown in."""
    parts = [combiner.add_input(combiner.create_accumulator(), batch) for batch in batches(size)]
    parts = [pickle.loads(pickle.dumps(part)) for part in [combiner.create_accumulator(), *parts]]
    while len(parts) > 1:
        parts = [combiner.merge_accumulators(iter(parts[i : i + fanout])) for i in range(0, len(parts), fanout)]
    return combiner.extract_output(combiner.merge_accumulators([parts[0], combiner.create_accumulator()]))


def facts(profile: DatasetProfile) -> tuple:
    fields = [
        (
            one.kinds.tolist(),
            one.frequent.top(9),
            one.numbers.quantiles(np.linspace(0, 1, 9)).tolist(),
            one.ngrams.sum(),
        )
        for one in profile.fields
    ]
    return (
        profile.records,
        profile.field_counts,
        fields,
        profile.distinct_sample.items(),
        profile.row_sample.items(),
        profile.identifier_sample.items(),
    )


def counts(counted: SchemaCounts) -> tuple:
    arrays = (counted.category_counts, counted.pair_counts, counted.record_hits, counted.identifier_hits)
    relations = [
        sketch.quantiles(np.linspace(0, 1, 9)).tolist() for sketch in [*counted.differences, *counted.distances]
    ]
    return (counted.records, counted.usable, counted.invalid, [array.tolist() for array in arrays], relations)


@pytest.mark.parametrize(("size", "fanout"), [(1000, 2), (37, 2), (37, 9), (250, 3)])
def test_grouping_does_not_matter(size, fanout):
    profile = combined(profile_fn(100), size, fanout)
    assert facts(profile) == facts(DATA.profiles["training"])
    assert profile.distinct.estimate == pytest.approx(len(set(RECORDS)), rel=0.05)  # three standard errors
    plan = DATA.counts["training"].plan
    assert counts(combined(schema_counts_fn(plan), size, fanout)) == counts(DATA.counts["training"])


def test_nothing_gives_nothing():
    empty = profile_fn(10).merge_accumulators(iter([]))
    assert facts(empty) == facts(DatasetProfile(10))
    assert empty.field_count == 0


def test_pairs_and_categories_are_counted_as_one_by_one():
    counted, schema = DATA.counts["training"], DATA.schema
    city = schema.fields[0]
    for number, name in enumerate(city.categories, start=1):
        assert counted.category_counts[0, number] == sum(record.startswith(name + "\n") for record in RECORDS[:900])
    table = counted.table(0, 4)
    assert table.sum() == counted.usable == 900
    assert counted.invalid == {"wrong number of fields": 3}
    first = city.categories[0]
    ages = [int(r.split("\n")[4]) for r in RECORDS[:900] if r.split("\n")[0] == first]
    assert table[1, 1] == sum(age <= schema.fields[4].edges[0] for age in ages)


def test_packing_brings_everything_back():
    for original in (DATA.profiles["training"], DATA.profiles["synthetic"]):
        assert facts(from_json(json.loads(json.dumps(to_json(original))))) == facts(original)
    counted = DATA.counts["holdout"]
    assert counts(from_json(json.loads(json.dumps(to_json(counted))), counted.plan)) == counts(counted)
    with pytest.raises(DataError, match="LS201"):
        from_json({"object": "os.system", "state": {}})
    with pytest.raises(DataError, match="LS201"):
        from_json(to_json(counted))


def write_as(kind: str, directory, records: list[str]) -> str:
    rows = [dict(zip(NAMES, record.split("\n"), strict=True)) for record in records]
    path = str(directory / f"records.{kind}")
    if kind == "avro":
        fields = [{"name": name, "type": ["null", "string"]} for name in NAMES]
        with open(path, "wb") as out:
            fastavro.writer(out, {"type": "record", "name": "R", "fields": fields}, rows)
    elif kind == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=100)
    elif kind == "jsonl":
        (directory / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        head = ",".join(NAMES) + "\n"
        (directory / f"records.{kind}").write_text(head + "".join(r.replace("\n", ",") + "\n" for r in records))
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "avro", "parquet"])
def test_every_kind_of_file_gives_the_same_records(tmp_path, kind):
    records = people(250, 4)
    path = write_as(kind, tmp_path, records)
    sets = find_evaluation_sets({"training": [path]}, TextFormat(FieldFormat(","), header=True), tmp_path / "scratch")
    assert sets.names == NAMES
    read = [record for unit in sets.units for _, (_, batch) in read_set_unit(unit) for record in batch.to_pylist()]
    assert read == records
    numbers = [first for unit in sets.units for _, (first, _) in read_set_unit(unit)]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("kind", ["avro", "parquet", "jsonl"])
def test_a_column_that_stands_in_directories_names_is_put_back(tmp_path, kind):
    """A run whose output is partitioned: the first of six columns stands in no file."""
    records, names = people(60, 4), ["city", "lat", "lon", "day", "age", "code"]
    (tmp_path / "model_params.json").write_text("{}")
    run = RunDirectory(tmp_path)
    for number, city in enumerate(["Rome", "Paris"]):
        place = run.synthetic / f"city={city}"
        place.mkdir(parents=True)
        own = [record.split("\n") for record in records if record.startswith(city)]
        rows = [dict(zip(names[1:], fields[1:], strict=True)) for fields in own]
        file = place / f"part-0000{number}-of-00002.{kind}"
        if kind == "avro":
            schema = {"type": "record", "name": "R", "fields": [{"name": n, "type": "string"} for n in names[1:]]}
            with open(file, "wb") as out:
                fastavro.writer(out, schema, rows)
        elif kind == "parquet":
            parquet.write_table(pa.Table.from_pylist(rows), file)
        else:
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_manifest(run.training_data, "tokenize", {"columns": None})
    write_manifest(run.synthetic, "generate", {"columns": names})
    sets = run_evaluation_sets(TensorFlowConfig(checkpoint_dir=str(tmp_path), field_delimiter=","), run)
    read = [record for unit in sets.units for _, (_, batch) in read_set_unit(unit) for record in batch.to_pylist()]
    assert sorted(read) == sorted(record for record in records if record.startswith(("Rome", "Paris")))


def test_quotes_that_protect_a_delimiter_are_no_part_of_a_value(tmp_path):
    (tmp_path / "a.csv").write_text('a,"b, c"\n"d ""e""",f\n')
    sets = find_evaluation_sets(
        {"training": [str(tmp_path / "a.csv")]}, TextFormat(FieldFormat(",", quoted=True)), tmp_path
    )
    [(_, (_, batch))] = read_set_unit(sets.units[0])
    assert batch.to_pylist() == ["a\nb, c", 'd "e"\nf']


def test_values_of_typed_files_hold_no_field_break():
    assert value_text("a\nb") == "a\u2028b"
    assert value_text({"b": [1]}) == '{"b": [1]}'


@pytest.mark.parametrize("kind", ["avro", "parquet", "jsonl"])
def test_a_damaged_file_is_named_and_not_quoted(tmp_path, kind):
    path = tmp_path / f"bad.{kind}"
    path.write_text("a secret line\n" * 3)
    with pytest.raises(DataError, match="LS206") as failure:
        units = find_evaluation_sets({"training": [str(path)]}, TextFormat(), tmp_path).units
        list(read_set_unit(units[0]))
    assert "bad." in str(failure.value) and "secret" not in str(failure.value)


@pytest.mark.parametrize(("given", "why"), [("none.csv", "no such file"), ("*.csv", "kinds")])
def test_files_that_cannot_be_a_set_are_refused(tmp_path, given, why):
    if why == "kinds":
        (tmp_path / "a.csv").write_text("a\n")
        (tmp_path / "b.avro").write_text("a\n")
        given = "*"
    with pytest.raises(DataError, match=why):
        find_evaluation_sets({"training": [str(tmp_path / given)]}, TextFormat(), tmp_path)


def test_the_pipeline_counts_what_loops_count(tmp_path):
    path = write_as("csv", tmp_path, RECORDS[:900])
    sets = find_evaluation_sets({"training": [path]}, TextFormat(FieldFormat(","), header=True), tmp_path)
    plan = DATA.counts["training"].plan
    for name, combiner in (("profile", profile_fn(100)), ("counts", schema_counts_fn(plan))):
        (tmp_path / name).mkdir()
        with TestPipeline(runner="FnApiRunner") as pipeline:
            _ = pipeline | ProfileEvaluationSets(sets.units, combiner, tmp_path / name)
    plain = collect_evaluation_data_in_memory({"training": RECORDS[:900]}, sample=100).profiles["training"]
    assert facts(from_json(read_json(tmp_path / "profile" / "training.json", ""))) == facts(plain)
    counted = from_json(read_json(tmp_path / "counts" / "training.json", ""), plan)
    assert counted.records == counted.usable == 900
    assert counted.pair_counts.tolist() == DATA.counts["training"].pair_counts.tolist()
