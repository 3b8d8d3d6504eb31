"""Tokenizers outside the graph: exact inverses on adversarial text, errors that name code points, and damaged files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError, TokenizerError, VocabSizeTooSmall
from linesmith.model.tokenizers import (
    CharTokenizer,
    CharTokenizerTrainer,
    SentencePieceTokenizer,
    SentencePieceTokenizerTrainer,
    load_tokenizer,
    sentencepiece_tokenizer,
    tokenizer_from_model_dir,
)
from linesmith.model.tokenizers.escape import ESCAPE, escape, unescape
from linesmith.model.tokenizers.sentencepiece_training import train_sentencepiece
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.model.tokenizers.word_counts import WordCounts
from linesmith.records.fields import DELIMITER_ID
from tests.helpers.adversarial_texts import ADVERSARIAL_TEXTS

DERANDOMISED = settings(derandomize=True, deadline=None, max_examples=200)
TEXTS = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), st.sampled_from('▁▅,"\t ' + ESCAPE))
)


def words_from(*lines: str) -> list[tuple[str, int]]:
    counts = WordCounts(10**6)
    counts.add_lines((0, line) for line in lines)
    return counts.sorted_counts()


@pytest.fixture(scope="module")
def model() -> bytes:
    return train_sentencepiece(
        words_from("hello world, 12,, ▁ \t", "hello word, 21", *ADVERSARIAL_TEXTS[:20]),
        vocab_size=600,
        reserved_count=2,
    )


def characters(fields: TokenFormat, *texts: str) -> CharTokenizer:
    return CharTokenizer(sorted({ord(c) for text in texts for c in text} - {10}), fields)


FORMATS = [
    TokenFormat(),
    TokenFormat(","),
    TokenFormat(", "),
    TokenFormat(",", quoted=True),
    TokenFormat(",", column_pattern="<col{}>", markers=2),
    TokenFormat("0"),  # looks like the second half of an escape
    TokenFormat("▁"),
]


@pytest.mark.integration
@pytest.mark.parametrize("fields", FORMATS, ids=str)
@DERANDOMISED
@given(text=TEXTS)
def test_characters_are_restored(fields, text):
    tokenizer = characters(fields, text, fields.field_delimiter or "")
    assert tokenizer.decode_from_ids(tokenizer.encode_to_ids(text)) == text


@pytest.mark.parametrize("fields", FORMATS, ids=str)
def test_sentencepieces_are_restored(model, fields):
    tokenizer = SentencePieceTokenizer(model, fields)

    @DERANDOMISED
    @given(text=TEXTS)
    def check(text):
        assert tokenizer.decode_from_ids(tokenizer.encode_to_ids(text)) == text

    check()


@pytest.mark.parametrize("text", ADVERSARIAL_TEXTS)
def test_adversarial_text_is_restored(model, text):
    for fields in FORMATS:
        for tokenizer in (SentencePieceTokenizer(model, fields), characters(fields, text)):
            ids = tokenizer.encode_to_ids(text)
            assert tokenizer.decode_from_ids(ids) == text
            assert not set(ids) & set(tokenizer.never_sampled)


def test_reserved_ids_never_come_from_text(model):
    fields = TokenFormat(",", column_pattern="<col{}>", markers=2)
    text = "<n><d><col0><unk><0x41>"
    for tokenizer in (SentencePieceTokenizer(model, fields), characters(fields, text)):
        ids = tokenizer.encode_to_ids(text)
        assert ids[0] == 2
        assert min(ids[1:]) >= fields.reserved_count


def test_structure_of_a_record(model):
    fields = TokenFormat(", ", column_pattern="<col{}>", markers=2)
    tokenizer = SentencePieceTokenizer(model, fields)
    ids = tokenizer.encode_to_ids("a, b, c")
    assert [number for number in ids if number < fields.reserved_count] == [
        2,
        DELIMITER_ID,
        3,
        DELIMITER_ID,
    ]  # third: no marker
    assert tokenizer.encode_to_ids("a, ")[-2:] == [
        DELIMITER_ID,
        3,
    ]  # a start string that ends with a delimiter begins the next field
    assert fields.reserved_tokens == ["<n>", "<d>", "<col0>", "<col1>"]


@DERANDOMISED
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=9), max_size=5))
def test_arrays_and_lists_of_ids_have_the_same_structure(texts):
    tokenizer = characters(TokenFormat(",", column_pattern="<col{}>", markers=2), "".join(texts) + "a")
    ids = [number for text in [*texts, "a"] for number in tokenizer.encode_to_ids(text)]
    assert tokenizer.decode_structure(np.array(ids, np.int64)) == tokenizer.decode_structure(ids)
    with pytest.raises(IndexError):
        tokenizer.decode_structure(np.array([tokenizer.total_vocab_size], np.int64))


def test_quoted_delimiters_do_not_separate():
    tokenizer = characters(TokenFormat(",", quoted=True), 'a,"b')
    assert tokenizer.encode_to_ids('a,"b,a"').count(DELIMITER_ID) == 1
    assert tokenizer.decode_from_ids(tokenizer.encode_to_ids('a,"b,a"')) == 'a,"b,a"'


def test_unknown_character_is_named_by_code_point_only():
    with pytest.raises(TokenizerError, match=r"U\+2603") as caught:
        characters(TokenFormat(), "secret").encode_to_ids("secret☃")
    assert "secret" not in str(caught.value)
    with pytest.raises(TokenizerError, match=r"U\+000A"):
        characters(TokenFormat(), "ab").encode_to_ids("a\nb")


def test_ids_that_are_not_text_are_refused(model):
    tokenizer = SentencePieceTokenizer(model, TokenFormat(","))
    euro = SentencePieceTokenizer(model, TokenFormat()).encode_to_ids("€")
    assert len(euro) == 3  # byte pieces, since the model never saw it
    lone = [4 + byte for byte in ESCAPE.encode()]  # the byte pieces follow <n>, <d>, the unknown token and the tab
    cases = {
        "utf8": [euro[:2], [*euro[:1], 1, *euro[1:]]],
        "escape": [lone, [*lone, 1], [*lone, *tokenizer.encode_to_ids("x")]],
        "range": [[-1], [tokenizer.total_vocab_size], [10**9]],
        "unknown": [list(tokenizer.never_sampled[:1])],
    }
    for code, sequences in cases.items():
        for ids in sequences:
            with pytest.raises(TokenizerError) as caught:
                tokenizer.decode_from_ids(ids)
            assert caught.value.reason == code
    for ids in ([-1], [99]):
        with pytest.raises(TokenizerError) as caught:
            characters(TokenFormat(), "ab").decode_from_ids(ids)
        assert caught.value.reason == "range"


def test_newline_piece_is_never_sampled(model):
    tokenizer = SentencePieceTokenizer(model, TokenFormat())
    allowed = set(range(tokenizer.total_vocab_size)) - set(tokenizer.never_sampled) - {0}
    for number in allowed:
        assert b"\n" not in tokenizer._bytes[number]


@DERANDOMISED
@given(TEXTS, TEXTS)
def test_escape_is_a_bijection(text, other):
    assert unescape(escape(text)) == text
    assert "▁" not in escape(text)
    assert (escape(text) == escape(other)) == (text == other)


@pytest.mark.parametrize("kind", ["characters", "sentencepiece"])
def test_saved_and_loaded(kind, model, tmp_path):
    fields = TokenFormat(", ", quoted=False, column_pattern="[{}]", markers=3)
    tokenizer = (
        characters(fields, *ADVERSARIAL_TEXTS) if kind == "characters" else SentencePieceTokenizer(model, fields)
    )
    tokenizer.save(tmp_path / "tokenizer")
    for loaded in (load_tokenizer(tmp_path / "tokenizer"), tokenizer_from_model_dir(tmp_path)):
        assert loaded.digest == tokenizer.digest
        assert loaded.encode_to_ids("1, 2") == tokenizer.encode_to_ids("1, 2")
    assert {path.suffix for path in (tmp_path / "tokenizer").iterdir()} <= {".json", ".model"}
    params = json.loads((tmp_path / "tokenizer" / "tokenizer_params.json").read_text())
    assert params["reserved_tokens"] == ["<n>", "<d>", "[0]", "[1]", "[2]"]


@pytest.mark.parametrize("kind", ["characters", "sentencepiece"])
@pytest.mark.parametrize("damage", ["cut", "foreign", "other", "gone"])
def test_damaged_files_are_named(kind, damage, model, tmp_path):
    fields = TokenFormat(",")
    tokenizer = characters(fields, "abc,") if kind == "characters" else SentencePieceTokenizer(model, fields)
    tokenizer.save(tmp_path)
    other = (
        characters(fields, "xyz,")
        if kind == "characters"
        else SentencePieceTokenizer(train_sentencepiece([("zebra", 3)], vocab_size=300, reserved_count=2), fields)
    )
    other.save(tmp_path / "other")
    for path in sorted(tmp_path.glob("*.*")):
        content = path.read_bytes()
        replacement = {
            "cut": content[: len(content) // 2],
            "foreign": b"\x00\xffnot ours",
            "other": (tmp_path / "other" / path.name).read_bytes(),
        }
        path.unlink()
        if damage != "gone":
            path.write_bytes(replacement[damage])
        with pytest.raises(DataError, match=r"LS20[12]") as caught:
            load_tokenizer(tmp_path)
        assert str(tmp_path) in str(caught.value)
        path.write_bytes(content)
    assert load_tokenizer(tmp_path).digest == tokenizer.digest


def test_a_directory_without_a_tokenizer(tmp_path):
    with pytest.raises(DataError, match="holds no tokenizer"):
        tokenizer_from_model_dir(tmp_path)


def test_the_digest_depends_on_pieces_and_settings(model):
    digests = [SentencePieceTokenizer(model, fields).digest for fields in FORMATS]
    digests += [characters(fields, "ab").digest for fields in FORMATS] + [characters(FORMATS[0], "abc").digest]
    assert len(set(digests)) == len(digests)


def test_smallest_workable_vocabulary_is_named_and_works():
    words = words_from("the cat sat", "on the mat")
    with pytest.raises(VocabSizeTooSmall) as caught:
        train_sentencepiece(words, vocab_size=100, reserved_count=2)
    assert "0 for characters" in str(caught.value)
    smallest = int(str(caught.value).split("need ")[1].split(".")[0])
    with pytest.raises(VocabSizeTooSmall):
        train_sentencepiece(words, vocab_size=smallest - 1, reserved_count=2)
    tokenizer = SentencePieceTokenizer(train_sentencepiece(words, vocab_size=smallest, reserved_count=2), TokenFormat())
    assert tokenizer.total_vocab_size == smallest


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_training_is_deterministic_and_bounded(kind):
    words = words_from(*[f"record {n % 7} of {n % 13}" for n in range(200)])
    models = [train_sentencepiece(words, vocab_size=300, reserved_count=2, model_type=kind) for _ in range(2)]
    tokenizers = [SentencePieceTokenizer(model, TokenFormat()) for model in models]
    assert tokenizers[0].digest == tokenizers[1].digest
    assert tokenizers[0].total_vocab_size <= 300


def test_records_of_tabs_alone_train():
    model = train_sentencepiece(words_from("\t\t"), vocab_size=300, reserved_count=2)
    tokenizer = SentencePieceTokenizer(model, TokenFormat())
    assert tokenizer.decode_from_ids(tokenizer.encode_to_ids("\t\t")) == "\t\t"


def test_trainers_override_the_configuration():
    config = TensorFlowConfig(vocab_size=300, max_line_len=9, epochs=3)
    assert CharTokenizerTrainer().apply(config).vocab_size == 0
    assert CharTokenizerTrainer().apply(config).max_line_len == 9
    sub_words = SentencePieceTokenizerTrainer(vocab_size=4000, character_coverage=0.99).apply(config)
    assert (sub_words.vocab_size, sub_words.character_coverage, sub_words.epochs) == (4000, 0.99, 3)
    assert SentencePieceTokenizerTrainer().apply(config).vocab_size == 300
    assert SentencePieceTokenizerTrainer().apply(config.replace(vocab_size=0)).vocab_size == 20000
    own = SentencePieceTokenizerTrainer(config=TensorFlowConfig(max_line_len=77, vocab_size=500)).apply(config)
    assert (own.max_line_len, own.vocab_size) == (77, 500)
    with pytest.raises(ParameterError):
        SentencePieceTokenizerTrainer(character_coverage=2.0).apply(config)


def test_the_delimiter_is_never_sampled_where_there_is_none(model):
    for tokenizer in (characters(TokenFormat(), "abc"), SentencePieceTokenizer(model, TokenFormat())):
        assert DELIMITER_ID in tokenizer.never_sampled
    for tokenizer in (characters(TokenFormat(","), "abc"), SentencePieceTokenizer(model, TokenFormat(","))):
        assert DELIMITER_ID not in tokenizer.never_sampled


@pytest.mark.parametrize(
    "changes",
    [
        {"field_delimiter": 5},
        {"field_delimiter": ""},
        {"field_delimiter": "x" * 1001},
        {"field_delimiter": "\n"},
        {"field_delimiter": ", ", "quoted": True},
        {"field_delimiter": None, "quoted": True},
        {"quoted": "yes"},
        {"markers": 10**9},
        {"markers": -1},
        {"markers": 2, "column_pattern": "{:>9999999999}"},
        {"markers": 2, "column_pattern": ["{}"]},
        {"field_delimiter_token": None},
        {"field_delimiter": "\ud800"},
    ],
)
def test_parameters_that_no_tokenizer_has_are_refused(changes, tmp_path):
    CharTokenizer([97, 98], TokenFormat(",")).save(tmp_path)
    path = tmp_path / "tokenizer_params.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(DataError, match=r"LS201: .*damaged.*tokenizer_params|tokenizer_params\.json' is damaged"):
        load_tokenizer(tmp_path)


def test_vocabularies_that_no_tokenizer_has_are_refused(model, tmp_path, monkeypatch):
    CharTokenizer([97, 98], TokenFormat(",")).save(tmp_path)
    (tmp_path / "vocabulary.json").write_text("[97, 55296]")  # a surrogate
    with pytest.raises(DataError, match=r"vocabulary\.json' is damaged"):
        load_tokenizer(tmp_path)
    SentencePieceTokenizer(model, TokenFormat()).save(tmp_path)
    monkeypatch.setattr(sentencepiece_tokenizer, "MAX_MODEL_BYTES", len(model) - 1)
    with pytest.raises(DataError, match=r"sentencepiece\.model' is damaged"):
        load_tokenizer(tmp_path)
