"""A vocabulary learned privately, or read from a public file: bounded contributions, the right noise, exact inverses."""

from __future__ import annotations

import json
import math
import pickle
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.core.artifacts.run_directory import run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.privacy import vocabulary as private_vocabulary
from linesmith.model.privacy.accounting import GaussianEvent, epsilon
from linesmith.model.privacy.ledger import RUN_LEDGER_FILE, read_ledger
from linesmith.model.privacy.plan_from_config import plan_privacy
from linesmith.model.privacy.secret_key import SecretKey
from linesmith.model.privacy.statement import build_statement
from linesmith.model.privacy.vocabulary import (
    CODE_POINTS,
    FIRST_NON_ASCII,
    MAX_CHARACTERS_PER_RECORD,
    SURROGATES,
    count_presence,
    noised_vocabulary,
    public_characters,
)
from linesmith.model.tokenizers import ByteTokenizer, SentencePieceTokenizer, load_tokenizer
from linesmith.model.tokenizers.sentencepiece_training import train_sentencepiece
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.pipelines.privacy_ledgers import vocabulary_release
from linesmith.transforms.combine_batches import count_character_presence_fn
from tests.helpers.adversarial_texts import ADVERSARIAL_TEXTS
from tests.model.tokenizers.test_byte_tokenizer import FORMATS, TEXTS
from tests.pipelines.tokenize.test_stage import GOOD, config_of, records

pytestmark = pytest.mark.integration

KEY = b"0123456789abcdef"
FIXED = SecretKey.unsafe("5eed")
MANY = "".join(chr(0x4E00 + n) for n in range(200))


# --- what a record may contribute


@settings(derandomize=True, deadline=None, max_examples=200)
@given(texts=st.lists(st.text(), max_size=5), more=st.one_of(st.text(), st.just(MANY), st.just("é" * 999)))
def test_a_record_moves_few_counts_by_one(texts, more):
    without, together = count_presence(texts, KEY), count_presence([*texts, more], KEY)
    moved = {point: together[point] - without[point] for point in together if together[point] != without[point]}
    assert set(moved.values()) <= {1}
    assert len(moved) <= MAX_CHARACTERS_PER_RECORD
    assert math.sqrt(sum(change**2 for change in moved.values())) <= math.sqrt(MAX_CHARACTERS_PER_RECORD)
    assert all(point >= FIRST_NON_ASCII for point in together)


def test_which_characters_count_depends_on_key_and_record_alone():
    chosen = count_presence([MANY], KEY)
    assert len(chosen) == MAX_CHARACTERS_PER_RECORD
    assert count_presence([MANY[::-1], MANY], KEY) == Counter(dict.fromkeys(chosen, 2))
    assert count_presence([MANY], b"another") != chosen


def test_counting_by_hand():
    """Other batches, other groupings, generators and serialized accumulators give the same counts."""
    texts = [*ADVERSARIAL_TEXTS, MANY, "é"]
    whole = count_presence(texts, KEY)
    combine = pickle.loads(pickle.dumps(count_character_presence_fn(KEY)))
    parts = []
    for n in range(0, len(texts), 3):
        batch = pa.record_batch({"text": texts[n : n + 3]})
        parts.append(pickle.loads(pickle.dumps(combine.add_input(combine.create_accumulator(), batch))))
    assert combine.extract_output(combine.merge_accumulators(part for part in parts)) == whole
    nested = combine.merge_accumulators(
        [combine.merge_accumulators(parts[2:]), *parts[:2], combine.create_accumulator()]
    )
    assert nested == whole
    assert combine.merge_accumulators(iter(())) == Counter()


# --- the noise


def share_taken(scale: float) -> float:
    """Return the fraction taken of 4,000 characters whose count lies one standard deviation below the threshold."""
    sigma = 8.0
    points = range(0x4E00, 0x4E00 + 4000)
    counts = dict.fromkeys(points, round((6 - 1) * sigma * math.sqrt(MAX_CHARACTERS_PER_RECORD)))
    original = private_vocabulary.MAX_CHARACTERS_PER_RECORD
    try:
        private_vocabulary._THRESHOLD, private_vocabulary.MAX_CHARACTERS_PER_RECORD = 6.0 / scale, original * scale**2
        taken = set(noised_vocabulary(counts, sigma, FIXED))
    finally:
        private_vocabulary._THRESHOLD, private_vocabulary.MAX_CHARACTERS_PER_RECORD = 6.0, original
    return len(taken & set(points)) / 4000


