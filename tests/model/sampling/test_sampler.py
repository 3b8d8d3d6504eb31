"""Sampling: equal to a naive loop for any block, order and other records; correct probabilities; limits."""

from __future__ import annotations

import subprocess
import sys
from collections import deque

import numpy as np
import pytest
import tensorflow as tf

from linesmith.core.artifacts.checkpoints import load_arrays, save_arrays
from linesmith.core.errors import DataError, ParameterError
from linesmith.model.sampling.sampler import DrawSettings, Sampler, SampleRequest, SamplerOptions
from linesmith.model.sampling.uniform_random import stream_keys, uniforms
from tests.helpers.tiny_model import tiny_run

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    return directory, tiny_run(directory)


@pytest.fixture(scope="module")
def sampler(run):
    return Sampler(run[0], options=SamplerOptions(matmul_precision="float32"))


def _texts(sampler, requests, **settings) -> dict[tuple[int, int], tuple[str, str]]:
    queue = deque(requests)
    return {
        (s.request.index, s.request.attempt): (s.text, s.finish_reason)
        for s in sampler.stream(queue, DrawSettings(**{"seed": 3, **settings}))
    }


def _requests(count: int, prefix: str = "", sampler=None) -> list[SampleRequest]:
    ids = tuple(sampler.tokenizer.encode_to_ids(prefix)) if prefix else ()
    return [SampleRequest(index, index % 3, ids) for index in range(count)]


def _naive(model, tokenizer, request: SampleRequest, seed: int, cap: int) -> tuple[str, str]:
    """Sample one token at a time, with the complete prefix through the network at every step."""
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


@pytest.mark.slow
def test_equals_the_naive_loop(run, sampler):
    requests = _requests(4) + [
        SampleRequest(100 + i, 0, tuple(sampler.tokenizer.encode_to_ids("ab, 12, " * (2 * i + 1)))) for i in range(2)
    ]
    found = _texts(sampler, requests)
    for request in requests:
        expected = _naive(run[1], sampler.tokenizer, request, seed=3, cap=40)
        assert found[request.index, request.attempt] == expected
    assert {reason for _, reason in found.values()} == {"newline", "length"}


def test_text_does_not_depend_on_block_order_or_other_records(sampler):
    requests = _requests(300)
    together = _texts(sampler, requests)
    assert len(together) == 300
    assert _texts(sampler, reversed(requests)) == together
    few = requests[5:12]
    assert _texts(sampler, few) == {key: together[key] for key in _texts(sampler, few)}
    assert len({text for text, _ in together.values()}) > 200


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_text_is_the_same_for_every_block(run, precision):
    """Equality is bit by bit: one different token would change a record. Blocks shrink during the run, down to 48 rows."""
    requests = _requests(600)
    expected = None
    for block in (48, 240, 1008):
        sampler = Sampler(run[0], options=SamplerOptions(matmul_precision=precision, block_rows=block))
        found = {
            (s.request.index, s.request.attempt): (s.text, s.finish_reason, s.acceptance_probability)
            for s in sampler.stream(deque(requests), DrawSettings(seed=3))
        }
        assert len(found) == 600
        expected = found if expected is None else expected
        assert found == expected
        assert sampler.busy_row_steps / sampler.row_steps > (0.8 if block == 48 else 0.2)


def test_parallel_blocks_give_the_same_text_and_share_the_work(run):
    requests = _requests(600)
    found = []
    for blocks in (1, 2, 3):
        options = SamplerOptions(matmul_precision="float32", block_rows=48)
        sampler = Sampler(run[0], threads=blocks, options=options)
        answered = list(sampler.stream(deque(requests), DrawSettings(seed=3)))
        assert len(answered) == 600
        assert sampler.max_rows == 48 * blocks
        assert sampler.busy_row_steps / sampler.row_steps > 0.7
        found.append(
            {
                (s.request.index, s.request.attempt): (s.text, s.finish_reason, s.acceptance_probability)
                for s in answered
            }
        )
    assert found[0] == found[1] == found[2]


def test_equals_the_naive_loop_in_integers(run):
    """The oracle is in NumPy with the same rounding, one record and one token at a time."""
    found = _texts(Sampler(run[0], options=SamplerOptions(matmul_precision="int8")), _requests(800))
    sampler = Sampler(run[0], options=SamplerOptions(matmul_precision="float32"))
    weights = {v.path.split("/", 1)[1]: v.numpy() for v in run[1].trainable_variables}
    agree = sum(
        found[r.index, r.attempt] == _rounded_loop(weights, sampler.tokenizer, r, seed=3, cap=40) for r in _requests(20)
    )
    assert agree >= 19  # a sum in another order may round differently once
    assert found != _texts(sampler, _requests(800))  # the rounding has an effect


