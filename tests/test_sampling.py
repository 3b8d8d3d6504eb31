"""Sampling: equal to the obvious loop, whatever block, order or company; probabilities respected; limits kept."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np
import pytest
import tensorflow as tf

from model.errors import DataError, ParameterError
from model.sampling import Sampler, SampleRequest
from model.sampling_network import STEPS, SamplingNetwork, draw
from model.uniforms import stream_keys, uniforms
from tests.tiny_model import ALPHABET, tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    return directory, tiny_run(directory)


@pytest.fixture(scope="module")
def sampler(run):
    return Sampler(run[0])


def _texts(sampler, requests, **settings) -> dict[tuple[int, int], tuple[str, str]]:
    queue = deque(requests)
    return {
        (s.request.index, s.request.attempt): (s.text, s.finish_reason)
        for s in sampler.stream(queue, **{"seed": 3, **settings})
    }


def _requests(count: int, prefix: str = "", sampler=None) -> list[SampleRequest]:
    ids = tuple(sampler.tokenizer.encode_to_ids(prefix)) if prefix else ()
    return [SampleRequest(index, index % 3, ids) for index in range(count)]


def _naive(model, tokenizer, request: SampleRequest, seed: int, cap: int) -> tuple[str, str]:
    """One token at a time, the whole prefix through the network at every step."""
    ids: list[int] = []
    while len(ids) < cap + len(request.prefix):
        inputs = tf.constant([0, *ids], tf.int32)[:, None]
        logits = model(inputs)[-1, 0].numpy().astype(np.float64)
        weights = np.exp(logits - logits.max())
        threshold = (
            float(uniforms(stream_keys(seed, [request.index], [request.attempt]), [len(ids)], 1)) * weights.sum()
        )
        token = int(np.searchsorted(np.cumsum(weights), threshold, side="right"))
        if len(ids) < len(request.prefix):
            token = request.prefix[len(ids)]
        if token == 0:
            return tokenizer.decode_from_ids(ids), "newline"
        ids.append(token)
    return tokenizer.decode_from_ids(ids), "length"


def test_equals_the_naive_loop(run, sampler):
    requests = _requests(6) + [
        SampleRequest(100 + i, 0, tuple(sampler.tokenizer.encode_to_ids("ab, 12, " * (2 * i + 1)))) for i in range(2)
    ]
    found = _texts(sampler, requests)
    for request in requests:
        expected = _naive(run[1], sampler.tokenizer, request, seed=3, cap=40)
        assert found[request.index, request.attempt] == expected
    assert {reason for _, reason in found.values()} == {"newline", "length"}


def test_text_does_not_depend_on_block_order_or_company(sampler):
    requests = _requests(300)
    together = _texts(sampler, requests)
    assert len(together) == 300
    assert _texts(sampler, reversed(requests)) == together
    few = requests[5:12]
    assert _texts(sampler, few) == {key: together[key] for key in _texts(sampler, few)}
    assert len({text for text, _ in together.values()}) > 200


def test_rows_are_bit_identical_for_every_block_size(run):
    """The promise behind 'same bytes for any block': each row's numbers, not only its tokens."""
    weights = {variable.path: variable.numpy() for variable in run[1].trainable_variables}
    network = SamplingNetwork(weights, 2, [])
    size = 4096
    draws = uniforms(stream_keys(9, np.arange(size), np.zeros(size)), np.zeros(size), STEPS)
    free = np.full((STEPS, size), -1, np.int32)

    def states(rows: int) -> list[np.ndarray]:
        inputs = np.zeros(rows, np.int32), np.ones(rows, bool), free[:, :rows], draws[:, :rows]
        state, tokens = network.advance(network.zero_state(rows), *inputs, 1.0)
        return [tokens.T, *[part.numpy() for part in state]]

    whole = states(size)
    for rows in (16, 64, 256, 1024):
        for part, of_whole in zip(states(rows), whole, strict=True):
            np.testing.assert_array_equal(part, of_whole[:rows])


def test_requests_may_be_added_while_the_stream_runs(sampler):
    queue = deque(_requests(3))
    seen = []
    for sample in sampler.stream(queue, seed=3):
        seen.append((sample.request.index, sample.request.attempt))
        if sample.request.attempt < 6:
            queue.append(SampleRequest(sample.request.index, sample.request.attempt + 1))
    assert len(seen) == len(set(seen)) == (7 + 6 + 5)


def test_seed_attempt_and_index_change_the_text(sampler):
    one = _texts(sampler, [SampleRequest(0, 0), SampleRequest(1, 0), SampleRequest(0, 1)])
    assert len({text for text, _ in one.values()}) == 3
    assert _texts(sampler, [SampleRequest(0, 0)], seed=4)[0, 0] != one[0, 0]


