"""The generate stage through Beam with a fake sampler: records, order, manifests, limits and errors."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import fastavro
import pytest

from linesmith.cli.results import records_table
from linesmith.core.artifacts import shard_list
from linesmith.core.artifacts.files import sha256_file
from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.artifacts.shard_list import SHARDS_FILE, iter_shards
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.core.hardware import sampling_precision
from linesmith.model.generation import staging
from linesmith.pipelines.evaluate.headers import _manifest_of
from linesmith.pipelines.generate import plan, stage
from linesmith.pipelines.lineage.datasets import RunDatasets
from linesmith.records.fields import FieldFormat
from tests.helpers import generation_fakes
from tests.helpers.generation_fakes import fake_run

pytestmark = pytest.mark.integration


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_fake)
    return fake_run(tmp_path / "run")


def settings(run: Path, **changes: object) -> TensorFlowConfig:
    return config_from_model_dir(run).replace(**{"gen_lines": 50, "unit_size": 20, **changes})


def lines(run: Path, suffix: str = "txt") -> list[str]:
    return [line for p in sorted((run / "synthetic").glob(f"*.{suffix}")) for line in p.read_text().splitlines()]


def manifest(run: Path, part: str = "synthetic") -> dict:
    return json.loads((run / part / "manifest.json").read_text())


def invalid(run: Path) -> list[dict]:
    rows = []
    for part in sorted((run / "invalid").glob("*.avro")):
        with open(part, "rb") as shard:
            rows += list(fastavro.reader(shard))
    return rows


def everything(run: Path) -> dict[str, bytes]:
    """Return the bytes of all shards by name."""
    return {f"{p.parent.name}/{p.name}": p.read_bytes() for p in sorted(run.glob("[si]*/part-*"))}


def test_exactly_n_valid_records_in_order(run: Path) -> None:
    report = stage.generate(settings(run))
    records = lines(run)
    assert len(records) == 50
    assert [int(record.split(",")[0]) for record in records] == list(range(50))
    assert all(record.count(",") == 2 for record in records)
    names = sorted(path.name for path in (run / "synthetic").glob("part-*"))
    assert names == [f"part-{n:05d}-of-00003.txt" for n in range(3)]
    assert (report.exit_code, report.notices) == (0, [])
    assert report.counts["records"] == 50
    assert report.counts["attempts"] == 50 + len(invalid(run))


def test_the_manifest_describes_the_run(run: Path) -> None:
    stage.generate(settings(run, seed=5))
    written = manifest(run)
    assert written["complete"] is True
    assert (written["stage"], written["seed"], written["precision"], written["runner"]) == (
        "generate", 5, sampling_precision("auto"), "FnApiRunner"
    )  # fmt: skip
    assert written["counts"]["invalid"] == sum(written["counts"]["invalid_by_reason"].values()) == len(invalid(run))
    assert set(written["counts"]["invalid_by_reason"]) == {"length", "empty", "utf8", "field_count"}
    for name, facts in written["outputs"].items():
        assert sha256_file(run / "synthetic" / name) == facts["sha256"]
    assert sum(facts["records"] for facts in written["outputs"].values()) == 50
    assert not (run / ".tmp" / "generate" / "synthetic").exists()


def test_cards_stand_beside_the_records_and_are_replaced_with_them(run: Path) -> None:
    stage.generate(settings(run, output_format=["text", "jsonl"]))
    card, described = (run / "synthetic" / name for name in ("README.md", "croissant.json"))
    assert "50 synthetic records" in card.read_text()
    files = {one["@id"] for one in json.loads(described.read_text())["distribution"] if one["@type"] == "cr:FileObject"}
    assert files == {path.name for path in (run / "synthetic").glob("part-*")} and len(files) == 6
    first = card.read_bytes(), described.read_bytes()
    stage.generate(settings(run, output_format=["text", "jsonl"], overwrite=True))
    assert (card.read_bytes(), described.read_bytes()) == first  # no clock
    stage.generate(settings(run, gen_lines=10, overwrite=True))
    assert "10 synthetic records" in card.read_text() and ".jsonl" not in described.read_text()


def test_same_seed_same_bytes_whatever_the_rows(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formats = ["text", "jsonl", "avro"]
    stage.generate(settings(run, output_format=formats))
    first = everything(run)
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_narrow)
    stage.generate(settings(run, output_format=formats, overwrite=True))
    assert everything(run) == first
    stage.generate(settings(run, output_format=formats, seed=1, overwrite=True))
    assert everything(run).keys() == first.keys()
    assert everything(run) != first


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(run: Path) -> None:
    stage.generate(settings(run, output_format=["text", "avro"]))
    first = everything(run)
    stage.generate(settings(run, output_format=["text", "avro"], overwrite=True), beam_args=["--direct_num_workers=2"])
    assert everything(run) == first


def test_records_do_not_depend_on_the_unit_size(run: Path) -> None:
    stage.generate(settings(run))
    first = lines(run), invalid(run)
    stage.generate(settings(run, unit_size=7, overwrite=True))
    assert (lines(run), invalid(run)) == first


def test_typed_output_is_read_back(tmp_path: Path, run: Path) -> None:
    fake_run(run, columns=["id", "the try", "id"])
    stage.generate(settings(run, output_format=["text", "jsonl", "avro"]))
    records = [line.split(",") for line in lines(run)]
    rows = [json.loads(line) for line in lines(run, "jsonl")]
    assert [list(row) for row in rows] == [["id", "the try", "id_2"]] * 50
    assert [list(row.values()) for row in rows] == records
    typed = []
    for part in sorted((run / "synthetic").glob("*.avro")):
        with open(part, "rb") as shard:
            reader = fastavro.reader(shard)
            assert reader.codec == "deflate"
            assert [field["name"] for field in reader.writer_schema["fields"]] == ["id", "the_try", "id_2"]
            assert reader.writer_schema["fields"][1]["doc"] == "the try"
            typed += list(reader)
    assert [list(row.values()) for row in typed] == records


def test_invalid_records_are_kept_with_their_reason(run: Path) -> None:
    stage.generate(settings(run))
    rows = invalid(run)
    assert [(row["index"], row["attempt"]) for row in rows] == sorted((row["index"], row["attempt"]) for row in rows)
    more = next(row for row in rows if row["reason"] == "field_count")
    assert (more["explain"], more["text"].count(",")) == ("4 fields instead of 3", 3)
    assert all(row["text"] == "" for row in rows if row["reason"] in {"utf8", "empty"})


def test_only_the_first_invalid_records_are_kept(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.generate(settings(run))
    all_rows = invalid(run)
    plain = plan.attempt_settings
    monkeypatch.setattr(plan, "attempt_settings", lambda config, most, ordered: plain(config, most, 7, ordered))
    stage.generate(settings(run, overwrite=True))
    assert invalid(run) == all_rows[:7]
    assert manifest(run, "invalid")["counts"]["kept"] == 7
    assert manifest(run)["counts"]["invalid"] == len(all_rows) > 7


@pytest.mark.parametrize("ceiling", [0, 1, 12, 13])
def test_max_invalid_ends_the_run_where_one_worker_would_have_stopped(run: Path, ceiling: int) -> None:
    stage.generate(settings(run))
    all_lines, all_invalid = lines(run), invalid(run)
    last = all_invalid[ceiling]["index"]
    report = stage.generate(settings(run, max_invalid=ceiling, overwrite=True))
    assert lines(run) == all_lines[:last]
    assert invalid(run) == all_invalid[: ceiling + 1]
    assert report.exit_code == 4
    assert f"more than {ceiling} records were invalid" in report.notices[0]
    written = manifest(run)
    assert (written["complete"], written["stopped"], written["counts"]["missing"]) == (False, "max_invalid", 50 - last)


def test_max_invalid_that_is_not_exceeded_changes_nothing(run: Path) -> None:
    stage.generate(settings(run))
    first = everything(run)
    count = manifest(run)["counts"]["invalid"]
    assert stage.generate(settings(run, max_invalid=count, overwrite=True)).exit_code == 0
    assert everything(run) == first


def test_a_hopeless_model_ends_with_a_shortfall(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_hopeless)
    report = stage.generate(settings(run, max_attempts=5))
    assert report.exit_code == 4
    assert "50 of 50 records are missing" in report.notices[0]
    assert "not valid in 5 attempts each" in report.notices[0]
    assert lines(run) == []
    assert manifest(run)["complete"] is False
    assert report.counts["valid_rate"] == 0.0
    # What is partial may be tried again without overwrite.
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_fake)
    assert stage.generate(settings(run)).exit_code == 0


@pytest.mark.slow
def test_a_valid_rate_that_is_too_low_ends_the_run_at_its_unit(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_hopeless)
    report = stage.generate(settings(run, gen_lines=60))
    written = manifest(run)
    assert (written["stopped"], written["counts"]["attempts"]) == ("rate", 10_000)
    assert list(written["outputs"]) == ["part-00000-of-00003.txt"]
    assert "--min-valid-rate" in report.notices[0]


def test_zero_lines_give_an_empty_complete_output(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_broken)  # no model is loaded
    report = stage.generate(settings(run, gen_lines=0, output_format=["text", "avro"]))
    assert (report.exit_code, report.counts["records"]) == (0, 0)
    assert "valid_rate" not in report.counts
    assert manifest(run)["complete"] is True
    assert [path.name for path in sorted((run / "synthetic").glob("part*"))] == [
        "part-00000-of-00001.avro",
        "part-00000-of-00001.txt",
    ]
    with open(run / "synthetic" / "part-00000-of-00001.avro", "rb") as shard:
        assert list(fastavro.reader(shard)) == []


def test_start_strings_are_paired_with_their_records(run: Path, tmp_path: Path) -> None:
    seeds = [f"{n}," for n in range(900, 945)]
    file = tmp_path / "seeds.txt"
    file.write_text("\n".join(seeds) + "\n")
    stage.generate(settings(run, start_strings_file=str(file), output_format=["text", "jsonl"]))
    assert [line[: len(seed)] for line, seed in zip(lines(run), seeds, strict=True)] == seeds
    rows = [json.loads(line) for line in lines(run, "jsonl")]
    assert [row["start_string"] for row in rows] == seeds
    first = everything(run)
    stage.generate(settings(run, start_string=seeds, output_format=["text", "jsonl"], overwrite=True))
    assert everything(run) == first


def test_one_start_string_begins_every_record(run: Path) -> None:
    stage.generate(settings(run, start_string="77,", gen_lines=9))
    assert len(lines(run)) == 9
    assert all(line.startswith("77,") for line in lines(run))


def test_a_validator_file_is_applied(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "rules.py"
    file.write_text("def even(line):\n    if int(line.split(',')[2]) % 2:\n        raise ValueError('odd')\n")
    stage.generate(settings(run, line_validator=f"{file}:even"))
    assert len(lines(run)) == 50
    assert all(int(line.split(",")[2]) % 2 == 0 for line in lines(run))
    judged = [row for row in invalid(run) if row["reason"] == "validator"]
    assert judged and {row["explain"] for row in judged} == {"ValueError: odd"}


def test_without_a_known_count_fields_are_not_checked(run: Path) -> None:
    fake_run(run, field_count=None)
    stage.generate(settings(run, output_format=["text", "jsonl"]))
    assert {line.count(",") for line in lines(run)} == {2, 3}
    row = json.loads((run / "synthetic" / "part-00000-of-00003.jsonl").read_text().splitlines()[0])
    assert list(row) == ["text"]
    # Columns that are asked for are columns that every record must have.
    stage.generate(settings(run, output_format=["jsonl"], columns=["a", "b", "c", "d"], overwrite=True))
    written = manifest(run)["columns"]
    assert written == ["a", "b", "c", "d"]


def test_a_complete_output_is_refused_and_kept(run: Path) -> None:
    stage.generate(settings(run))
    first = everything(run)
    with pytest.raises(DataError, match="overwrite=True"):
        stage.generate(settings(run, seed=9))
    assert everything(run) == first


def test_an_error_on_a_worker_is_raised_unchanged_and_keeps_the_old_output(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.generate(settings(run))
    first = everything(run)
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_broken)
    with pytest.raises(DataError, match="LS214: the weights are damaged") as caught:
        stage.generate(settings(run, overwrite=True))
    assert caught.value.code == "LS214"
    assert everything(run) == first


def test_a_full_disk_is_reported_and_keeps_the_old_output(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.generate(settings(run))
    first = everything(run)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(staging, "write_shard", full)
    with pytest.raises(DataError, match=r"LS209: checkpoint_dir.*No space left on device"):
        stage.generate(settings(run, overwrite=True))
    assert everything(run) == first
    assert not (run / ".tmp").exists()


def test_without_a_model_no_directory_is_created(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no model"):
        stage.generate(TensorFlowConfig(checkpoint_dir=str(tmp_path / "none")))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_string": "a"}, r"start_string: start string 1 does not end with the field delimiter ','"),
        ({"start_string": ["a,", "é,"]}, r"start string 2 cannot be encoded: .*U\+00E9"),
        ({"start_string": "a,b,c,"}, r"start string 1 begins field 4.*3 fields"),
        ({"start_string": []}, "the list is empty"),
        ({"start_strings_file": "/no/such/file"}, r"start_strings_file.*no such file"),
        ({"line_validator": "no_such_module:f"}, r"line_validator.*does not import"),
        ({"columns": ["a", "b"]}, r"LS109: columns .*2 names.*3 fields"),
    ],
)
def test_bad_settings_are_refused_before_any_work(run: Path, changes: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        stage.generate(settings(run, **changes))
    assert "\n" not in str(caught.value)
    assert not (run / "synthetic").exists()


def test_many_shards_are_listed_beside_the_manifest(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that reads the names of shards finds them in both places."""
    listed = []
    for most in (100, 3):
        monkeypatch.setattr(shard_list, "MOST_IN_MANIFEST", most)
        stage.generate(settings(run, gen_lines=12, unit_size=2, output_format=["text", "avro"], overwrite=True))
        described = manifest(run)
        shards = dict(iter_shards(run / "synthetic", described))
        assert len(shards) == 12 and (run / "synthetic" / SHARDS_FILE).exists() is (most == 3)
        assert all(sha256_file(run / "synthetic" / name) == shard["sha256"] for name, shard in shards.items())
        assert _manifest_of(str(run / "synthetic" / next(iter(shards)))) == described
        assert _manifest_of(str(run / "synthetic" / "part-of-another.txt")) is None
        (dataset,) = RunDatasets(settings(run), run, str(run)).of_command("generate")(True).outputs
        table = records_table(RunDirectory(run), FieldFormat(","))
        card = (run / "synthetic" / "README.md").read_text().replace(SHARDS_FILE, "")
        croissant = json.loads((run / "synthetic" / "croissant.json").read_text())
        named = [part["@id"] for part in croissant["distribution"] if part["@type"] == "cr:FileObject"]
        assert named == (sorted(shards, key=lambda name: name.rpartition(".")[2]) if most == 100 else [SHARDS_FILE])
        listed.append((shards, dataset, None if table is None else table.row_count, card))
    assert listed[0] == listed[1]