def _in_integers(hidden: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    scale = np.abs(kernel).max(axis=0) / np.float32(127)
    sums = np.rint(hidden * np.float32(127)).astype(np.int64) @ np.rint(kernel / scale).astype(np.int64)
    return sums.astype(np.float32) * (scale / np.float32(127))


def _rounded_loop(weights, tokenizer, request, seed: int, cap: int) -> tuple[str, str]:
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    table = weights["embedding/embeddings"] @ weights["lstm_0/kernel"] + weights["lstm_0/bias"]
    h = [np.zeros(24, np.float32), np.zeros(24, np.float32)]
    c = [np.zeros(24, np.float32), np.zeros(24, np.float32)]
    ids: list[int] = []
    while len(ids) < cap:
        below = None
        for i in range(2):
            kernel = weights[f"lstm_{i}/recurrent_kernel"]
            if below is None:
                pre = _in_integers(h[i], kernel) + table[ids[-1] if ids else 0]
            else:
                kernel = np.concatenate([weights[f"lstm_{i}/kernel"], kernel])
                pre = _in_integers(np.concatenate([below, h[i]]), kernel) + weights[f"lstm_{i}/bias"]
            gate_i, gate_f, gate_c, gate_o = np.split(pre, 4)
            c[i] = sigmoid(gate_f) * c[i] + sigmoid(gate_i) * np.tanh(gate_c)
            below = h[i] = sigmoid(gate_o) * np.tanh(c[i])
        logits = (below @ weights["logits/kernel"] + weights["logits/bias"]).astype(np.float64)
        running = np.cumsum(np.exp(logits - logits.max()))
        u = float(uniforms(stream_keys(seed, [request.index], [request.attempt]), [len(ids)], 1))
        token = int(np.searchsorted(running, u * running[-1], side="right"))
        if token == 0:
            return tokenizer.decode_from_ids(ids), "newline"
        ids.append(token)
    return tokenizer.decode_from_ids(ids), "length"


def test_a_process_that_samples_does_not_load_tensorflow(run):
    code = (
        "import sys; from collections import deque; from linesmith.model.sampling.sampler import *; "
        "sampler = Sampler(sys.argv[1], threads=2); "
        "print(len(list(sampler.stream(deque([SampleRequest(0, 0)]), DrawSettings()))), sampler.parallel_blocks, "
        "'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run[0])], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "2", "False"]


def test_stopping_at_n_drops_no_longer_records(sampler):
    """The first 400 indices have the lengths of all 4,000 (two-sample z, false-alarm rate 1e-4, 3.9); the first 400 to
    finish, which is what stopping a batch at N keeps, have not."""
    found = list(sampler.stream(deque(SampleRequest(i, 0) for i in range(4000)), DrawSettings(seed=8)))
    lengths = np.array([len(s.text) for s in sorted(found, key=lambda s: s.request.index)], float)
    early = np.array([len(s.text) for s in found[:400]], float)

    def z(part: np.ndarray) -> float:
        return abs(part.mean() - lengths.mean()) / (lengths.std() / np.sqrt(len(part)))

    assert z(lengths[:400]) < 3.9
    assert z(early) > 3.9


def test_requests_may_be_added_while_the_stream_runs(sampler):
    queue = deque(_requests(3))
    seen = []
    for sample in sampler.stream(queue, DrawSettings(seed=3)):
        seen.append((sample.request.index, sample.request.attempt))
        if sample.request.attempt < 6:
            queue.append(SampleRequest(sample.request.index, sample.request.attempt + 1))
    assert len(seen) == len(set(seen)) == (7 + 6 + 5)


def test_long_start_strings_are_complete_in_whichever_call_they_begin(sampler):
    """Prefixes of many lengths, some longer than a call of the network, on few rows: a prefix continues in the next calls."""
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abc12"), random.integers(0, 70))) for _ in range(120)]
    requests = [SampleRequest(i, 0, tuple(sampler.tokenizer.encode_to_ids(text))) for i, text in enumerate(texts)]
    found = _texts(sampler, requests)
    assert all(found[i, 0][0].startswith(text) for i, text in enumerate(texts))
    alone = _texts(sampler, requests[100:101])
    assert found[100, 0] == alone[100, 0]


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


def test_the_learned_cap_bounds_every_row(sampler):
    texts = _texts(sampler, _requests(200))
    longest = max(len(sampler.tokenizer.encode_to_ids(text)) for text, _ in texts.values())
    assert longest <= 40
    assert {reason for _, reason in texts.values()} == {"newline", "length"}


def test_no_requests_give_no_records(sampler):
    assert list(sampler.stream(deque(), DrawSettings())) == []


def test_top_k_and_top_p_reach_the_text(sampler):
    greedy = _texts(sampler, _requests(20), temperature=0)
    assert _texts(sampler, _requests(20), top_k=1) == greedy
    assert _texts(sampler, _requests(20), top_p=1e-6) == greedy
    assert _texts(sampler, _requests(20), top_k=2) not in (greedy, _texts(sampler, _requests(20)))


def test_the_error_for_a_missing_checkpoint_names_it(run):
    with pytest.raises(ParameterError, match="--checkpoint '3': was not kept; this run keeps best, last"):
        Sampler(run[0], checkpoint="3")
    with pytest.raises(ParameterError, match="--checkpoint 'x': not an epoch's number"):
        Sampler(run[0], checkpoint="x")


def test_errors_name_the_damage(tmp_path):
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


def test_weights_that_are_not_finite_are_refused(tmp_path):
    """Checkpoints of single epochs, kept with --save-all-checkpoints, have no digest."""
    tiny_run(tmp_path)
    kept = tmp_path / "model" / "checkpoints"
    arrays, state = load_arrays(kept / "best.npz")
    bias = next(name for name in arrays if name.endswith("logits/bias"))
    arrays[bias] = np.full_like(arrays[bias], np.nan)
    save_arrays(kept / "epoch-0002.npz", arrays, state)
    with pytest.raises(DataError, match=r"epoch-0002.npz' holds weights that are not finite"):
        Sampler(tmp_path, checkpoint="2")