def test_noise_has_the_scale_that_is_charged():
    """P(N > 1) = 0.159; four standard errors are 0.023, so a false alarm has a chance below 1e-4. Two thirds and three
    halves of the noise, against the same threshold, must be told apart."""
    expected = math.erfc(1 / math.sqrt(2)) / 2
    assert abs(share_taken(1.0) - expected) < 0.023
    assert abs(share_taken(2 / 3) - expected) > 0.05
    assert abs(share_taken(3 / 2) - expected) > 0.05


def test_every_scalar_value_is_noised_seen_or_not(monkeypatch):
    monkeypatch.setattr(private_vocabulary, "_THRESHOLD", 3.0)
    taken = noised_vocabulary({}, 8.0, FIXED)
    expected = (CODE_POINTS - FIRST_NON_ASCII - len(SURROGATES)) * math.erfc(3 / math.sqrt(2)) / 2
    assert abs(len(taken) - expected) < 5 * math.sqrt(expected)
    assert taken == sorted(set(taken))
    assert min(taken) >= FIRST_NON_ASCII
    assert not set(taken) & set(SURROGATES)
    assert noised_vocabulary({}, 8.0, SecretKey.fresh()) != taken


def test_frequent_characters_are_found_and_rare_ones_are_not():
    counts = {ord("é"): 5_000, ord("中"): 600, ord("☃"): 3}
    assert noised_vocabulary(counts, 8.0, SecretKey.fresh()) == [ord("é"), ord("中")]
    assert noised_vocabulary(counts, 0.0, FIXED) == sorted(counts)
    assert noised_vocabulary({}, 0.0, FIXED) == []


# --- what it costs


def test_the_vocabulary_is_charged_in_the_same_composition():
    given_ = {
        "dp": True,
        "dp_batch_size": 100,
        "epochs": 3,
        "dp_vocabulary": "dp_characters",
        "dp_vocabulary_noise": 4.0,
    }
    plan = plan_privacy(TensorFlowConfig(**given_, dp_target_epsilon=3.0), 2000)
    alone = epsilon([GaussianEvent(4.0)], 1e-6)
    assert plan.epsilon_at(0) == alone
    assert 2.9 < plan.epsilon <= 3.0
    assert (
        plan.noise_multiplier
        > plan_privacy(
            TensorFlowConfig(dp=True, dp_batch_size=100, epochs=3, dp_target_epsilon=3.0), 2000
        ).noise_multiplier
    )
    facts = build_statement(plan, 0, unsafe_key=False)
    assert facts["vocabulary"]["epsilon"] == facts["spent_so_far"]["epsilon"] == alone
    assert facts["vocabulary"]["noise_multiplier"] == 4.0
    assert facts["not_covered"]["raw vocabulary"] == "not in use here"
    with pytest.raises(ParameterError, match="LS302"):
        plan_privacy(TensorFlowConfig(**given_, dp_target_epsilon=alone * 0.9), 2000)


# --- bytes and characters, outside the graph and in it


@pytest.mark.parametrize("fields", FORMATS, ids=str)
@settings(derandomize=True, deadline=None, max_examples=100)
@given(text=TEXTS)
def test_text_comes_back(fields, text):
    tokenizer = ByteTokenizer(fields, [ord("é"), ord("€"), 0x4E2D, 0x1F6F4])
    assert tokenizer.decode_from_ids(tokenizer.encode_to_ids(text)) == text


def test_a_character_is_one_token():
    tokenizer = ByteTokenizer(TokenFormat(), [ord("é"), ord("中")])
    assert tokenizer.encode_to_ids("é中a☃") == [258, 259, 2 + 97, *(2 + byte for byte in "☃".encode())]
    assert tokenizer.total_vocab_size == 260


def test_saved_and_loaded(tmp_path):
    tokenizer = ByteTokenizer(TokenFormat(","), [ord("é"), ord("中")])
    tokenizer.save(tmp_path)
    assert load_tokenizer(tmp_path).digest == tokenizer.digest != ByteTokenizer(TokenFormat(",")).digest
    for damage in ("[20013, 233]", "[97]", "[55296]", "{}", "[233]"):
        (tmp_path / "vocabulary.json").write_text(damage)
        with pytest.raises(ValueError, match="damaged"):
            load_tokenizer(tmp_path)


