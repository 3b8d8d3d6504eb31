"""Model card, dataset card and Croissant description: what they say, what they never hold, and when they are written again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from linesmith.core.artifacts.archive import write_archive
from linesmith.core.artifacts.files import write_json
from linesmith.core.artifacts.manifest import read_manifest, write_manifest
from linesmith.core.artifacts.privacy_statement import refuse_not_permitted_files
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.errors import DataError
from linesmith.pipelines.cards.croissant import croissant
from linesmith.pipelines.cards.files import refresh_cards
from linesmith.pipelines.cards.markdown import plain
from linesmith.pipelines.evaluate.refresh import mark_report_stale
from tests.helpers.run_states import write_run

CLAIM = {"format_version": 1, "epsilon": 7.991, "delta": 1e-6, "unit": "one record", "adjacency": "add or remove one",
         "meaning": "At most so much.", "not_covered": {"raw vocabulary": "not in use here"}}  # fmt: skip
TYPES = [
    {"name": "id", "type": "long"},
    {"name": "a|b\nc", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "kind", "type": "enum"},
]
SHARDS = {
    f"part-0000{n}-of-00002.{suffix}": {"records": 30, "bytes": 100 + n, "sha256": f"{n}" * 64}
    for suffix in ("parquet", "txt", "avro")
    for n in (0, 1)
}
SECRET = "SECRET-VALUE"


def records_manifest(run: RunDirectory, **changes) -> dict:
    digest = json.loads((run.model / "model.json").read_text())["weights_digest"]
    settings = {"gen_temp": 0.7, "where": [f"country={SECRET}"], "start_strings_file": f"/people/{SECRET}.csv"}
    return {
        "complete": True,
        "private": run.private,
        "counts": {
            "requested": 60,
            "records": 60,
            "attempts": 80,
            "valid_rate": 0.75,
            "invalid_by_reason": {SECRET: 1},
        },
        "seed": 3,
        "model": {"weights_digest": digest},
        "validator": f"/people/{SECRET}.py:f",
        "columns": [one["name"] for one in TYPES],
        "types": TYPES,
        "partition_by": None,
        "settings": settings,
        "outputs": SHARDS,
        **changes,
    }


def report(run: RunDirectory, privacy: str = "no leak found") -> dict:
    digest = json.loads((run.model / "model.json").read_text())["weights_digest"]
    test = {"name": "near copies", "units": 9, "share": {"training": 0.125, "holdout": 0.0}, "leak": False}
    return {
        "context": {"synthetic": {"model": {"weights_digest": digest}}},
        "sets": {name: {"records": 60} for name in ("training", "holdout", "synthetic")},
        "scores": {"closeness": {"value": 0.91}, "privacy": {"value": 0.5}},
        "verdict": {"closeness": "near", "privacy": privacy},
        "closeness": {"components": [{"name": "usefulness", "score": 0.5, "reachable": None, "how": SECRET}]},
        "safety": {"tests": [test], "examples": [{"text": SECRET}]},
        "samples": {"training": [[SECRET]]},
    }


@pytest.fixture
def run(tmp_path, request) -> RunDirectory:
    """A complete run; indirect parameter True: with differential privacy."""
    made = write_run(tmp_path / "run", private=getattr(request, "param", False))
    if made.private:
        write_json(made.model / "privacy.json", CLAIM)
    settings = {"dp": made.private, "dataset_name": SECRET, "input_data_path": f"/people/{SECRET}.csv", "epochs": 7}
    write_manifest(made.model, "train", {"settings": settings, "counts": {"records": 2259, "stopped by": "epochs"}})
    write_manifest(made.synthetic, "generate", records_manifest(made))
    return made


def cards(run: RunDirectory) -> tuple[str, str, str]:
    refresh_cards(run)
    return tuple((run.root / name).read_text("utf-8") for name in
                 ("model/README.md", "synthetic/README.md", "synthetic/croissant.json"))  # fmt: skip


def front_matter(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def write_report(run: RunDirectory, body: dict, directory: Path | None = None) -> None:
    directory = run.root / "report" if directory is None else directory
    write_json(directory / "report.json", body)
    write_manifest(directory, "evaluate", {})


@pytest.mark.parametrize("run", [False, True], indirect=True, ids=["plain", "private"])
def test_cards_hold_nothing_raw_and_are_equal_each_time(run):
    write_report(run, report(run))
    first = cards(run)
    assert SECRET not in "".join(first) and "/people" not in "".join(first) and str(run.root) not in "".join(first)
    assert cards(run) == first
    model, records, _ = first
    assert "| records | 2,259 |" in model and "| epochs | 7 |" in model
    assert "75.0%" in records and "| records were asked for by | start\\_strings\\_file, where |" in records


def test_a_plain_card_promises_nothing_and_a_private_one_rounds_up(run, tmp_path):
    assert "**No privacy is promised.**" in cards(run)[0]
    private = write_run(tmp_path / "private", private=True)
    write_json(private.model / "privacy.json", CLAIM)
    write_manifest(private.synthetic, "generate", records_manifest(private))
    for card in cards(private)[:2]:
        assert "epsilon 8.00 at delta 1e-06" in card and "raw vocabulary: not in use here." in card
        assert "differential-privacy" in front_matter(card)["tags"]
    refuse_not_permitted_files(private.model)


def test_a_statement_without_a_claim_is_not_quoted(tmp_path):
    private = write_run(tmp_path / "run", private=True)  # its statement names weights only
    refresh_cards(private)
    card = (private.model / "README.md").read_text()
    assert "says what is claimed, if anything" in card and "No privacy is promised" not in card


def test_figures_of_a_report_are_quoted_while_they_are_of_these_records(run):
    assert "Not evaluated." in cards(run)[0]
    write_report(run, report(run))
    for card in cards(run)[:2]:
        assert "**Closeness: near** (score 0.91 of 1)" in card
        assert "| near copies | 9 | 12.50% | 0.00% | none found |" in card
    mark_report_stale(run.root)
    assert all("Not evaluated." in card for card in cards(run)[:2])


def test_figures_of_other_weights_are_not_quoted(run):
    other = report(run)
    other["context"]["synthetic"]["model"]["weights_digest"] = "other"
    write_report(run, other)
    assert "Not evaluated." in cards(run)[0]
    write_report(run, {**report(run), "context": {}})  # any files were compared
    assert "Not evaluated." in cards(run)[0]


@pytest.mark.parametrize("run", [True], indirect=True)
@pytest.mark.parametrize("place", ["report", "private/report"])
def test_figures_depend_on_records_and_never_enter_a_private_card(run, place):
    before = cards(run)
    write_report(run, report(run, "leak"), run.root / place)
    assert cards(run) == before
    assert "0.91" not in "".join(before)


def test_a_damaged_report_is_refused(run):
    write_report(run, {**report(run), "sets": []})
    with pytest.raises(DataError, match="LS201"):
        refresh_cards(run)


def test_what_is_not_complete_gets_no_card(tmp_path):
    run = write_run(tmp_path / "run", private=False, state="interrupted")
    refresh_cards(run)
    assert not (run.model / "README.md").exists() and not run.synthetic.exists()
    old = write_run(tmp_path / "old", private=False)  # its output's manifest names no files
    refresh_cards(old)
    assert (old.model / "README.md").exists() and not (old.synthetic / "README.md").exists()


def test_the_card_of_another_run_is_left_alone(run, tmp_path):
    refresh_cards(run)
    before = (run.model / "README.md").read_text()
    linked = RunDirectory(tmp_path / "linked")
    linked.root.mkdir()
    linked.model.symlink_to(run.model)
    write_report(linked, report(run))
    refresh_cards(linked)
    assert (run.model / "README.md").read_text() == before


def test_the_hub_reads_records_and_not_the_other_files(run):
    matter = front_matter(cards(run)[1])
    assert matter["size_categories"] == ["n<1K"]
    assert [one["config_name"] for one in matter["configs"]] == ["parquet", "txt"]  # it cannot read Avro
    assert matter["configs"][0] == {
        "config_name": "parquet",
        "data_files": [{"split": "train", "path": "part-*.parquet"}],
        "default": True,
    }


def test_names_of_columns_stay_text(run):
    assert "| a\\|b c | decimal number | yes |" in cards(run)[1]
    assert plain("<img>[x](y)*`#\x1b") == "\\<img\\>\\[x\\](y)\\*\\`\\# "


def test_a_partial_output_says_so(run):
    counts = {"requested": 60, "records": 10, "attempts": 80}
    write_manifest(run.synthetic, "generate", records_manifest(run, complete=False, counts=counts))
    assert "**Partial**: 10 of 60 records could be made." in cards(run)[1]


def test_croissant_names_every_file_with_its_digest(run):
    described = json.loads(cards(run)[2])
    files = {one["@id"]: one for one in described["distribution"] if one["@type"] == "cr:FileObject"}
    assert {name: (one["sha256"], one["contentSize"]) for name, one in files.items()} == {
        name: (facts["sha256"], f"{facts['bytes']} B") for name, facts in SHARDS.items()
    }
    sets = {one["@id"]: one["includes"] for one in described["distribution"] if one["@type"] == "cr:FileSet"}
    assert sets == {"files-avro": "part-*.avro", "files-parquet": "part-*.parquet", "files-txt": "part-*.txt"}
    fields = {one["name"]: one["field"] for one in described["recordSet"]}
    assert [one["dataType"] for one in fields["records-parquet"]] == [
        "sc:Integer", "sc:Float", "sc:Date", "sc:DateTime", "sc:Text",
    ]  # fmt: skip
    assert [one["source"]["extract"] for one in fields["records-txt"]] == [{"fileProperty": "lines"}]


def test_a_partition_is_a_directory_and_no_column(run):
    described = croissant(records_manifest(run, partition_by="kind"))
    assert (
        next(one["includes"] for one in described["distribution"] if one["@type"] == "cr:FileSet") == "**/part-*.avro"
    )
    assert "kind" not in [one["name"] for one in described["recordSet"][0]["field"]]


def test_an_archive_holds_the_card_of_the_model(run, tmp_path):
    cards(run)
    members = write_archive(run.root, tmp_path / "model.tar.gz")["members"]
    assert "model/README.md" in members and not any(name.startswith("synthetic/") for name in members)


@pytest.mark.parametrize("suffixes", [("parquet",), ("txt", "avro")])
def test_mlcroissant_finds_no_fault(run, suffixes):
    mlcroissant = pytest.importorskip("mlcroissant", reason="of the extra dev")
    outputs = {name: facts for name, facts in SHARDS.items() if name.endswith(suffixes)}
    path = run.root / "croissant.json"
    for partition_by in (None, "kind"):
        write_json(path, croissant(records_manifest(run, outputs=outputs, partition_by=partition_by)))
        issues = mlcroissant.Dataset(path).metadata.ctx.issues
        assert not issues.errors
        assert all("is recommended" in text for text in issues.warnings)  # license, date, … that only the user knows
    write_json(path, {**croissant(records_manifest(run, outputs=outputs)), "distribution": []})
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(path)


def test_cards_are_no_part_of_what_manifests_cover(run):
    before = read_manifest(run.synthetic)
    cards(run)
    assert read_manifest(run.synthetic) == before
    assert not [name for name in before["outputs"] if name.endswith((".md", ".json"))]
