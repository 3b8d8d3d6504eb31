"""Losses without TensorFlow against those of the network that training uses."""

from __future__ import annotations

import numpy as np
import pytest

from linesmith.model.sampling.text_losses import TextLosses
from linesmith.model.tokenizers import tokenizer_from_model_dir
from linesmith.model.training.text_losses import text_losses
from tests.helpers.tiny_model import tiny_run

pytestmark = pytest.mark.integration

TEXTS = [
    "",
    "ab",
    "ab, 12, c",
    "1, 2, 3",
    "ab, ab, " * 30,
    "cannot be encoded: é",
    *[f"a{n % 3}, b" for n in range(600)],
]


@pytest.mark.parametrize("fields", [None, 3], ids=["plain", "knows fields"])
@pytest.mark.parametrize("seq_length", [5, 1000])
def test_losses_are_those_of_the_network_of_training(tmp_path, fields, seq_length) -> None:
    network = tiny_run(tmp_path) if fields is None else tiny_run(tmp_path, fields=fields)
    tokenizer = tokenizer_from_model_dir(tmp_path)
    means, counts = TextLosses(tmp_path, tokenizer).means(TEXTS, seq_length)
    expected = text_losses(network, tokenizer, TEXTS, seq_length)
    np.testing.assert_allclose(means * counts, expected, rtol=2e-5)
    assert counts[:2].tolist() == [1, 3]
    assert counts[4] == min(seq_length, len(tokenizer.encode_to_ids(TEXTS[4])) + 1)
    assert np.isinf(means[5])
    assert len(set(means[6:].tolist())) == 3  # the same text has the same bits in every row


def test_no_texts_have_no_losses(tmp_path) -> None:
    tiny_run(tmp_path)
    means, counts = TextLosses(tmp_path, tokenizer_from_model_dir(tmp_path)).means([])
    assert len(means) == len(counts) == 0