def through_the_stage(config: TensorFlowConfig):
    from linesmith.pipelines.tokenize.stage import tokenize

    tokenize(config)
    run = run_directory(config)
    tokenizer, texts = load_tokenizer(run.tokenizer), []
    for split in ("train", "validation", "holdout"):
        for ids, _, _ in records(run.training_data, split):
            text = tokenizer.decode_from_ids(ids[1:-1])
            assert ids == [0, *tokenizer.encode_to_ids(text), 0]  # the graph and plain Python agree
            texts.append(text)
    assert Counter(texts) == Counter(GOOD)
    return tokenizer


def test_learned_characters_through_the_stage(tmp_path):
    config = config_of(
        tmp_path, dp=True, dp_vocabulary="dp_characters", dp_vocabulary_noise=0, dp_unsafe_fixed_key="5eed"
    )
    tokenizer = through_the_stage(config)
    expected = count_presence(GOOD, bytes.fromhex("5eed".zfill(32)))
    assert tokenizer._code_points == tuple(sorted(expected))
    assert len(expected) > 40
    assert not list(tmp_path.rglob("presence.json"))  # raw counts do not stay
    run = run_directory(config)
    charged = read_ledger(run.raw / RUN_LEDGER_FILE, RUN_LEDGER_FILE)
    assert [entry.run for entry in charged] == [vocabulary_release(run.training_data)]


def test_a_public_text_through_the_stage(tmp_path):
    (tmp_path / "public.txt").write_text("Ünïcödé 🛴 中\n", "utf-8")
    config = config_of(tmp_path, dp=True, dp_vocabulary="public_file", dp_public_vocabulary=tmp_path / "public.txt")
    tokenizer = through_the_stage(config)
    assert tokenizer._code_points == tuple(sorted(map(ord, "Üïöé🛴中")))


def test_a_public_sentencepiece_model_through_the_stage(tmp_path):
    words = [(word, 5) for word in ("ride", " ride", "public", " words", "12", "34", "🛴")]
    (tmp_path / "public.model").write_bytes(train_sentencepiece(words, vocab_size=400, reserved_count=2))
    config = config_of(
        tmp_path, dp=True, vocab_size=400, dp_vocabulary="public_file", dp_public_vocabulary=tmp_path / "public.model"
    )
    assert isinstance(through_the_stage(config), SentencePieceTokenizer)


def test_public_files_that_cannot_be_used(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "not.model").write_bytes(b"no model")
    for name in ("latin.txt", "none.txt"):
        with pytest.raises(ParameterError, match="LS313"):
            public_characters(tmp_path / name)
    for name in ("not.model", "none.model"):
        with pytest.raises(ParameterError, match="LS313"):
            private_vocabulary.public_sentencepieces(tmp_path / name)
    import sentencepiece

    lossy = tmp_path / "lossy"
    text = iter(["some words to learn from", "more words, and others"] * 20)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=text, model_prefix=str(lossy), vocab_size=40, minloglevel=2, hard_vocab_limit=False
    )
    with pytest.raises(ParameterError, match="byte fallback"):
        private_vocabulary.public_sentencepieces(f"{lossy}.model")


def test_a_public_file_must_be_named():
    from linesmith.core.config.privacy_checks import check_privacy_settings

    for given_ in ({"dp_vocabulary": "public_file"}, {"dp_public_vocabulary": "x.txt"}):
        with pytest.raises(ParameterError, match="LS305"):
            check_privacy_settings(TensorFlowConfig(dp=True, **given_))


def test_settings_of_the_vocabulary_are_in_the_manifest(tmp_path):
    from linesmith.core.config.privacy_checks import check_training_data

    config = TensorFlowConfig(dp=True, dp_vocabulary="dp_characters")
    stored = json.loads(json.dumps(config.stage_settings("tokenize")))
    check_training_data(config, stored)
    with pytest.raises(ValueError, match=r"dp_vocabulary_noise 8\.0"):
        check_training_data(config.replace(dp_vocabulary_noise=9.0), stored)
