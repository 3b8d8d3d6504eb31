"""Generation that dies by kill -9, in a process of its own: nothing is half there, and the next try ends the same."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.config.key_pattern import parse_pattern
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.generation.from_config import attempt_settings
from linesmith.model.generation.staging import StagingDirectory
from linesmith.model.generation.work_units import plan_work_units
from linesmith.pipelines.generate import stage
from linesmith.records.fields import FieldFormat
from linesmith.records.output.layout import RecordLayout
from linesmith.records.roles.stored_roles import StoredRoles, write_roles
from linesmith.records.sources.arrow_rows import describe_schema
from linesmith.records.table_format import write_table_format
from linesmith.records.validation.record_validator import RecordValidator
from linesmith.transforms.generate_records import RecordGenerator
from tests.helpers import generation_fakes
from tests.helpers.generation_fakes import FakeSampler, fake_run

pytestmark = pytest.mark.integration

FORMATS = ("text", "avro", "parquet")
KEYED = pa.schema([("id", pa.int32()), ("a", pa.string()), ("code", pa.string()), ("b", pa.int64()), ("c", pa.int64())])
LAKE: dict[str, Any] = {"iceberg_table": "lake.rides", "output_format": list(FORMATS), "columns": ["a", "b", "c"]}

# Ends itself where it is about to describe its n-th shard: some of a unit's shards, or some units, are there by then.
KILLED_AT = """
import os, signal, sys
from pathlib import Path
from linesmith.model.generation import staging
from tests.pipelines.generate import test_killed_generation as test
written = 0
plain = staging.describe_shard
def describe(*given):
    global written
    written += 1
    if written == {shard}:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(*given)
staging.describe_shard = describe
test.{work}(Path(sys.argv[1]))
"""
KILLED_COMMIT = """
import os, signal, sys
from pathlib import Path
from pyiceberg.catalog.sql import SqlCatalog
import linesmith.pipelines.generate.stage as stage
from tests.helpers import generation_fakes
from tests.pipelines.generate.test_killed_generation import LAKE, settings
SqlCatalog.commit_table = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
stage.open_sampler = generation_fakes.open_fake
stage.generate(settings(Path(sys.argv[1]), seed=3, overwrite=True, **LAKE))
"""


def settings(run: Path, **changes: Any) -> TensorFlowConfig:
    return config_from_model_dir(run).replace(**{"gen_lines": 50, "unit_size": 20, **changes})


def work(directory: Path) -> list[Any]:
    """Generate units as a worker does, in a staging directory that stays, as it does between a runner's attempts."""
    layout = RecordLayout(("a", "b", "c"), FieldFormat(","))
    staging = StagingDirectory(str(directory), FORMATS, layout, num_units=3)
    staging.create()
    rules = attempt_settings(TensorFlowConfig(checkpoint_dir="unused"), None)
    generator = RecordGenerator(FakeSampler, rules, RecordValidator(None, 3, FieldFormat(",")), None, staging)
    return list(generator.run_inference(plan_work_units(60, 20), generator.load_model()))


def shards(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("part-*"))}


def killed(code: str, directory: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", code, str(directory)], check=False, capture_output=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]


@pytest.mark.slow
def test_a_unit_that_was_killed_half_way_gives_the_same_bytes_when_it_runs_again(tmp_path: Path) -> None:
    wanted = work(tmp_path / "whole")
    killed(KILLED_AT.format(shard=5, work="work"), tmp_path / "again")
    left = shards(tmp_path / "again")
    assert 3 < len(left) < 9, "the kill came between the shards of a unit"
    found = work(tmp_path / "again")
    assert shards(tmp_path / "again") == shards(tmp_path / "whole")
    assert len(shards(tmp_path / "whole")) >= 9
    assert [(one.number, one.records, one.shards) for one in sorted(found, key=lambda one: one.number)] == [
        (one.number, one.records, one.shards) for one in wanted
    ]


@pytest.mark.slow
def test_a_run_killed_before_its_commit_leaves_the_table_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_fake)
    run = fake_run(tmp_path / "run")
    stage.generate(settings(run, **LAKE))
    before, rows = table_of(run), table_of(run).scan().to_arrow()
    killed(KILLED_COMMIT, run)
    after = table_of(run)
    assert [one.snapshot_id for one in after.snapshots()] == [one.snapshot_id for one in before.snapshots()]
    assert after.scan().to_arrow() == rows
    stage.generate(settings(run, seed=3, overwrite=True, **LAKE))
    assert (len(table_of(run).snapshots()), table_of(run).scan().to_arrow().num_rows) == (2, 100)


def table_of(run: Path) -> Any:
    from pyiceberg.catalog import load_catalog

    where = run.absolute() / "warehouse"
    catalog = load_catalog("linesmith", type="sql", uri=f"sqlite:///{where}/catalog.db", warehouse=f"file://{where}")
    return catalog.load_table("lake.rides")


def keyed_run(root: Path) -> Path:
    """Write a run directory of a model that learned three of the five columns of a Parquet file; the others are keys."""
    run = fake_run(
        root, columns=["a", "b", "c"], quoted=True, input_format="parquet", column_role={"id": "key", "code": "key"}
    )
    whole = describe_schema(KEYED, "parquet", cut={"id", "code"})
    write_table_format(run / "model" / "table.json", whole)
    patterns = {"id": parse_pattern("100000..999999"), "code": parse_pattern("AA-000")}
    write_roles(run / "model", StoredRoles(whole.field_names, dict.fromkeys(patterns, "key"), patterns))
    return run


def generate_keys(run: Path) -> None:
    config = config_from_model_dir(run).replace(gen_lines=12_000, unit_size=1_000, output_format=["parquet", "jsonl"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "open_sampler", generation_fakes.open_fake)
        stage.generate(config)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_keys_are_unique_and_bytes_equal_after_a_run_that_was_killed(tmp_path: Path) -> None:
    generate_keys(keyed_run(tmp_path / "whole"))
    wanted = shards(tmp_path / "whole" / "synthetic")
    assert len(wanted) == 24
    run = keyed_run(tmp_path / "again")
    killed(KILLED_AT.format(shard=7, work="generate_keys"), run)
    assert shards(run / ".tmp"), "the kill came when some units were written"
    assert not (run / "synthetic").exists()
    generate_keys(run)
    assert shards(run / "synthetic") == wanted
    table = pq.read_table(sorted((run / "synthetic").glob("*.parquet")))
    assert table.schema.equals(KEYED)
    assert table.num_rows == 12_000
    for name in ("id", "code"):
        assert len(set(table.column(name).to_pylist())) == 12_000
