"""The tokenizer with bytes as a public vocabulary: exact inverse, independent of the data, equal to its TensorFlow graph.

Artifacts that depend on raw data are in a separate place.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.core.artifacts.run_directory import promote, run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError, TokenizerError
from linesmith.model.tokenizers import ByteTokenizer, load_tokenizer, tokenizer_from_model_dir
from linesmith.model.tokenizers.byte_tokenizer import IMPOSSIBLE_BYTES
from linesmith.model.tokenizers.token_format import TokenFormat
from tests.helpers.adversarial_texts import ADVERSARIAL_TEXTS
from tests.pipelines.tokenize.test_stage import GOOD, config_of, records

FORMATS = [
    TokenFormat(),
    TokenFormat(", "),
    TokenFormat(",", quoted=True),
    TokenFormat(",", column_pattern="<col{}>", markers=2),
    TokenFormat("€"),
]
TEXTS = st.text(st.one_of(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), st.sampled_from(', "€\t')))


@pytest.mark.parametrize("fields", FORMATS, ids=str)
@settings(derandomize=True, deadline=None, max_examples=200)
@given(text=TEXTS)
def test_text_is_restored(fields, text):
    tokenizer = ByteTokenizer(fields)
    ids = tokenizer.encode_to_ids(text)
    assert tokenizer.decode_from_ids(ids) == text
    assert not set(ids) & set(tokenizer.never_sampled)
    assert max(ids, default=0) < tokenizer.total_vocab_size == fields.reserved_count + 256


@pytest.mark.parametrize("text", ADVERSARIAL_TEXTS)
def test_adversarial_text_is_restored(text):
    for fields in FORMATS:
        tokenizer = ByteTokenizer(fields)
        assert tokenizer.decode_from_ids(tokenizer.encode_to_ids(text)) == text


def test_never_sampled_are_the_bytes_that_utf8_does_not_use():
    everything = {byte for point in (*range(0xD800), *range(0xE000, 0x110000)) for byte in chr(point).encode()}
    assert set(IMPOSSIBLE_BYTES) == set(range(256)) - everything | {0x0A}


def test_reserved_ids_never_come_from_text():
    ids = ByteTokenizer(TokenFormat(",", column_pattern="<col{}>", markers=2)).encode_to_ids("<n><d>,<col0>,c")
    assert [number for number in ids if number < 4] == [2, 1, 3, 1]  # the third field has no marker


def test_ids_that_are_not_text_are_refused():
    tokenizer = ByteTokenizer(TokenFormat(","))
    euro = [2 + byte for byte in "€".encode()]
    cases = {"utf8": [euro[:2], [euro[0], 1, *euro[1:]], euro[1:], [2 + 0xFF]], "range": [[-1], [258], [10**9]]}
    for code, sequences in cases.items():
        for ids in sequences:
            with pytest.raises(TokenizerError) as caught:
                tokenizer.decode_from_ids(ids)
            assert caught.value.reason == code
    for text, code_point in {"a\nb": "U+000A", "secret\ud800": "U+D800"}.items():
        with pytest.raises(TokenizerError, match=code_point.replace("+", r"\+")) as caught:
            tokenizer.encode_to_ids(text)
        assert "secret" not in str(caught.value)


def test_saved_and_loaded(tmp_path):
    tokenizer = ByteTokenizer(FORMATS[3])
    tokenizer.save(tmp_path / "tokenizer")
    loaded = tokenizer_from_model_dir(tmp_path)
    assert isinstance(loaded, ByteTokenizer)
    assert (loaded.token_format, loaded.digest) == (tokenizer.token_format, tokenizer.digest)
    assert tokenizer.digest != ByteTokenizer(FORMATS[0]).digest
    path = tmp_path / "tokenizer" / "tokenizer_params.json"
    path.write_text(path.read_text().replace('"markers": 2', '"markers": 3'))
    with pytest.raises(DataError, match="damaged"):
        load_tokenizer(tmp_path / "tokenizer")


# --- through the stage


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    from linesmith.pipelines.tokenize.stage import tokenize

    config = config_of(
        tmp_path_factory.mktemp("private"), dp=True, column_pattern="<col{}>", columns=["hour", "name", "cost", "more"]
    )
    tokenize(config)
    return config


@pytest.mark.integration
def test_the_graph_and_plain_python_agree(private):
    run = run_directory(private)
    tokenizer = load_tokenizer(run.tokenizer)
    assert isinstance(tokenizer, ByteTokenizer)
    assert tokenizer.token_format.markers == 4  # from the columns in the settings, not from the data
    texts = []
    for split in ("train", "validation", "holdout"):
        for ids, _, _ in records(run.training_data, split):
            text = tokenizer.decode_from_ids(ids[1:-1])
            assert ids == [0, *tokenizer.encode_to_ids(text), 0]
            texts.append(text)
    # With columns their number is a rule: other records are rejects.
    assert Counter(texts) == Counter(text for text in GOOD if text.count(", ") == 3)


@pytest.mark.integration
def test_artifacts_of_raw_data_are_separate(private):
    root = run_directory(private).root
    assert sorted(p.name for p in root.iterdir() if not p.name.startswith(".")) == ["private", "tokenizer"]
    assert sorted(p.name for p in (root / "private").iterdir()) == ["rejects", "training_data"]
    assert (root / "private" / "training_data" / "statistics.json").is_file()
    assert any((root / "private" / "rejects").iterdir())


@pytest.mark.integration
def test_the_public_tokenizer_does_not_depend_on_the_data(private, tmp_path):
    from linesmith.pipelines.tokenize.stage import tokenize

    (tmp_path / "input.txt").write_text("".join(f"{n}, other, words, x\n" for n in range(50)))
    other = config_of(tmp_path, dp=True, column_pattern="<col{}>", columns=private.columns)
    tokenize(other)
    for path in sorted(run_directory(private).tokenizer.iterdir()):
        assert path.read_bytes() == (run_directory(other).tokenizer / path.name).read_bytes()


@pytest.mark.integration
def test_data_tokenized_without_privacy_are_not_current_with_it(private):
    from linesmith.pipelines.tokenize.stage import is_current

    assert is_current(private)
    assert is_current(private.replace(dp_target_epsilon=2.0))
    assert not is_current(private.replace(dp=False))  # they are in another directory
    with pytest.raises(DataError, match="dp_vocabulary was 'bytes' and is now 'raw'"):
        is_current(private.replace(dp_vocabulary="raw"))


@pytest.mark.integration
def test_raw_characters_when_asked_for(tmp_path):
    from linesmith.pipelines.tokenize.stage import tokenize

    config = config_of(tmp_path, dp=True, dp_vocabulary="raw")
    tokenize(config)
    params = json.loads((run_directory(config).tokenizer / "tokenizer_params.json").read_text())
    assert params["kind"] == "characters"
    assert (run_directory(config).root / "private" / "training_data").is_dir()


def test_overwriting_with_or_without_privacy_leaves_no_raw_data_behind(tmp_path):
    old = TensorFlowConfig(checkpoint_dir=tmp_path)
    new = TensorFlowConfig(checkpoint_dir=tmp_path, dp=True, overwrite=True)
    for directory in (run_directory(old).training_data, run_directory(old).rejects):
        directory.mkdir(parents=True)
    for directory in ("model", "private/training_data", "tokenizer"):
        (tmp_path / ".next" / directory).mkdir(parents=True)
    (tmp_path / ".next" / "model" / "manifest.json").write_text("{}")
    promote(run_directory(new))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "private", "tokenizer"]


def test_markers_need_public_columns():
    from linesmith.pipelines.tokenize.stage import tokenize

    with pytest.raises(ParameterError, match=r"LS301.*Give columns"):
        tokenize(TensorFlowConfig(dp=True, field_delimiter=",", column_pattern="<c{}>"))
