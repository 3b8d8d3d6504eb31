"""Initial bias of private training: a public constant that is right for most texts."""

from __future__ import annotations

import numpy as np

from linesmith.model.privacy.initial_bias import UNLIKELY_LOGIT, initial_bias
from linesmith.model.tokenizers.byte_tokenizer import ByteTokenizer
from linesmith.model.tokenizers.char_tokenizer import CharTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat


def test_it_depends_on_the_vocabulary_alone():
    tokenizer = ByteTokenizer(TokenFormat(), [0xE9, 0x4E2D])
    bias = initial_bias(tokenizer)
    assert bias.shape == (tokenizer.total_vocab_size,)
    likely = {0, *(2 + value for value in range(0x20, 0x7F)), 2 + 256, 2 + 257}  # the end, printable bytes, characters
    assert set(np.flatnonzero(bias == 0).tolist()) == likely  # id 1, the delimiter, is in no record here
    assert set(np.unique(bias).tolist()) == {0.0, UNLIKELY_LOGIT}


def test_a_learned_vocabulary_has_none():
    assert initial_bias(CharTokenizer([97, 98], TokenFormat())) is None


def test_it_lowers_the_first_loss_of_plain_text_and_forbids_nothing():
    tokenizer = ByteTokenizer(TokenFormat(field_delimiter=","))
    bias = initial_bias(tokenizer).astype(np.float64)
    chances = np.exp(bias) / np.exp(bias).sum()

    def nats(text: str) -> float:
        return float(-np.log(chances[tokenizer.encode_to_ids(text)]).mean())

    assert nats("24, HRN405, 37.7") < 4.7 < np.log(258)
    assert nats("\u0416\u0418\u0416\u041a\u041e\u0412") < 9
