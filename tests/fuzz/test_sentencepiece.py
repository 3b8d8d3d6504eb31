"""Fuzz SentencePiece models, which a C++ library reads, and texts that are encoded and decoded with them."""

from __future__ import annotations

import io
import tarfile
from functools import cache
from pathlib import Path

import pytest
import sentencepiece

from linesmith.core.errors import LinesmithError
from linesmith.model.tokenizers import SentencePieceTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated
from tests.helpers.adversarial_texts import ADVERSARIAL_TEXTS

PACKED = Path(__file__).parents[1] / "fixtures" / "run_directories.tar.xz"
TOKENS = [b"<0x41>", b"<0xZZ>", b"\x0a\x0e\x0a\x05", b"\x18\x06", b"\x18\x03", b"\x12\x02", "\u2581".encode()]


@cache
def examples() -> list[bytes]:
    """Return a model, its beginning and end, and one with a table of normal forms, as no tokenizer of ours has."""
    normalizing = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(f"some words {number}" for number in range(200)),
        model_writer=normalizing,
        vocab_size=290,
        byte_fallback=True,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        minloglevel=2,
    )
    with tarfile.open(PACKED) as tar:
        model = tar.extractfile("plain/tokenizer/sentencepiece.model").read()  # type: ignore[union-attr]
    return [model, model, model[:800] + model[-200:], normalizing.getvalue()]


def read(content: bytes) -> None:
    """Load a model, and encode and decode texts with it."""
    Path("sentencepiece.model").write_bytes(content)
    tokenizer = SentencePieceTokenizer._load_vocabulary(Path("sentencepiece.model"), TokenFormat(","))
    assert len(tokenizer.digest) == 64
    assert max(tokenizer.never_sampled) < tokenizer.total_vocab_size
    for text in ("1,ab,2020-01-01", *ADVERSARIAL_TEXTS):
        try:
            tokenizer.decode_from_ids(tokenizer.encode_to_ids(text))
        except LinesmithError:
            continue
    for piece in range(0, tokenizer.total_vocab_size, 7):
        try:
            tokenizer.decode_from_ids([piece])
        except LinesmithError:
            continue


TARGET = Target("sentencepiece", read)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("content", TARGET.corpus())
def test_found_cases(content: bytes) -> None:
    TARGET.check(content)


def test_the_example_is_read() -> None:
    read(examples()[0])


@pytest.mark.integration
def test_fuzz_sentencepiece() -> None:
    TARGET.fuzz(lambda random: mutated(random, examples(), TOKENS), 100)
