"""The sampler with fields that are given between fields that are drawn: what is forced, how likely it was, and masks."""

from collections import deque

import numpy as np
import pytest
import tensorflow as tf

from linesmith.core.errors import ParameterError
from linesmith.model.sampling.sample_types import FREE, filled_field
from linesmith.model.sampling.sampler import DrawSettings, Sampler, SampleRequest, SamplerOptions
from tests.helpers.tiny_model import tiny_run

pytestmark = pytest.mark.integration

SETTINGS = DrawSettings(seed=3, candidates=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    return directory, tiny_run(directory)


@pytest.fixture(scope="module")
def sampler(run):
    options = SamplerOptions(matmul_precision="float32", field_count=4, block_rows=96)
    return Sampler(run[0], options=options)


def prefixes(sampler):
    """Return prefixes of records of four fields, by what a record must look like: None for a field that is drawn."""
    one, two = (sampler.tokenizer.encode_to_ids(text) for text in ("ab.", "7"))
    return {
        (None, "ab.", None, None): (FREE, *one, 1),
        ("7", None, None, "ab."): (*two, 1, FREE, filled_field(2), *one, 0),
        (None, None, "7", "7"): (FREE, FREE, *two, 1, *two, 0),
        ("7", "ab.", None, None): (*two, 1, *one, 1),
        ("", "ab.", "7", ""): (1, *one, 1, *two, 1, 0),
        (None, None, None, ""): (FREE, FREE, FREE, 0),
        (None, None, None, None): (),
    }


def samples_of(sampler, count=60, settings=SETTINGS):
    kinds = list(prefixes(sampler).items())
    requests = [SampleRequest(i, i % 3, kinds[i % len(kinds)][1]) for i in range(count)]
    by_index = {s.request.index: s for s in sampler.stream(deque(requests), settings)}
    return [(kinds[i % len(kinds)][0], by_index[i]) for i in range(count)]


def test_given_fields_stand_in_their_places(sampler):
    whole = 0
    for wanted, sample in samples_of(sampler):
        if sample.finish_reason != "newline":
            continue  # random weights end few records
        whole += 1
        fields = sample.text.split(", ")
        assert len(fields) == 4
        assert all(want is None or field == want for field, want in zip(fields, wanted, strict=True))
    assert whole > 30


def test_the_probability_of_what_is_forced_is_that_of_the_network(run, sampler):
    for wanted, sample in samples_of(sampler, 21):
        if sample.finish_reason != "newline":
            continue
        fields = sample.text.split(", ")
        ids, forced = [], []
        for number, (field, want) in enumerate(zip(fields, wanted, strict=True)):
            part = [*sampler.tokenizer.encode_to_ids(field), 1 if number < 3 else 0]
            ids += part
            forced += [want is not None] * len(part)
        logits = run[1](tf.constant([0, *ids[:-1]], tf.int32)[:, None])[:, 0].numpy().astype(np.float64)
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        expected = logs[np.arange(len(ids)), ids][np.array(forced)].sum()
        assert sample.prefix_log_probability == pytest.approx(expected, abs=2e-3)


def test_what_stands_beside_a_record_plays_no_part(run, sampler):
    small = Sampler(run[0], options=SamplerOptions(matmul_precision="float32", field_count=4, block_rows=48))
    assert samples_of(small, 120) == samples_of(sampler, 120)


def test_without_gaps_texts_do_not_depend_on_whether_they_are_scored(sampler):
    requests = [SampleRequest(i, 0, prefixes(sampler)["7", "ab.", None, None]) for i in range(40)]
    found = [
        {s.request.index: (s.text, s.prefix_log_probability) for s in sampler.stream(deque(requests), settings)}
        for settings in (SETTINGS, DrawSettings(seed=3))
    ]
    assert {i: text for i, (text, _) in found[0].items()} == {i: text for i, (text, _) in found[1].items()}
    assert {score for _, score in found[1].values()} == {0.0}
    assert all(score < 0 for _, score in found[0].values())


def test_masks_still_refuse_what_cannot_be(run):
    schema = (
        '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}, {"name": "b", "type": "int"},'
        ' {"name": "c", "type": "string"}]}'
    )
    typed = Sampler(run[0], options=SamplerOptions(matmul_precision="float32", field_count=3, schema=schema))
    good, bad = (typed.tokenizer.encode_to_ids(text) for text in ("12", "a"))
    assert typed.automaton.accepts_prefix((FREE, *good, 1))
    assert typed.automaton.accepts_prefix((FREE, FREE, *bad, 0))
    assert not typed.automaton.accepts_prefix((FREE, *bad, 1))
    with pytest.raises(ParameterError, match="LS108"):
        list(typed.stream(deque([SampleRequest(0, 0, (FREE, *bad, 1))]), SETTINGS))
    texts = [s.text for s in typed.stream(deque(SampleRequest(i, 0, (FREE, *good, 1)) for i in range(20)), SETTINGS)]
    assert all(text.split(", ")[1] == "12" for text in texts if text.count(", ") == 2)
