"""Sampling from a network that knows fields: equal to a naive loop, and the same for every block, precision and company."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
import tensorflow as tf

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.errors import DataError
from linesmith.model.fields.inputs import input_rows
from linesmith.model.sampling.sampler import DrawSettings, Sampler, SampleRequest, SamplerOptions
from linesmith.model.sampling.uniform_random import stream_keys, uniforms
from linesmith.model.training.language_model import LanguageModel
from tests.helpers.tiny_model import tiny_run

pytestmark = pytest.mark.integration

CAP = 60


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    return directory, tiny_run(directory, fields=4, cap=CAP)


def _found(sampler: Sampler, requests: list[SampleRequest]) -> dict:
    samples = sampler.stream(deque(requests), DrawSettings(seed=3))
    return {s.request.index: (s.text, s.finish_reason, s.acceptance_probability) for s in samples}


def _naive(model: LanguageModel, sampler: Sampler, request: SampleRequest) -> str:
    """Sample one token at a time, with the rows of the complete record so far at every step; without masks."""
    ids: list[int] = []
    while len(ids) < CAP + len(request.prefix):
        inputs = np.array([0, *ids], np.int32)[:, None]
        logits = model(tf.constant(inputs), rows=tf.constant(input_rows(inputs, model.layout)))[-1, 0].numpy()
        weights = np.exp((logits - logits.max()).astype(np.float64))
        threshold = float(uniforms(stream_keys(3, [request.index], [0]), [len(ids)], 1)) * weights.sum()
        token = int(np.searchsorted(np.cumsum(weights), threshold, side="right"))
        if len(ids) < len(request.prefix):
            token = request.prefix[len(ids)]
        if token == 0:
            break
        ids.append(token)
    return sampler.tokenizer.decode_from_ids(ids)


@pytest.mark.slow
def test_equals_the_naive_loop(run):
    sampler = Sampler(run[0], options=SamplerOptions(matmul_precision="float32", field_aware=False, block_rows=48))
    # Start strings with more fields than are known, and longer than what is remembered.
    prefixes = ["", "", "", "ab, ab, 1", "1, 1, , 1, 1, 1, 1", "ab, 12, " * 12]
    requests = [
        SampleRequest(index, 0, tuple(sampler.tokenizer.encode_to_ids(prefix))) for index, prefix in enumerate(prefixes)
    ]
    found = _found(sampler, requests)
    for request in requests:
        assert found[request.index][0] == _naive(run[1], sampler, request)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_text_is_the_same_for_every_block(run, precision):
    requests = [SampleRequest(index, 0) for index in range(400)]
    expected = None
    for rows in (48, 240, 1008):
        sampler = Sampler(run[0], options=SamplerOptions(matmul_precision=precision, block_rows=rows))
        found = _found(sampler, requests)
        assert len(found) == 400
        expected = found if expected is None else expected
        assert found == expected
    some = requests[7:19]
    assert _found(sampler, some) == {request.index: expected[request.index] for request in some}
    assert all(text.count(", ") == 3 for text, reason, _ in expected.values() if reason == "newline")
    assert len({text for text, _, _ in expected.values()}) > 200


def _refused(run, tmp_path, change) -> None:
    import shutil

    shutil.copytree(run[0], tmp_path / "run")
    path = tmp_path / "run" / "model" / "model.json"
    stored = read_json(path, "model")
    change(stored["field_inputs"])
    write_json(path, stored)
    with pytest.raises(DataError) as caught:
        Sampler(tmp_path / "run")
    assert caught.value.code == "LS214"


@pytest.mark.parametrize(
    "change",
    [
        lambda inputs: inputs["positions"].append(3),
        lambda inputs: inputs["parents"][1].append(2),
        lambda inputs: inputs.pop("tokens"),
        lambda inputs: inputs.update(memory=0),
        lambda inputs: inputs["positions"].__setitem__(0, 7),  # consistent in itself, but not with the weights
    ],
)
def test_a_damaged_description_is_refused(run, tmp_path, change):
    _refused(run, tmp_path, change)
