"""Steps of a block: the compiled kernel, for every instruction set of this machine, gives the bits of the one in NumPy."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.model.fields.layout import FieldLayout
from linesmith.model.sampling import native
from linesmith.model.sampling.network import SamplingNetwork
from linesmith.model.sampling.request_table import END_FLAG, REQUEST_NUMBER, STREAM_KEY, TOKEN_LIMIT, idle_requests
from linesmith.model.sampling.sample_types import FREE, DrawSettings
from linesmith.model.sampling.uniform_random import stream_keys, uniforms
from tests.model.fields.test_inputs import small_layout

NO_PREFIX = (np.zeros(1, np.int32), 0)
STEPS = ["reference", *native.instruction_sets()]


def random_weights(random: np.random.Generator, layers: int, units: int, vocab: int, rows: int | None = None) -> dict:
    """Return weights under which records end, and tokens are neither all likely nor all unlikely."""
    width = 12
    weights = {
        "embedding/embeddings": random.normal(size=(rows or vocab, width)) * 0.7,
        "logits/kernel": random.normal(size=(units, vocab)),
        "logits/bias": random.normal(size=vocab),
    }
    for layer in range(layers):
        below = width if layer == 0 else units
        weights[f"lstm_{layer}/kernel"] = random.normal(size=(below, 4 * units))
        weights[f"lstm_{layer}/recurrent_kernel"] = random.normal(size=(units, 4 * units)) / 3
        weights[f"lstm_{layer}/bias"] = random.normal(size=4 * units)
    return {f"m/{path}": array.astype(np.float32) for path, array in weights.items()}


def requests(count: int, limit: int = 30) -> np.ndarray:
    """Return requests without start strings."""
    table = idle_requests(count)
    table[:, STREAM_KEY] = np.arange(count) * 987_654_321_987 - 5
    table[:, REQUEST_NUMBER] = np.arange(count)
    table[:, TOKEN_LIMIT] = limit
    return table


def with_prefixes(random: np.random.Generator, table: np.ndarray, vocab: int) -> tuple[np.ndarray, int]:
    """Give requests start strings, some with fields that are drawn; returns their ids, and the address of the first."""
    ids, base = [0], 1_000
    for line in table:
        prefix = random.integers(1, vocab, random.integers(0, 9))
        prefix = np.where(random.random(len(prefix)) < 0.2, FREE, prefix)
        line[2:4] = base + len(ids), len(prefix)
        ids += prefix.tolist()
    return np.array(ids, np.int32), base


def random_automaton(random: np.random.Generator, vocab: int) -> np.ndarray:
    """Return transitions of five states; about half of the tokens are forbidden, the first text never."""
    target = random.integers(0, 5, (5, vocab)).astype(np.int32)
    return np.where((random.random((5, vocab)) < 0.5) & (np.arange(vocab) > 2), ~target, target).astype(np.int32)


DRAWS = st.builds(
    DrawSettings,
    temperature=st.sampled_from([0, 0.3, 1.0, 2.5]),
    gen_chars=st.sampled_from([0, 9]),
    top_k=st.sampled_from([0, 1, 4]),
    top_p=st.sampled_from([1.0, 0.7]),
    candidates=st.sampled_from([1, 8]),
)


@pytest.mark.skipif(len(STEPS) == 1, reason="the kernel was not built here")
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["float32", "int8"]), DRAWS, st.booleans(), st.booleans(), st.booleans())
def test_the_kernel_gives_the_bits_of_numpy(seed, precision, draw, masked, prefixed, fields) -> None:
    random = np.random.default_rng(seed)
    layers, units, vocab = int(random.integers(1, 4)), int(random.integers(1, 40)), int(random.integers(4, 60))
    layout: FieldLayout | None = None
    if fields:
        vocab = 20
        layout = small_layout(int(random.integers(1, 7)), memory=int(random.integers(3, 40)), vocab=vocab)
    weights = random_weights(random, layers, units, vocab, None if layout is None else layout.rows)
    automaton = random_automaton(random, vocab) if masked else None
    characters = random.integers(0, 3, vocab).astype(np.int32)
    table = requests(150)
    prefixes = with_prefixes(random, table, vocab) if prefixed else NO_PREFIX
    found = []
    for steps in STEPS:
        network = SamplingNetwork(weights, layers, [3], precision, automaton, characters, layout, steps)
        block, left, outputs = network.idle_block(96), table, []
        for count in (1, 17, 11):
            taken, output = network.run(block, left, prefixes, draw, prefixed, count)
            left = left[taken:]
            busy = output.request_numbers >= 0
            outputs += [np.where(busy, part, 0) for part in output if part is not None]
        found.append((len(left), outputs))
    for left, outputs in found[1:]:
        assert left == found[0][0]
        for part, expected in zip(outputs, found[0][1], strict=True):
            np.testing.assert_array_equal(part.view(np.int32), expected.view(np.int32))


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("units", [5, 256, 600])
def test_the_kernel_gives_the_bits_of_numpy_at_real_widths(precision, units) -> None:
    """Above 512 rows a product is made in several parts, and a sum of integers may not be exact in float32."""
    weights = random_weights(np.random.default_rng(0), 2, units, 200)
    tokens = []
    for steps in STEPS:
        network = SamplingNetwork(weights, 2, [], precision, steps=steps)
        tokens.append(network.run(network.idle_block(48), requests(80), NO_PREFIX, DrawSettings(), False, 8)[1].tokens)
    assert all(np.array_equal(tokens[0], found) for found in tokens[1:])


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_row_does_not_depend_on_the_rows_beside_it(steps, precision) -> None:
    """Check each row's state, not only its tokens."""
    weights, states = random_weights(np.random.default_rng(1), 2, 40, 50), []
    for rows in (48, 240):
        network = SamplingNetwork(weights, 2, [], precision, steps=steps)
        block = network.idle_block(rows)
        network.run(block, requests(rows, limit=10**6), NO_PREFIX, DrawSettings(), False, 1)
        block.rows["done"] = 0
        network.run(block, requests(0), NO_PREFIX, DrawSettings(temperature=0), False, 9)
        states.append([part[:48] for part in (*block.hidden, *block.cell)])
    for few, many in zip(*states, strict=True):
        np.testing.assert_array_equal(few, many)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("count", [0, 5, 48, 70])
