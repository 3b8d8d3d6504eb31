"""Tests of the choice among drafts by a discriminator: its distribution, and that nothing else plays a part."""

from collections import Counter, deque

import numpy as np
import pytest

from linesmith.model.discriminator.selecting_sampler import KEEPING, MOST_DRAFTS, SelectingSampler
from linesmith.model.sampling.candidates import chosen_batches
from linesmith.model.sampling.sample_types import FREE, DrawSettings, Sample, SampleRequest
from linesmith.records.fields import NEWLINE_ID, FieldFormat
from tests.helpers.generation_fakes import uniform

CSV = FieldFormat(",", quoted=True)
RATIOS = {"a": 0.5, "b": 1.0, "c": 2.0, "d": 8.0}


class Judge:
    """A discriminator that knows the ratios of four texts."""

    def __init__(self, bound):
        self.bound = bound

    def log_bound(self, drafts):
        return np.log(self.bound)

    def log_ratios(self, texts, fields):
        return np.log([RATIOS[text] for text in texts])


class Source:
    """Draws one of four texts by (index, attempt), `size` requests at a time, in another order."""

    def __init__(self, size, reason="newline", error=None):
        self.size, self.asked, self.reason, self.error = size, [], reason, error

    def batches(self, requests, settings):
        while requests:
            taken = [requests.popleft() for _ in range(min(self.size, len(requests)))]
            self.asked += taken
            yield [self._sample(request) for request in reversed(taken)]

    def _sample(self, request):
        text = "abcd"[int(4 * uniform(request.index, request.attempt))]
        return Sample(request, text, self.reason, self.error, uniform(request.attempt, 5), -uniform(request.index, 7))


def texts(source, judge, requests, settings=DrawSettings(seed=3)):
    sampler = SelectingSampler(source, judge, CSV, 10)
    return {one.request: one for batch in sampler.batches(deque(requests), settings) for one in batch}


def test_records_are_as_frequent_as_the_model_s_times_their_ratios_up_to_the_bound():
    found = texts(Source(64), Judge(2.0), [SampleRequest(n, 0) for n in range(20_000)])
    shares = Counter(one.text for one in found.values())
    expected = {text: min(ratio, 2.0) for text, ratio in RATIOS.items()}
    for text, weight in expected.items():
        assert abs(shares[text] / 20_000 - weight / sum(expected.values())) < 0.012


@pytest.mark.parametrize("size", [1, 7, 500])
def test_the_choice_is_a_function_of_the_record_and_its_attempt(size):
    requests = [SampleRequest(n, attempt) for n in range(50) for attempt in range(2)]
    found = texts(Source(size), Judge(8.0), requests)
    reference = texts(Source(64), Judge(8.0), reversed(requests))
    assert found.keys() == set(requests)
    assert {request: one.text for request, one in found.items()} == {r: one.text for r, one in reference.items()}
    assert any(found[SampleRequest(n, 0)].text != found[SampleRequest(n, 1)].text for n in range(50))


def test_where_all_drafts_are_left_out_one_of_them_is_chosen_by_its_ratio():
    source = Source(64)
    found = texts(source, Judge(1e6), [SampleRequest(n, 0) for n in range(400)])
    assert len(found) == 400
    assert max(request.attempt for request in source.asked) == MOST_DRAFTS - 1
    shares = Counter(one.text for one in found.values())
    assert abs(shares["d"] / 400 - 8 / 11.5) < 0.08


def test_drafts_that_are_no_records_are_kept_as_often_as_average_ones():
    for broken in (Source(64, reason="length"), Source(64, error="utf8")):
        found = texts(broken, Judge(4.0), [SampleRequest(n, 0) for n in range(300)])
        assert abs(len(broken.asked) / len(found) - 4.0) < 0.8


def test_a_whole_record_that_is_given_is_not_drawn_again():
    source = Source(8)
    whole = [SampleRequest(n, 0, (5, 1, 6, NEWLINE_ID)) for n in range(40)]
    assert texts(source, Judge(1e9), whole).keys() == set(whole)
    assert len(source.asked) == 40


def test_among_drafts_of_a_condition_the_ratio_counts_with_what_is_given():
    settings, source = DrawSettings(seed=3, candidates=4), Source(16)
    requests = [SampleRequest(n, 0, (FREE, 9, 1)) for n in range(3000)]
    sampler = SelectingSampler(source, Judge(8.0), CSV, 10)
    found = [one for batch in chosen_batches(sampler, deque(requests), settings, CSV) for one in batch]
    assert len(found) == 3000
    assert len(source.asked) == 4 * 3000  # as many as without a discriminator
    assert Counter(one.text for one in found)["d"] > 0.45 * 3000  # a quarter without


def test_what_masks_left_is_that_of_a_draft_that_nobody_chose():
    found = texts(Source(64), Judge(4.0), [SampleRequest(n, 0) for n in range(50)])
    assert {one.acceptance_probability for one in found.values()} == {uniform(0, 5)}  # of attempt 0


def test_the_consumer_may_ask_for_more_meanwhile():
    sampler = SelectingSampler(Source(4), Judge(2.0), CSV, 10)
    requests, later, seen = deque([SampleRequest(0, 0)]), [SampleRequest(1, 0), SampleRequest(2, 3)], []
    for batch in sampler.batches(requests, DrawSettings()):
        for one in batch:
            seen.append(one.request)
            if later:
                requests.append(later.pop())
    assert {(one.index, one.attempt) for one in seen} == {(0, 0), (1, 0), (2, 3)}


def test_no_entry_of_the_table_depends_on_the_last_digits_of_a_logarithm():
    exact = np.exp(-np.arange(len(KEEPING)) / 64) * 2**24
    assert KEEPING[0] == 2**24
    assert np.abs(exact[1:] % 1 - 0.5).min() > 1e-5
    assert KEEPING.min() >= 1
