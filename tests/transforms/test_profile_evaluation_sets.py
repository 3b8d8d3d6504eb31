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
from linesmith.evaluation.dataset_profile import Survey
from linesmith.evaluation.schema_counts import SchemaCounts
from linesmith.evaluation.serialization import pack, unpack
from linesmith.pipelines.evaluate.sets import Reading, find_evaluation_sets, run_evaluation_sets
from linesmith.transforms.profile_evaluation_sets import CountFn, ProfileEvaluationSets, ProfileFn
from linesmith.transforms.read_evaluation_sets import read_set_unit, value_text
from tests.helpers.evaluation_sets import NAMES, collect_evidence_in_memory, people, text

RECORDS = [*people(900, 1), "too\nfew", "", "mail me: a@b.org"]
EVIDENCE = collect_evidence_in_memory(
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


def facts(survey: Survey) -> tuple:
    fields = [
        (one.kinds.tolist(), one.frequent.top(9), one.numbers.at(np.linspace(0, 1, 9)).tolist(), one.ngrams.sum())
        for one in survey.fields
    ]
    return (
        survey.records,
        survey.field_counts,
        fields,
        survey.texts.items(),
        survey.rows.items(),
        survey.identifiers.items(),
    )


def counts(tally: SchemaCounts) -> tuple:
    arrays = (tally.fine, tally.pairs, tally.record_hits, tally.identifier_hits)
    relations = [sketch.at(np.linspace(0, 1, 9)).tolist() for sketch in [*tally.differences, *tally.distances]]
    return (tally.records, tally.usable, tally.invalid, [array.tolist() for array in arrays], relations)


@pytest.mark.parametrize(("size", "fanout"), [(1000, 2), (37, 2), (37, 9), (250, 3)])
def test_grouping_does_not_matter(size, fanout):
    survey = combined(ProfileFn(100), size, fanout)
    assert facts(survey) == facts(EVIDENCE.surveys["training"])
    assert survey.distinct.estimate == pytest.approx(len(set(RECORDS)), rel=0.05)  # three standard errors
    plan = EVIDENCE.tallies["training"].plan
    assert counts(combined(CountFn(plan), size, fanout)) == counts(EVIDENCE.tallies["training"])


def test_nothing_gives_nothing():
    empty = ProfileFn(10).merge_accumulators(iter([]))
    assert facts(empty) == facts(Survey(10))
    assert empty.field_count == 0


def test_pairs_and_categories_are_counted_as_one_by_one():
    tally, schema = EVIDENCE.tallies["training"], EVIDENCE.schema
    city = schema.fields[0]
    for number, name in enumerate(city.categories, start=1):
        assert tally.fine[0, number] == sum(record.startswith(name + "\n") for record in RECORDS[:900])
    table = tally.table(0, 4)
    assert table.sum() == tally.usable == 900
    assert tally.invalid == {"wrong number of fields": 3}
    first = city.categories[0]
    ages = [int(r.split("\n")[4]) for r in RECORDS[:900] if r.split("\n")[0] == first]
    assert table[1, 1] == sum(age <= schema.fields[4].edges[0] for age in ages)


def test_packing_brings_everything_back():
    for original in (EVIDENCE.surveys["training"], EVIDENCE.surveys["synthetic"]):
        assert facts(unpack(json.loads(json.dumps(pack(original))))) == facts(original)
    tally = EVIDENCE.tallies["holdout"]
    assert counts(unpack(json.loads(json.dumps(pack(tally))), tally.plan)) == counts(tally)
    with pytest.raises(DataError, match="LS201"):
        unpack({"object": "os.system", "state": {}})
    with pytest.raises(DataError, match="LS201"):
        unpack(pack(tally))


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
    sets = find_evaluation_sets({"training": [path]}, Reading(",", header=True), tmp_path / "scratch")
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
    sets = find_evaluation_sets({"training": [str(tmp_path / "a.csv")]}, Reading(",", quoted=True), tmp_path)
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
        units = find_evaluation_sets({"training": [str(path)]}, Reading(), tmp_path).units
        list(read_set_unit(units[0]))
    assert "bad." in str(failure.value) and "secret" not in str(failure.value)


@pytest.mark.parametrize(("given", "why"), [("none.csv", "does not exist"), ("*.csv", "kinds")])
def test_files_that_cannot_be_a_set_are_refused(tmp_path, given, why):
    if why == "kinds":
        (tmp_path / "a.csv").write_text("a\n")
        (tmp_path / "b.avro").write_text("a\n")
        given = "*"
    with pytest.raises(DataError, match=why):
        find_evaluation_sets({"training": [str(tmp_path / given)]}, Reading(), tmp_path)


def test_the_pipeline_counts_what_loops_count(tmp_path):
    path = write_as("csv", tmp_path, RECORDS[:900])
    sets = find_evaluation_sets({"training": [path]}, Reading(",", header=True), tmp_path)
    plan = EVIDENCE.tallies["training"].plan
    for name, combiner in (("survey", ProfileFn(100)), ("tally", CountFn(plan))):
        (tmp_path / name).mkdir()
        with TestPipeline(runner="FnApiRunner") as pipeline:
            _ = pipeline | ProfileEvaluationSets(sets.units, combiner, tmp_path / name)
    plain = collect_evidence_in_memory({"training": RECORDS[:900]}, sample=100).surveys["training"]
    assert facts(unpack(read_json(tmp_path / "survey" / "training.json", ""))) == facts(plain)
    tally = unpack(read_json(tmp_path / "tally" / "training.json", ""), plan)
    assert tally.records == tally.usable == 900
    assert tally.pairs.tolist() == EVIDENCE.tallies["training"].pairs.tolist()