def test_rows_take_requests_in_order_and_are_idle_after_the_last(steps, count) -> None:
    network = SamplingNetwork(random_weights(np.random.default_rng(2), 1, 8, 20), 1, [0], steps=steps)
    block = network.idle_block(48)
    taken, outputs = network.run(block, requests(count, limit=2), NO_PREFIX, DrawSettings(), False, 3)
    numbers = outputs.request_numbers
    assert taken == count
    first = [*range(min(count, 48)), *[-1] * (48 - min(count, 48))]
    assert numbers[0].tolist() == numbers[1].tolist() == first
    # All records end with their second token, since no row draws the end.
    assert numbers[2].tolist() == [*range(48, max(count, 48)), *[-1] * (48 - max(count - 48, 0))]
    ended = (outputs.tokens & END_FLAG) != 0
    assert not ended[0].any()
    assert np.array_equal(ended[1], numbers[1] >= 0)
    assert outputs.steps[:, 0].tolist() == ([0, 1, 0] if count > 48 else [0, 1, 0] if count else [0, 0, 0])


@pytest.mark.parametrize("steps", STEPS)
def test_a_record_ends_with_too_many_characters(steps) -> None:
    characters = np.full(20, 2, np.int32)
    network = SamplingNetwork(random_weights(np.random.default_rng(2), 1, 8, 20), 1, [0], chars=characters, steps=steps)
    _, outputs = network.run(network.idle_block(48), requests(48), NO_PREFIX, DrawSettings(gen_chars=5), False, 4)
    assert [bool((tokens & END_FLAG).any()) for tokens in outputs.tokens] == [False, False, True, False]


@pytest.mark.parametrize("steps", STEPS)
def test_the_acceptance_probability_is_the_share_that_masks_leave_where_tokens_are_drawn(steps) -> None:
    random, vocab = np.random.default_rng(3), 20
    weights, automaton = random_weights(random, 1, 8, vocab), random_automaton(random, vocab)
    network = SamplingNetwork(weights, 1, [], "float32", automaton, steps=steps)
    plain = SamplingNetwork(weights, 1, [], "float32", steps=steps)
    table = requests(96)
    table[1::2, 2:4] = 0, 1  # every other record begins with a given token
    allowed = automaton[0] >= 0
    given = int(np.flatnonzero(~allowed)[0])
    prefix = (np.array([given], np.int32), 0)
    _, outputs = network.run(network.idle_block(96), table, prefix, DrawSettings(), True, 1)
    draws = requests(48_000)
    block = plain.idle_block(48_000)
    _, free = plain.run(block, draws, NO_PREFIX, DrawSettings(), False, 1)
    share = allowed[free.tokens[0] & (END_FLAG - 1)].mean()
    probabilities = outputs.acceptance_probabilities[0]
    assert abs(probabilities[0] - share) < 4 * np.sqrt(share * (1 - share) / 48_000)
    assert set(probabilities[::2].tolist()) == {probabilities[0]}
    assert set(probabilities[1::2].tolist()) == {1.0}
    assert set((outputs.tokens[0, 1::2] & (END_FLAG - 1)).tolist()) == {given}
    assert allowed[outputs.tokens[0, ::2] & (END_FLAG - 1)].all()


@pytest.mark.parametrize("steps", STEPS)
def test_draws_follow_the_probabilities(steps) -> None:
    """Chi-square over 8 tokens, 65,568 draws, false-alarm rate 1e-4 (critical value 29.9); a shifted law is rejected."""
    n, p = 65_568, np.array([0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.03, 0.02])
    weights = random_weights(np.random.default_rng(0), 1, 4, 8)
    weights["m/logits/kernel"][:], weights["m/logits/bias"] = 0, np.log(p).astype(np.float32)
    network = SamplingNetwork(weights, 1, [], steps=steps)
    _, outputs = network.run(network.idle_block(n), requests(n), NO_PREFIX, DrawSettings(), False, 1)
    counts = np.bincount(outputs.tokens[0] & (END_FLAG - 1), minlength=8)
    assert ((counts - n * p) ** 2 / (n * p)).sum() < 29.9
    shifted = p + np.array([-0.01, 0.01, 0, 0, 0, 0, 0, 0])
    assert ((counts - n * shifted) ** 2 / (n * shifted)).sum() > 29.9


