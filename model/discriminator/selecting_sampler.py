"""A sampler that leaves out what a discriminator finds real records to be rarely like (discriminator rejection sampling).

A draft is kept with probability min(1, r(x) / B), r(x) the ratio of the density of real records to the model's at x, and B a
bound, so that what is kept has the density of the model times min(r, B) (Azadi et al. 2019; von Neumann 1951). Where
`MOST_DRAFTS` drafts of a record were left out, one of them is chosen with a probability in proportion to that.

Drafts and choice are functions of (seed, index, attempt): attempt a of a record has the drafts a · M … a · M + M − 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from linesmith.model.discriminator.discriminator import Discriminator
from linesmith.model.sampling.candidates import BatchSource, closing_batches, needs_drafts
from linesmith.model.sampling.sample_types import DrawSettings, Sample, SampleRequest, is_whole_record
from linesmith.model.sampling.uniform_random import stream_keys, uniforms
from linesmith.records.fields import FieldFormat

MOST_DRAFTS = 64  # of one attempt
# Steps that no record reaches and that no other choice uses (`rejection_sampling` has 2⁶², `candidates` 2⁶² + 1).
_KEEPING_STEP, _CHOICE_STEP = 2**62 + 2, 2**62 + 3
_ENOUGH_DRAFTS = 8192  # that wait for a row; more would only take memory
# Probabilities of keeping a draft are read from a table, so that they are the same on every processor: entry k is that of a ratio
# that is e^(k / 64) times too small, in multiples of what uniform numbers are multiples of.
_PARTS, _UNIFORM_VALUES = 64, 1 << 24
KEEPING = np.rint(np.exp(-np.arange(16 * _PARTS + 1) / _PARTS) * _UNIFORM_VALUES)


class SelectingSampler:
    """A source of samples, each chosen among drafts by a discriminator.

    Args:
        source: draws.
        discriminator: of the model that draws.
        fields: how a record is split.
        drafts: that a record may cost on average.
    """

    def __init__(self, source: BatchSource, discriminator: Discriminator, fields: FieldFormat, drafts: float) -> None:
        self._source = source
        self._discriminator = discriminator
        self._fields = fields
        self._log_bound = discriminator.log_bound(drafts)

    def batches(self, requests: deque[SampleRequest], settings: DrawSettings) -> Iterator[list[Sample]]:
        """Yield one sample for each request.

        Where what is given stands after what is drawn, `linesmith.model.sampling.candidates` chooses among drafts of its own:
        each is passed on, and the ratio counts in its probability.

        Args:
            requests: the queue; the consumer may append to it while it iterates.
            settings: how tokens are drawn.
        """
        drafts: deque[SampleRequest] = deque()
        left_out: dict[tuple[int, int], list[tuple[Sample, int]]] = {}

        def take_requests() -> None:
            while requests and len(drafts) < _ENOUGH_DRAFTS:
                request = requests.popleft()
                drafts.append(replace(request, attempt=request.attempt * MOST_DRAFTS))

        take_requests()
        with closing_batches(self._source.batches(drafts, settings)) as batches:
            for batch in batches:
                done = []
                for sample, level, is_kept in self._judged(batch, settings.seed):
                    answer = self._answer(sample, level, is_kept, left_out, settings)
                    if answer is None:
                        drafts.append(replace(sample.request, attempt=sample.request.attempt + 1))
                    else:
                        done.append(answer)
                yield done
                take_requests()

    def _judged(self, batch: list[Sample], seed: int) -> Iterator[tuple[Sample, int, bool]]:
        """Yield each draft with its entry in `KEEPING`, and whether it is kept.

        A draft that is no whole record is no business of the discriminator: it is kept as often as if it had the ratio 1.
        """
        if not batch:
            return
        ratios = np.zeros(len(batch))
        whole = [n for n, one in enumerate(batch) if one.error is None and one.finish_reason == "newline"]
        if whole:
            ratios[whole] = self._discriminator.log_ratios([batch[n].text for n in whole], self._fields)
        levels = np.clip(np.ceil((self._log_bound - ratios) * _PARTS), 0, len(KEEPING) - 1).astype(np.int64)
        keys = stream_keys(seed, [one.request.index for one in batch], [one.request.attempt for one in batch])
        drawn = uniforms(keys, [_KEEPING_STEP] * len(batch), 1)[0].astype(np.float64)
        kept = drawn * _UNIFORM_VALUES < KEEPING[levels]
        yield from zip(batch, levels.tolist(), kept.tolist(), strict=True)

    def _answer(
        self,
        sample: Sample,
        level: int,
        is_kept: bool,
        left_out: dict[tuple[int, int], list[tuple[Sample, int]]],
        settings: DrawSettings,
    ) -> Sample | None:
        """Return what answers a request after a draft of it; None: one more draft does."""
        attempt, number = divmod(sample.request.attempt, MOST_DRAFTS)
        request = replace(sample.request, attempt=attempt)
        if is_whole_record(request.prefix):
            return replace(sample, request=request)
        if settings.candidates > 1 and needs_drafts(request.prefix):
            probability = sample.prefix_log_probability - level / _PARTS
            return replace(sample, request=request, prefix_log_probability=probability)
        drafts = [*left_out.pop((request.index, attempt), []), (sample, level)]
        if not is_kept and number + 1 < MOST_DRAFTS:
            left_out[request.index, attempt] = drafts
            return None
        chosen = sample if is_kept else _choose(drafts, request, settings.seed)
        # That of the first draft, which nobody chose: the mean over all records is that of the model.
        return replace(chosen, request=request, acceptance_probability=drafts[0][0].acceptance_probability)


def _choose(drafts: list[tuple[Sample, int]], request: SampleRequest, seed: int) -> Sample:
    """Choose one of the drafts that were all left out, with probability in proportion to that of keeping it."""
    weights = np.cumsum(KEEPING[[level for _, level in drafts]])
    share = float(uniforms(stream_keys(seed, [request.index], [request.attempt]), [_CHOICE_STEP], 1)[0, 0])
    return drafts[min(int(np.searchsorted(weights, share * weights[-1], side="right")), len(drafts) - 1)][0]
