"""Imported models compute what gretel-synthetics computed, and generate, score and export as other models do."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import linesmith
from linesmith.core.errors import DataError
from linesmith.pipelines.import_gretel.folder import open_folder
from linesmith.pipelines.import_gretel.stage import import_gretel
from linesmith.pipelines.import_gretel.vocabulary import read_vocabulary
from tests.helpers.gretel_models import KINDS, OldNetwork, change_params, old_encoder, unpack

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=KINDS)
def imported(request, tmp_path_factory):
    """Return the old folder, the run directory, and what gretel-synthetics noted."""
    directory = tmp_path_factory.mktemp(request.param)
    folder, run = unpack(request.param, directory), directory / "run"
    import_gretel(str(folder), str(run))
    return folder, run, json.loads((folder / "expected.json").read_text())


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """Return the run directory of the SentencePiece model, with the names of its columns."""
    directory = tmp_path_factory.mktemp("columns")
    folder = unpack("sentencepiece", directory)
    (folder / "headers.json").write_text('["code", "color", "size", "note"]')
    import_gretel(str(folder), str(directory / "run"))
    return directory / "run"


def new_ids(vocabulary, old):
    """Return our ids of a record that begins with the old network's first inputs."""
    known = {old: new for new, old in enumerate(vocabulary.old_ids) if old >= 0}
    first = [0, 2][: len(vocabulary.old_start)]
    return [*first, *(known[number] for number in old[len(first) :])]


def test_the_logits_are_those_of_gretel_synthetics(imported):
    from linesmith.model.training.text_losses import load_trained_network

    folder, run, expected = imported
    vocabulary = read_vocabulary(open_folder(str(folder)))
    assert list(vocabulary.old_start) == expected["start_ids"]
    noted = np.load(folder / "logits.npz")
    ids = np.array([new_ids(vocabulary, row.tolist()) for row in noted["ids"]], np.int32)
    network = load_trained_network(run, linesmith.config_from_model_dir(run))
    found = np.moveaxis(network(ids.T).numpy(), 0, 1)
    columns = [number for number, old in enumerate(vocabulary.old_ids) if old >= 0]
    old = noted["logits"][:, :, [vocabulary.old_ids[number] for number in columns]]
    assert np.abs(old).max() > 3
    # Our network is never given the end of a record as an input; a record that is over so soon is left out there.
    given = (ids != 0) | (np.arange(ids.shape[1]) == 0)
    assert given.mean() > 0.9
    np.testing.assert_allclose(found[:, :, columns][given], old[given], atol=1e-4)
    if len(vocabulary.old_start) > 1:  # the marker follows the first input, always, and nothing else
        others = found[:, :, columns].max(axis=2)
        assert (found[:, 0, 2] > others[:, 0] + 500).all() and (found[:, 1:, 2] < others[:, 1:] - 500)[
            given[:, 1:]
        ].all()


def test_the_oracle_is_the_old_network(imported):
    folder, _, _ = imported
    noted = np.load(folder / "logits.npz")
    np.testing.assert_allclose(OldNetwork(folder).logits(noted["ids"]), noted["logits"], atol=1e-4)


def test_records_are_encoded_as_before_and_decoded(imported):
    folder, run, expected = imported
    tokenizer, vocabulary = linesmith.tokenizer_from_model_dir(run), read_vocabulary(open_folder(str(folder)))
    encode = old_encoder(folder)
    for line, old in zip(expected["first_lines"], expected["first_line_ids"], strict=False):
        assert encode(line) == old
        assert [0, *tokenizer.encode_to_ids(line), 0] == new_ids(vocabulary, [*expected["start_ids"], *old])
    for line in expected["first_lines"]:
        assert tokenizer.decode_from_ids(tokenizer.encode_to_ids(line)) == line
    with pytest.raises(linesmith.TokenizerError, match="LS223"):
        tokenizer.encode_to_ids("\N{SNOWMAN}")