@pytest.mark.parametrize("steps", STEPS)
def test_truncation_keeps_the_likeliest(steps) -> None:
    weights = random_weights(np.random.default_rng(0), 1, 4, 4)
    weights["m/logits/kernel"][:] = 0
    weights["m/logits/bias"] = np.log(np.array([0.25, 0.5, 0.125, 0.125], np.float32))
    network = SamplingNetwork(weights, 1, [], steps=steps)

    def kept(top_k: int, top_p: float) -> list[int]:
        draw = DrawSettings(top_k=top_k, top_p=top_p)
        _, outputs = network.run(network.idle_block(480), requests(480), NO_PREFIX, draw, False, 1)
        return sorted(Counter((outputs.tokens[0] & (END_FLAG - 1)).tolist()))

    assert kept(0, 1.0) == [0, 1, 2, 3]
    assert kept(1, 1.0) == [1]
    assert kept(2, 1.0) == [0, 1]
    assert kept(3, 1.0) == [0, 1, 2, 3]  # two are equal
    assert kept(0, 0.49) == [1]
    assert kept(0, 0.51) == [0, 1]
    assert kept(2, 0.99) == [0, 1]


@pytest.mark.parametrize("steps", STEPS)
def test_forbidden_tokens_do_not_appear(steps) -> None:
    weights, counts = random_weights(np.random.default_rng(4), 2, 24, 30), {}
    for forbidden in ([], [5, 6]):
        network = SamplingNetwork(weights, 2, forbidden, steps=steps)
        _, outputs = network.run(network.idle_block(96), requests(300), NO_PREFIX, DrawSettings(), False, 16)
        counts[len(forbidden)] = Counter((outputs.tokens & (END_FLAG - 1)).ravel().tolist())
        assert max(counts[len(forbidden)]) < 30
    assert counts[0][5] + counts[0][6] > 0
    assert counts[2][5] + counts[2][6] == 0


def test_without_the_kernel_numpy_takes_its_place_and_says_so(monkeypatch, caplog) -> None:
    monkeypatch.setattr(native, "library", lambda: None)
    network = SamplingNetwork(random_weights(np.random.default_rng(4), 1, 8, 20), 1, [])
    assert "was not built" in caplog.text
    assert network.run(network.idle_block(48), requests(5), NO_PREFIX, DrawSettings(), False, 2)[0] == 5


def _hashed(seed: int, *shape: int) -> np.ndarray:
    """Return numbers in −1 … 1 that no version of a library changes."""
    count = int(np.prod(shape))
    keys = stream_keys(seed, np.arange(count), np.zeros(count))
    return (2 * uniforms(keys, np.zeros(count), 1)[0] - 1).reshape(shape)


@pytest.mark.parametrize("steps", [None, *STEPS])
@pytest.mark.parametrize(
    ("precision", "digest"),
    [
        ("int8", "5629061a9d00f5e2"),
        ("float32", "66715e69e6b86ea4"),
    ],
)
def test_the_bytes_are_those_of_every_other_machine(steps, precision, digest) -> None:
    """A change of the digest is a change of what everybody's seeds give: say so in the changelog."""
    vocab, units, width = 50, 70, 12
    weights = {
        "m/embedding/embeddings": _hashed(1, vocab, width),
        "m/lstm_0/kernel": _hashed(2, width, 4 * units),
        "m/lstm_0/recurrent_kernel": _hashed(3, units, 4 * units) / 4,
        "m/lstm_0/bias": _hashed(4, 4 * units),
        "m/lstm_1/kernel": _hashed(5, units, 4 * units) / 4,
        "m/lstm_1/recurrent_kernel": _hashed(6, units, 4 * units) / 4,
        "m/lstm_1/bias": _hashed(7, 4 * units),
        "m/logits/kernel": _hashed(8, units, vocab),
        "m/logits/bias": 2 * _hashed(9, vocab),
    }
    network = SamplingNetwork(
        {path: array.astype(np.float32) for path, array in weights.items()}, 2, [], precision, steps=steps
    )
    block, table, found = network.idle_block(480), requests(1_000), hashlib.sha256()
    for draw in (DrawSettings(), DrawSettings(temperature=0.6, top_p=0.9)):
        taken, outputs = network.run(block, table, NO_PREFIX, draw, False, 25)
        table = table[taken:]
        found.update(np.where(outputs.request_numbers >= 0, outputs.tokens, 0).astype("<i4").tobytes())
    assert found.hexdigest()[:16] == digest


@pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="no C compiler")
def test_the_kernel_is_built_where_there_is_a_compiler() -> None:
    """An installation goes on without it, so nothing else would notice."""
    assert native.instruction_sets()
