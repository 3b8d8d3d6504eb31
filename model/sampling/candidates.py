"""Draw records of which a later field is given: several drafts, of which one is chosen by how well it fits what is given.

A model draws from left to right, so a field cannot depend on one that comes after it. Each draft draws the free fields from
what stands before them, and the given fields are forced in their places. The probability that the model gives to the
forced tokens of a draft says how well what was drawn fits them. One of the drafts is chosen with probability proportional to
that (sampling-importance-resampling, Rubin 1987): with many drafts the choice has the distribution of the free fields under
the condition of all that is given, with a single one that of what stands before them only.

Drafts and choice are functions of (seed, index, attempt): attempt a of a record has the drafts a · K … a · K + K − 1.
"""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

import numpy as np

from linesmith.model.sampling.sample_types import DrawSettings, Sample, SampleRequest, filled_fields
from linesmith.model.sampling.uniform_random import stream_keys, uniforms
from linesmith.records.fields import FieldFormat

CANDIDATES = 32
# A step that no record reaches and that no other choice uses (`linesmith.model.generation.rejection_sampling` has 2⁶²).
_CHOICE_STEP = 2**62 + 1
_ENOUGH_DRAFTS = 8192  # that wait for a row; more would only take memory


class BatchSource(Protocol):
    """What draws: `linesmith.model.sampling.sampler.Sampler`."""

    def batches(self, requests: deque[SampleRequest], settings: DrawSettings) -> Iterator[list[Sample]]:
        """Yield samples as they finish; the consumer may append to the queue."""
        ...


def needs_drafts(prefix: Sequence[int]) -> bool:
    """Return whether something is given after a field that is drawn, or a field should not stay empty.

    Example:
        >>> [needs_drafts(prefix) for prefix in ((), (5, 1), (5, 1, -1, 6, 1), (5, 1, -4))]
        [False, False, True, True]
    """
    # Free fields at the end of a prefix are left out of it.
    return any(number < 0 for number in prefix)


def chosen_batches(
    source: BatchSource, requests: deque[SampleRequest], settings: DrawSettings, fields: FieldFormat
) -> Iterator[list[Sample]]:
    """Yield one sample for each request, some of them chosen among `settings.candidates` drafts.

    Args:
        source: draws.
        requests: the queue; the consumer may append to it while it iterates.
        settings: how tokens are drawn.
        fields: how a record is split.

    Yields:
        Samples in the order in which they are complete; one that was chosen answers the request of its record.
    """
    count = settings.candidates
    drafts: deque[SampleRequest] = deque()
    waiting: dict[tuple[int, int], tuple[SampleRequest, list[Sample]]] = {}

    def take_requests() -> None:
        while requests and len(drafts) < _ENOUGH_DRAFTS:
            request = requests.popleft()
            if not needs_drafts(request.prefix):
                drafts.append(request)
                continue
            waiting[request.index, request.attempt] = (request, [])
            first = request.attempt * count
            drafts.extend(SampleRequest(request.index, first + k, request.prefix) for k in range(count))

    take_requests()
    with closing_batches(source.batches(drafts, settings)) as batches:
        for batch in batches:
            done = []
            for sample in batch:
                if not needs_drafts(sample.request.prefix):
                    done.append(sample)
                    continue
                key = sample.request.index, sample.request.attempt // count
                request, drawn = waiting[key]
                drawn.append(sample)
                if len(drawn) == count:
                    del waiting[key]
                    drawn.sort(key=lambda draft: draft.request.attempt)
                    done.append(replace(choose(drawn, request, settings.seed, fields), request=request))
            yield done
            take_requests()


@contextmanager
def closing_batches(batches: Iterator[list[Sample]]) -> Iterator[Iterator[list[Sample]]]:
    """Yield batches of samples, and end what draws them when the block ends, however it does."""
    try:
        yield batches
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()


def choose(drafts: Sequence[Sample], request: SampleRequest, seed: int, fields: FieldFormat) -> Sample:
    """Choose a draft with probability proportional to that of its prefix.

    Drafts that are no whole records are left out, and those that leave a field empty that should be filled, unless that
    leaves none.

    Args:
        drafts: at least one, in the order of their attempts.
        request: what they answer.
        seed: of the run.
        fields: how a record is split.
    """
    whole = [draft for draft in drafts if draft.error is None and draft.finish_reason == "newline"]
    asked = filled_fields(request.prefix)
    filled = [draft for draft in whole if _are_filled(draft.text, asked, fields)] if asked else whole
    left = filled or whole or drafts[:1]
    largest = max(draft.prefix_log_probability for draft in left)
    weights = np.array([math.exp(draft.prefix_log_probability - largest) for draft in left])
    keys = stream_keys(seed, [request.index], [request.attempt])
    share = float(uniforms(keys, [_CHOICE_STEP], 1)[0, 0])
    position = int(np.searchsorted(np.cumsum(weights), share * weights.sum(), side="right"))
    return left[min(position, len(left) - 1)]


def _are_filled(text: str, positions: Sequence[int], fields: FieldFormat) -> bool:
    try:
        values = fields.split(text)
    except csv.Error:
        return False
    return all(position < len(values) and values[position] != "" for position in positions)
