"""Tokenize and Train in a foreign pipeline give what the commands give; a new model is taken up while the pipeline runs."""

from __future__ import annotations

import json
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.ml.inference.base import ModelMetadata, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

import linesmith
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.tokenize.stage import tokenize
from tests.helpers.conditioned_run import conditioned_run
from tests.helpers.plain_run import plain_run

pytestmark = pytest.mark.integration
LINES = [f"{color},{number % 7}" for number, color in enumerate(["red", "green", "blue"] * 60)]
TOKENIZE = {"field_delimiter": ",", "vocab_size": 0}
TRAIN = {"epochs": 1, "rnn_units": 16, "embedding_dim": 8, "batch_size": 16, "early_stopping": False, "seed": 1}


def local_pipeline() -> beam.Pipeline:
    return beam.Pipeline(options=PipelineOptions([], runner="FnApiRunner"))


@pytest.mark.slow
def test_a_model_is_made_in_one_pipeline_and_made_once(tmp_path):
    run = str(tmp_path / "run")
    for _ in range(2):  # the second time both stages are complete
        with local_pipeline() as pipeline:
            trained = (
                pipeline
                | beam.Create(LINES)
                | linesmith.beam.Tokenize(run, **TOKENIZE)
                | linesmith.beam.Train(run, **TRAIN)
            )
            assert_that(trained, equal_to([run]))
        changed = {path: path.stat().st_mtime_ns for path in Path(run, "model").rglob("*") if path.is_file()}
    assert changed and all(Path(run, "model").rglob("manifest.json"))
    (tmp_path / "lines.txt").write_text("\n".join(LINES) + "\n")
    tokenize(TensorFlowConfig(input_data_path=str(tmp_path / "lines.txt"), checkpoint_dir=tmp_path / "own", **TOKENIZE))
    digests = [
        (read_manifest(Path(folder) / "training_data") or {})["data_digest"] for folder in (run, tmp_path / "own")
    ]
    assert digests[0] == digests[1]
    with local_pipeline() as pipeline:
        rows = pipeline | linesmith.beam.GenerateRecords(run, records=5)
        assert_that(rows | beam.combiners.Count.Globally(), equal_to([5]))


@pytest.mark.slow
def test_rows_are_learned_with_their_types(tmp_path):
    rows = [beam.Row(color=line.split(",")[0], number=int(line.split(",")[1])) for line in LINES]
    with local_pipeline() as pipeline:
        _ = pipeline | beam.Create(rows) | linesmith.beam.Tokenize(tmp_path / "run", vocab_size=0)
    table = json.loads((tmp_path / "run" / "training_data" / "table.json").read_text())
    assert [(column["name"], column["kind"]) for column in table["columns"]] == [
        ("color", "text"),
        ("number", "integer"),
    ]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [({"epochz": 1}, "epochz"), ({"epoch_callback": print}, "epoch_callback"), ({"epochs": -1}, "epochs -1")],
)
def test_settings_are_refused_where_they_are_written(tmp_path, arguments, found):
    with pytest.raises(linesmith.ParameterError, match=found):
        linesmith.beam.Train(tmp_path / "run", **arguments)
    with pytest.raises(linesmith.ParameterError, match="input_data_path: missing"):
        _ = local_pipeline() | linesmith.beam.Tokenize(tmp_path / "run")


def test_a_model_with_other_columns_is_not_taken_up(tmp_path):
    first = conditioned_run(tmp_path / "first")
    plain_run(tmp_path / "other")
    handler = linesmith.beam.LinesmithModelHandler(first, elements="numbers")
    handler.load_model()
    handler.update_model_path(str(first))
    handler.load_model()
    handler.update_model_path(str(tmp_path / "other"))
    with pytest.raises(linesmith.DataError, match="LS215: model"):
        handler.load_model()


def test_another_model_is_taken_up(tmp_path):
    first, second = conditioned_run(tmp_path / "first"), conditioned_run(tmp_path / "second", seed=5)
    handler = linesmith.beam.LinesmithModelHandler(first, elements="numbers")
    with local_pipeline() as pipeline:
        news = pipeline | "News" >> beam.Create([ModelMetadata(str(second), "second")])
        results = pipeline | beam.Create([0, 1]) | RunInference(handler, model_metadata_pcoll=news)
        made = results | beam.Map(lambda result: (result.model_id, tuple(result.inference._asdict().values())))
        rows = (
            pipeline
            | linesmith.beam.GenerateRecords(second, records=2)
            | beam.Map(lambda row: (str(second), tuple(row._asdict().values())))
        )
        both = (made, rows) | beam.Flatten() | beam.combiners.Count.PerElement() | beam.Values()
        assert_that(both, equal_to([2, 2]))
