"""Tests of the choice among drafts: its distribution, what is left out, and that nothing else plays a part."""

from collections import Counter, deque

import numpy as np
import pytest

from linesmith.model.sampling.candidates import choose, chosen_batches, needs_drafts
from linesmith.model.sampling.sample_types import (
    FREE,
    DrawSettings,
    Sample,
    SampleRequest,
    filled_field,
    is_whole_record,
)
from linesmith.records.fields import FieldFormat
from tests.helpers.generation_fakes import uniform

CSV = FieldFormat(",", quoted=True)
GAP = (FREE, 9, 1)


def draft(attempt, text, score=0.0, reason="newline", error=None, prefix=GAP, index=0):
    return Sample(SampleRequest(index, attempt, prefix), text, reason, error, prefix_log_probability=score)


def test_drafts_are_chosen_by_the_probability_of_what_is_given():
    drafts = [draft(0, "a", -700.0), draft(1, "b", -700.0 + np.log(3)), draft(2, "c", -2000.0)]
    chosen = Counter(choose(drafts, SampleRequest(index, 0, GAP), 5, CSV).text for index in range(4000))
    assert chosen["c"] == 0
    assert abs(chosen["b"] / 4000 - 0.75) < 0.03


def test_drafts_that_are_no_records_are_left_out_and_a_field_is_filled_where_a_draft_fills_it():
    request = SampleRequest(3, 0, (filled_field(1), 9, 1))
    broken = [draft(0, "x", 9.0, reason="length"), draft(1, "", 9.0, error="utf8")]
    empty, filled = draft(2, 'a,"",c', 5.0), draft(3, "a,b,c", -5.0)
    assert choose([*broken, empty, filled], request, 1, CSV) is filled
    assert choose([*broken, empty], request, 1, CSV) is empty  # nothing fills it
    assert choose(broken, request, 1, CSV) is broken[0]  # which generation refuses, and tries again
    assert choose([empty, filled], SampleRequest(3, 0, GAP), 1, CSV) is empty  # that field was not asked for


class Source:
    """Draws texts that are functions of the request, `size` at a time, in another order."""

    def __init__(self, size):
        self.size, self.asked = size, []

    def batches(self, requests, settings):
        while requests:
            taken = [requests.popleft() for _ in range(min(self.size, len(requests)))]
            self.asked += taken
            yield [
                Sample(r, f"{r.index}-{r.attempt}", "newline", prefix_log_probability=-uniform(r.index, r.attempt))
                for r in reversed(taken)
            ]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_choice_is_a_function_of_the_record_and_its_attempt(size):
    settings = DrawSettings(seed=4, candidates=5)
    requests = deque(SampleRequest(index, attempt, GAP) for index in range(20) for attempt in range(2))
    plain = [SampleRequest(100, 3, (9, 1)), SampleRequest(101, 0)]
    requests.extend(plain)
    source = Source(size)
    found = {}
    later = deque([SampleRequest(200, 0, GAP)])
    for batch in chosen_batches(source, requests, settings, CSV):
        for sample in batch:
            assert sample.request not in found
            found[sample.request] = sample.text
            if later:  # the consumer may ask for more meanwhile
                requests.append(later.popleft())
    assert len(found) == 43
    assert [found[request] for request in plain] == ["100-3", "101-0"]
    for request, text in found.items():
        if request not in plain:
            first = request.attempt * 5
            drafts = [
                draft(first + k, f"{request.index}-{first + k}", -uniform(request.index, first + k)) for k in range(5)
            ]
            assert text == choose(drafts, request, 4, CSV).text
    assert len(set(source.asked)) == len(source.asked) == 41 * 5 + 2


def test_only_what_stands_after_a_drawn_field_needs_drafts():
    assert not needs_drafts((9, 1, 8, 1))
    assert needs_drafts((FREE, 9, 1))
    assert is_whole_record((9, 1, 8, 0))
    assert not is_whole_record((9, 1, 8))
