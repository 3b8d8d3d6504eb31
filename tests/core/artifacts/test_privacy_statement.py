"""A statement is accepted beside the weights that it names, and beside nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from linesmith.core.artifacts.checkpoints import digest_arrays, save_arrays
from linesmith.core.artifacts.files import write_bytes
from linesmith.core.artifacts.model_info import read_model_info, write_model_info
from linesmith.core.artifacts.privacy_statement import (
    check_statement,
    covered_weights,
    refuse_not_permitted_files,
    weights_digests,
)
from linesmith.core.errors import DataError
from tests.helpers.run_states import network_weights, write_run, write_statement, write_weights


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path, private=True, state="trained")


def test_a_statement_fits_the_weights_that_it_names(run):
    info = read_model_info(run.root)
    statement = check_statement(run.root)
    assert statement["weights"] == weights_digests(run.model)
    assert covered_weights(statement, info) == {info.weights_digest}
    assert check_statement(run.root, "last") == statement


@pytest.mark.parametrize("state", ["interrupted", "trained"])
def test_a_statement_beside_other_weights_is_refused(tmp_path, state):
    run = write_run(tmp_path, private=True, state=state)
    before = (run.model / "privacy.json").read_bytes()
    write_weights(run, private=True, value=2.0, stopped="epochs")
    (run.model / "privacy.json").write_bytes(before)
    with pytest.raises(DataError, match=r"LS214.*other weights"):
        check_statement(run.root)


def test_other_weights_than_the_default_must_be_named_too(run):
    save_arrays(run.model / "checkpoints" / "epoch-0003.npz", network_weights(7.0))
    with pytest.raises(DataError, match="other weights"):
        check_statement(run.root, "3")
    write_statement(run, weights_digests(run.model))
    assert len(check_statement(run.root, "3")["weights"]) == 3


def test_a_plain_model_has_no_statement_and_a_private_one_has(tmp_path, run):
    plain = write_run(tmp_path / "plain", private=False)
    assert check_statement(plain.root) is None
    write_statement(plain, weights_digests(plain.model))
    with pytest.raises(DataError, match=r"LS214.*speaks of another training"):
        check_statement(plain.root)
    (run.model / "privacy.json").unlink()
    with pytest.raises(DataError, match=r"LS214.*is missing"):
        check_statement(run.root)


@pytest.mark.parametrize("content", ["[]", '{"weights": []}', '{"weights": {}}', "{"])
def test_a_damaged_statement_is_refused(run, content):
    (run.model / "privacy.json").write_text(content)
    with pytest.raises(DataError, match=r"LS214|LS201"):
        check_statement(run.root)


@pytest.mark.parametrize("described", [None, "there is one", {}, {"sha256": None}, {"sha256": "1" * 64}])
def test_a_discriminator_that_the_statement_does_not_name_is_refused(run, described):
    info = read_model_info(run.root)
    statement = json.loads((run.model / "privacy.json").read_text())
    write_model_info(run.model, replace(info, discriminator="0" * 64))
    (run.model / "privacy.json").write_text(json.dumps({**statement, "discriminator": described}))
    with pytest.raises(DataError, match=r"LS214.*another discriminator"):
        check_statement(run.root)
    (run.model / "privacy.json").write_text(json.dumps({**statement, "discriminator": {"sha256": "0" * 64}}))
    check_statement(run.root)


def test_a_schema_that_was_inferred_is_not_covered(run):
    write_bytes(run.model / "record.avsc", b"{}")
    with pytest.raises(DataError, match=r"does not cover 'record.avsc'"):
        check_statement(run.root)


class TestFirstEdition:
    """Its statements name no weights; other files have to show that the statement was written with these."""

    def test_a_complete_model_is_accepted_by_its_manifest(self, run):
        write_statement(run, None)
        statement = check_statement(run.root)
        assert covered_weights(statement, read_model_info(run.root)) == {read_model_info(run.root).weights_digest}

    def test_weights_that_the_manifest_does_not_name_are_refused(self, run):
        write_weights(run, private=True, value=2.0)
        write_statement(run, None)
        with pytest.raises(DataError, match=r"LS214.*names no weights"):
            check_statement(run.root)

    def test_a_manifest_of_a_plain_training_is_refused(self, run):
        manifest = json.loads((run.model / "manifest.json").read_text())
        (run.model / "manifest.json").write_text(json.dumps({**manifest, "settings": {"dp": False}}))
        write_statement(run, None)
        with pytest.raises(DataError, match=r"LS214.*names no weights"):
            check_statement(run.root)

    def test_without_a_manifest_a_checkpoint_of_a_plain_training_is_evidence_against_it(self, tmp_path):
        run = write_run(tmp_path, private=True, state="interrupted")
        write_statement(run, None)
        assert check_statement(run.root)
        save_arrays(run.model / "checkpoints" / "last.npz", {})
        with pytest.raises(DataError, match=r"LS214.*names no weights"):
            check_statement(run.root)


def test_damaged_weights_have_no_digest(run):
    write_bytes(run.model / "checkpoints" / "best.npz", b"torn")
    weights = weights_digests(run.model)
    assert weights == {"last-weights.npz": digest_arrays(network_weights(1.0))}


@pytest.mark.parametrize(
    "name",
    [
        "checkpoints/last.npz",
        "tensorboard/events",
        "record.avsc",
        "notes.txt",
        ".notes",
        "checkpoints/best.npz.old",
        "inputs/x",
    ],
)
def test_files_of_a_private_model_are_on_a_list(run, name):
    save_arrays(run.model / "checkpoints" / "epoch-0012.npz", {})
    write_bytes(run.model / "inputs" / "schema.avsc", b"{}")
    refuse_not_permitted_files(run.model)
    write_bytes(run.model / name, b"")
    with pytest.raises(DataError, match=r"LS214.*is not a file of a model with differential privacy"):
        refuse_not_permitted_files(run.model)