def test_scores_are_log_likelihoods_under_the_old_network(imported):
    folder, run, expected = imported
    lines = expected["first_lines"][:40]
    old = OldNetwork(folder).log_likelihoods(expected["start_ids"], [*map(old_encoder(folder), lines)])
    np.testing.assert_allclose(linesmith.load(run).score(lines), old, atol=1e-3)


@pytest.mark.slow
def test_records_are_as_likely_under_the_old_network_as_its_own(imported):
    folder, run, expected = imported
    texts = linesmith.load(run).sample(8000, seed=3)
    found = OldNetwork(folder).log_likelihoods(expected["start_ids"], [*map(old_encoder(folder), texts)])
    assert expected["counted_samples"] > 5000
    assert found.mean() == pytest.approx(expected["mean_log_likelihood"], rel=0.01)
    assert found.std() == pytest.approx(expected["standard_deviation"], rel=0.1)
    # A network that is only a little wrong, as one that begins from another token, is found out.
    other = OldNetwork(folder).log_likelihoods([5], [*map(old_encoder(folder), texts)])
    assert other.mean() != pytest.approx(expected["mean_log_likelihood"], rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_command_imports_and_a_thousand_records_are_generated(tmp_path, kind):
    folder, run = unpack(kind, tmp_path), tmp_path / "run"
    done = command("import-gretel", folder, run)
    assert done.returncode == 0 and "note: there is no training data" in done.stdout
    done = command("generate", "--output", run, "--num-lines", "1000", "--columns", "code,color,size,note")
    assert done.returncode == 0, done.stderr
    lines = [line for part in sorted((run / "synthetic").glob("part*")) for line in part.read_text().splitlines()]
    delimiter = json.loads((folder / "model_params.json").read_text())["field_delimiter"]
    assert len(lines) == 1000 and {line.count(delimiter) for line in lines} == {3}
    again = command("import-gretel", folder, run)
    assert again.returncode == 2 and "LS204" in again.stderr and "Traceback" not in again.stderr


def command(*arguments):
    """Run a command of Linesmith."""
    typed = [sys.executable, "-m", "linesmith", *map(str, arguments)]
    return subprocess.run(typed, capture_output=True, text=True, check=False)


def test_start_strings_begin_records(imported):
    folder, run, _ = imported
    delimiter = json.loads((folder / "model_params.json").read_text())["field_delimiter"]
    start = f"B5{delimiter}dark red{delimiter}"
    texts = linesmith.load(run).sample(20, start_string=start)
    assert len(set(texts)) > 1 and all(text.startswith(start) for text in texts)


def test_column_names_of_a_batch_are_taken_and_kept_to(pieces):
    model = linesmith.load(pieces)
    assert model.columns == ["code", "color", "size", "note"] and model.privacy is None
    assert {text.count(",") for text in model.sample(200)} == {3}


def test_types_hold_for_a_first_field_whose_tokens_begin_with_a_space(pieces, tmp_path):
    symbols = ["A5", "B7", "C1"]
    schema = {
        "type": "record",
        "name": "r",
        "fields": [
            {"name": "code", "type": {"type": "enum", "name": "codes", "symbols": symbols}},
            *({"name": name, "type": "string"} for name in ("color", "size", "note")),
        ],
    }
    (tmp_path / "schema.avsc").write_text(json.dumps(schema))
    texts = linesmith.load(pieces).sample(100, schema_file=str(tmp_path / "schema.avsc"))
    assert {text.split(",")[0] for text in texts} == set(symbols)


def test_empty_fields_are_filled_in_their_place(pieces, tmp_path):
    (tmp_path / "partial.csv").write_text("code,color,size,note\n,light blue,,\nA5,,50,new\n")
    first, second = linesmith.load(pieces).sample(2, impute=str(tmp_path / "partial.csv"))
    assert first.split(",")[1] == "light blue" and first.split(",")[0]
    assert second.startswith("A5,") and second.endswith(",50,new")


def test_a_limit_of_characters_counts_the_text_alone(imported):
    from linesmith.model.sampling.batch_decoder import char_counts

    _, run, expected = imported
    tokenizer = linesmith.tokenizer_from_model_dir(run)
    counts = char_counts(tokenizer)
    for line in expected["first_lines"]:
        assert counts[tokenizer.encode_to_ids(line)].sum() == len(line)


def test_export_and_load(imported, tmp_path):
    from linesmith.pipelines.export import export

    _, run, _ = imported
    export(str(run), str(tmp_path / "model.tar.gz"))
    loaded = linesmith.load(tmp_path / "model.tar.gz")
    assert loaded.sample(5, seed=1) == linesmith.load(run).sample(5, seed=1)


def test_what_is_not_carried_over_is_said(tmp_path):
    folder = unpack("characters", tmp_path / "old")
    change_params(folder, dp=True, reset_states=False, field_delimiter=";;", gen_temp=0.5, gen_lines=7)
    (folder / "validator.p.gz").write_bytes(b"code")
    report = import_gretel(str(folder), str(tmp_path / "run"))
    notes = " ".join(report.notices)
    for words in ("epsilon is not carried over", "reset_states false", "character by character", "--line-validator"):
        assert words in notes
    settings = linesmith.config_from_model_dir(tmp_path / "run")
    assert (settings.dp, settings.gen_temp, settings.gen_lines, settings.field_delimiter) == (False, 0.5, 7, ";;")
    assert not list((tmp_path / "run").rglob("*privacy*"))
    model = linesmith.load(tmp_path / "run")
    assert model.privacy is None and len(model.sample(3)) == 3


def test_a_model_without_a_delimiter_writes_lines(tmp_path):
    folder = unpack("sentencepiece", tmp_path / "old")
    for file in ("model_params.json", "tokenizer_params.json"):
        change_params(folder, file, field_delimiter=None)
    import_gretel(str(folder), str(tmp_path / "run"))
    assert all(text and "<d>" not in text for text in linesmith.load(tmp_path / "run").sample(20))


@pytest.mark.parametrize("changes", [{"rnn_units": 15}, {"embedding_dim": 9}, {"rnn_units": 8}])
def test_sizes_that_do_not_fit_are_refused(tmp_path, changes):
    folder = unpack("characters", tmp_path / "old")
    change_params(folder, **changes)
    with pytest.raises(DataError, match=r"LS241.*an array layer_with_weights-\d/.*call for"):
        import_gretel(str(folder), str(tmp_path / "out" / "run"))
    assert not (tmp_path / "out").exists()


DATA = "synthetic.data-00000-of-00001"


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *(
            ("synthetic.index", lambda content, share=share: content[: int(len(content) * share)])
            for share in (0, 0.3, 0.95)
        ),
        # The weights come first, then what the optimizer had.
        *((DATA, lambda content, share=share: content[: int(len(content) * share)]) for share in (0, 0.2, 0.45)),
        (DATA, lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, name, damage):
    folder = unpack("sentencepiece", tmp_path / "old")
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(DataError, match=r"LS241.*'synthetic"):
        import_gretel(str(folder), str(tmp_path / "out" / "run"))
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_numbers_are_refused(tmp_path, monkeypatch):
    import tensorflow as tf

    class _Reader:
        def __init__(self, prefix):
            self._reader = read(prefix)

        def __getattr__(self, name):
            return getattr(self._reader, name)

        def get_tensor(self, name):
            return self._reader.get_tensor(name) * np.float32("nan")

    read = tf.train.load_checkpoint
    monkeypatch.setattr(tf.train, "load_checkpoint", _Reader)
    with pytest.raises(DataError, match="not finite"):
        import_gretel(str(unpack("characters", tmp_path / "old")), str(tmp_path / "out"))