def test_temperature_zero_takes_the_likeliest_and_entropy_rises(sampler):
    greedy = _texts(sampler, _requests(20), temperature=0)
    assert len(set(greedy.values())) == 1
    distinct = [
        len({c for text, _ in _texts(sampler, _requests(100), temperature=t).values() for c in text[:3]})
        for t in (0.02, 0.3, 1.0)
    ]
    assert distinct[0] < distinct[1] < distinct[2]


def test_gen_chars_counts_the_prefix_and_cuts(sampler):
    for limit in (1, 7, 23, 60):
        for text, reason in _texts(sampler, _requests(40, "ab, ", sampler), gen_chars=limit).values():
            assert len(text) <= limit
            assert text.startswith("ab, "[:limit])
            assert reason == ("gen_chars" if len(text) == limit else "newline") or len(text) == limit


def test_the_learnt_cap_bounds_every_row(sampler):
    texts = _texts(sampler, _requests(200))
    longest = max(len(sampler.tokenizer.encode_to_ids(text)) for text, _ in texts.values())
    assert longest <= 40
    assert {reason for _, reason in texts.values()} == {"newline", "length"}


def test_nothing_asked_gives_nothing(sampler):
    assert list(sampler.stream(deque(), seed=0)) == []


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2.0**-24])
def test_a_token_of_probability_zero_is_never_drawn(uniform):
    random = np.random.default_rng(0)
    logits = random.normal(size=(2000, 32)).astype(np.float32)
    allowed = random.random((2000, 32)) < 0.2
    allowed[np.arange(2000), random.integers(0, 32, 2000)] = True
    logits[~allowed] = -np.inf
    drawn = draw(tf.constant(logits), tf.fill([2000], tf.constant(uniform, tf.float32))).numpy()
    assert allowed[np.arange(2000), drawn].all()


def test_draws_follow_the_probabilities():
    """Chi-square over 8 tokens, 65,536 draws, false-alarm rate 1e-4 (critical value 29.9); a shifted law is rejected."""
    n, p = 2**16, np.array([0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.03, 0.02])
    u = uniforms(stream_keys(11, np.arange(n), np.zeros(n)), np.zeros(n), 1)[0]
    drawn = draw(tf.constant(np.tile(np.log(p), (n, 1)), tf.float32), tf.constant(u)).numpy()
    counts = np.bincount(drawn, minlength=8)
    assert ((counts - n * p) ** 2 / (n * p)).sum() < 29.9
    shifted = p + np.array([-0.01, 0.01, 0, 0, 0, 0, 0, 0])
    assert ((counts - n * shifted) ** 2 / (n * shifted)).sum() > 29.9


def test_forbidden_tokens_do_not_appear(run):
    weights = {variable.path: variable.numpy() for variable in run[1].trainable_variables}
    vocab = 2 + len(ALPHABET)
    counts = {}
    for forbidden in ([], [5, 6]):
        network = SamplingNetwork(weights, 2, forbidden)
        draws = uniforms(stream_keys(9, np.arange(64), np.zeros(64)), np.zeros(64), STEPS)
        inputs = np.zeros(64, np.int32), np.ones(64, bool), np.full((STEPS, 64), -1, np.int32), draws
        _, tokens = network.advance(network.zero_state(64), *inputs, 1.0)
        counts[len(forbidden)] = Counter(tokens.ravel().tolist())
        assert max(counts[len(forbidden)]) < vocab
    assert counts[0][5] + counts[0][6] > 0
    assert counts[2][5] + counts[2][6] == 0


def test_a_checkpoint_that_was_not_kept_is_named(run):
    with pytest.raises(ParameterError, match="--checkpoint '3' was not kept; this run keeps best, last"):
        Sampler(run[0], checkpoint="3")
    with pytest.raises(ParameterError, match="--checkpoint 'x' is not an epoch's number"):
        Sampler(run[0], checkpoint="x")


def test_damage_is_named(tmp_path):
    tiny_run(tmp_path)
    weights = tmp_path / "model" / "checkpoints" / "best.npz"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:300])
    with pytest.raises(DataError, match=r"best.npz' is damaged or foreign"):
        Sampler(tmp_path)
    tiny_run(tmp_path, seed=2)
    other = weights.read_bytes()
    tiny_run(tmp_path)
    weights.write_bytes(other)
    with pytest.raises(DataError, match="digests differ"):
        Sampler(tmp_path)
    (tmp_path / "model" / "model.json").write_text("{}")
    with pytest.raises(DataError, match=r"model.json' is damaged"):
        Sampler(tmp_path)
    (tmp_path / "model" / "model.json").unlink()
    with pytest.raises(DataError, match="holds no model"):
        Sampler(tmp_path)
