"""A pipeline of Beam YAML with the transforms of the catalogue."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from apache_beam.yaml import main

import linesmith
from tests.helpers.conditioned_run import COLUMNS, conditioned_run

pytestmark = pytest.mark.integration
PIPELINE = """
pipeline:
  transforms:
    - type: GenerateRecords
      name: Many
      config: {{model: {run}, records: 40, seed: 1, where: {{country: IT}}, index_column: number}}
    - type: ScoreRecords
      input: Many
      config: {{model: {run}}}
    - type: WriteToParquet
      name: WriteScored
      input: ScoreRecords
      config: {{path: {folder}/scored}}
    - type: ReadRecords
      config: {{pattern: {folder}/wishes.csv, format: csv, settings: {{header: true, field_delimiter: ","}}}}
    - type: GenerateRecords
      name: Wished
      input: ReadRecords
      config: {{model: {run}, elements: conditions, index_field: wish, seed: 1}}
    - type: WriteToParquet
      name: WriteWished
      input: Wished
      config: {{path: {folder}/wished}}
providers:
  - include: {catalog}
"""


def rows_of(folder: Path, name: str) -> list[dict]:
    return [row for path in folder.glob(f"{name}*") for row in pq.read_table(path).to_pylist()]


@pytest.mark.slow
def test_a_yaml_pipeline_generates_scores_and_reads(tmp_path):
    run = conditioned_run(tmp_path / "run")
    (tmp_path / "wishes.csv").write_text("wish,country,height\n0,FR,1\n1,IT,20\n")
    text = PIPELINE.format(run=run, folder=tmp_path, catalog=linesmith.beam.YAML_CATALOG)
    (tmp_path / "pipeline.yaml").write_text(text)
    main.run([f"--yaml_pipeline_file={tmp_path / 'pipeline.yaml'}", "--runner=FnApiRunner"])
    scored, wished = rows_of(tmp_path, "scored"), rows_of(tmp_path, "wished")
    assert sorted(row["number"] for row in scored) == list(range(40))
    assert {row["country"] for row in scored} == {"IT"} and all(row["log_likelihood"] < 0 for row in scored)
    assert list(scored[0]) == [*COLUMNS, "number", "log_likelihood"]
    assert sorted((row["country"], row["height"], row["seed_id"]) for row in wished) == [("FR", 1, 0), ("IT", 20, 1)]


def test_the_catalogue_names_every_transform():
    (provider,) = yaml.safe_load(linesmith.beam.YAML_CATALOG.read_text())
    transforms = {name for name in linesmith.beam.__all__ if name[0].isupper()} - {
        "YAML_CATALOG",
        "LinesmithModelHandler",
    }
    assert set(provider["transforms"]) == transforms
