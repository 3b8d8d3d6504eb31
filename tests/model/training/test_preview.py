"""Records of a network that is being trained: drawn from its distribution, equal for equal weights, and never too long."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from linesmith.core.errors import TokenizerError
from linesmith.model.tokenizers import load_tokenizer
from linesmith.model.training.batches import make_batch
from linesmith.model.training.preview import RecordPreview
from linesmith.model.training.token_store import in_memory_token_store
from tests.helpers.tiny_model import tiny_run

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=[0, 3], ids=["plain", "knows fields"])
def trained(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("preview") / "run"
    return tiny_run(root, fields=request.param), load_tokenizer(root / "tokenizer")


def test_records_are_a_function_of_seed_weights_and_epoch(trained):
    def texts(seed: int, epoch: int) -> list[str | None]:
        return RecordPreview(*trained, 4, longest=12, seed=seed).texts(epoch)

    assert texts(1, 0) == texts(1, 0)
    assert len({tuple(texts(1, 0)), tuple(texts(1, 1)), tuple(texts(2, 0))}) == 3
    assert all(text is None or len(text.replace(", ", "x")) <= 12 for text in texts(1, 0))


def test_tokens_have_the_distribution_of_the_network(trained):
    network, tokenizer = trained
    batch = make_batch(in_memory_token_store([[]]), np.arange(1), network.layout)
    tensors = batch.to_tensors()
    logits = network(tensors["inputs"], rows=tensors.get("rows")).numpy()[0, 0].astype(np.float64)
    logits[list(tokenizer.never_sampled)] = -np.inf
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    drawn = Counter(RecordPreview(network, tokenizer, 4000, longest=1, seed=5).texts(0))
    for token in np.argsort(-shares)[:5]:
        text = tokenizer.decode_from_ids([int(token)]) if token else ""
        assert abs(drawn[text] / 4000 - shares[token]) < 0.04


def test_what_is_no_text_is_named_as_such(trained, monkeypatch):
    def refuse(ids):
        raise TokenizerError("LS224", None, "an id is out of range", "Decode ids of this tokenizer.")

    network, tokenizer = trained
    monkeypatch.setattr(tokenizer, "decode_from_ids", refuse, raising=False)
    assert RecordPreview(network, tokenizer, 2, longest=3, seed=1).texts(0) == [None, None]
