"""Sampling records from a trained model: text as a pure function of (seed, record index, attempt)."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.artifacts.model_info import load_weights, read_model_info
from linesmith.core.errors import DataError, ParameterError
from linesmith.core.hardware import sampling_precision
from linesmith.model.sampling.batch_decoder import BatchDecoder, char_counts
from linesmith.model.sampling.block import Work, block_size_for, largest_block_size
from linesmith.model.sampling.sample_types import DrawSettings, Sample, SampleRequest, SamplerOptions
from linesmith.model.sampling.token_automaton import token_automaton
from linesmith.model.tokenizers import tokenizer_from_model_dir
from linesmith.model.tokenizers.base import Tokenizer

if TYPE_CHECKING:
    from linesmith.model.sampling.network import SamplingNetwork, StepOutputs
    from linesmith.model.sampling.row_state import Rule

__all__ = ["DrawSettings", "Sample", "SampleRequest", "Sampler", "SamplerOptions"]

_TOKENS_A_CHAR = 4  # at most: a character may be spelt in UTF-8 bytes


class Sampler:
    """A model in memory, ready to sample. Loading is the only I/O; nothing here depends on Beam.

    Args:
        run_dir: a run directory, wherever it lies now.
        checkpoint: an epoch's number, 'best' or 'last'; None takes the model's default.
        threads: cores that sampling may use, in a process that does nothing else with TensorFlow; None leaves TensorFlow's
            threads as they are.
        options: precision, masks, block.

    Attributes:
        lanes: blocks at work side by side.
        slots: most records that are sampled side by side.
        row_steps, busy_row_steps: rows × steps computed so far, and those that served a record.

    Raises:
        DataError: no model, a damaged one, or a tokenizer that is not the one it was trained with.
        ParameterError: that checkpoint was not kept, or the schema does not fit the model.
    """

    def __init__(
        self,
        run_dir: str | Path,
        *,
        checkpoint: str | None = None,
        threads: int | None = None,
        options: SamplerOptions | None = None,
    ) -> None:
        options = SamplerOptions() if options is None else options
        self.info = read_model_info(run_dir)
        self.tokenizer: Tokenizer = tokenizer_from_model_dir(run_dir)
        if self.tokenizer.digest != self.info.tokenizer_digest:
            raise DataError(
                f"LS206: the tokenizer in '{run_dir}' is not the one the model was trained with; restore it or train again."
            )
        weights = load_weights(run_dir, checkpoint)
        self.automaton = token_automaton(self.tokenizer, self.info, options)
        self.precision = sampling_precision(options.precision)
        lanes = None if threads is None else _lanes_for(threads)
        self.lanes = 1 if lanes is None else lanes
        from linesmith.model.sampling.network import SamplingNetwork

        self._network: SamplingNetwork = SamplingNetwork(
            weights,
            self.info.rnn_layers,
            list(self.tokenizer.never_sampled),
            self.precision,
            None if self.automaton is None else self.automaton.moves,
            char_counts(self.tokenizer),
        )
        self._decoder = BatchDecoder(self.tokenizer)
        chosen = options.block
        self._most = largest_block_size(self._network.units, self.info, lanes) if chosen is None else chosen
        self.row_steps = self.busy_row_steps = 0

    @property
    def slots(self) -> int:
        return self.lanes * self._most

    def stream(self, requests: deque[SampleRequest], settings: DrawSettings) -> Iterator[Sample]:
        """`batches`, sample by sample."""
        for batch in self.batches(requests, settings):
            yield from batch

    def batches(self, requests: deque[SampleRequest], settings: DrawSettings) -> Iterator[list[Sample]]:
        """Sample every request, in whatever order they finish; yields what each graph call finished, if anything. The consumer
        may append further requests while it iterates; it ends when the queue is empty and no row is at work.

        Each lane's graph call runs in a thread of its own while texts of former ones are decoded and consumed.

        Args:
            requests: the queue; consumed from the left.
            settings: how tokens are drawn.

        Raises:
            ParameterError: a start string that the masks rule out, whatever follows it.
        """
        lanes = [_Lane(Work(self._network, self._rows_for(len(requests)), settings.seed)) for _ in range(self.lanes)]
        prefixed = False  # once true, it stays: each kind of rule is a graph of its own
        running: deque[_Lane] = deque()
        with ThreadPoolExecutor(len(lanes), "linesmith-graph") as threads:

            def start(lane: _Lane) -> None:
                nonlocal prefixed
                if lane.work.busy or lane.work.waiting or requests:
                    prefixed |= self._fill(lane.work, requests, settings)
                    lane.start(threads, settings, prefixed)
                    running.append(lane)

            while True:
                for lane in lanes:
                    if lane not in running:
                        start(lane)
                if not running:
                    return
                lane = running.popleft()
                emitted = lane.result()
                rows = self._rows_for(lane.work.busy + lane.work.waiting + len(requests))
                if lane.work.resizes_to(rows):
                    # Rare, and what rows carry must be known first: this lane does not run meanwhile.
                    samples = self._samples(lane.work, emitted, settings)
                    lane.work.resize(rows)
                    yield samples
                else:
                    start(lane)
                    yield self._samples(lane.work, emitted, settings)

    def _rows_for(self, records: int) -> int:
        return block_size_for(records, self._most)

    def _fill(self, work: Work, requests: deque[SampleRequest], settings: DrawSettings) -> bool:
        """Move requests to the block's table; returns whether any has a start string."""
        cap = self.info.length_cap_tokens if settings.gen_chars == 0 else _TOKENS_A_CHAR * settings.gen_chars
        share = -(-len(requests) // self.lanes)  # what one lane hoards, another cannot have when it runs dry
        taken = [requests.popleft() for _ in range(min(work.room, share))]
        prefixes = {request.prefix for request in taken if request.prefix}
        for prefix in prefixes:
            self._check(prefix)
        work.add(taken, cap)
        return bool(prefixes)

    def _check(self, prefix: tuple[int, ...]) -> None:
        if self.automaton is not None and not self.automaton.follows(prefix):
            raise ParameterError(
                "LS108: a start string cannot begin a record of the schema: one of its fields is not of the field's type. Give "
                "one that is, or generate with --no-field-aware.",
                code="LS108",
            )

    def _samples(self, work: Work, emitted: StepOutputs, settings: DrawSettings) -> list[Sample]:
        """The records that ended in a call."""
        ended = work.collect(emitted)
        self.row_steps += emitted.tokens.size
        self.busy_row_steps += ended.busy
        texts = self._decoder.decode(ended.ids, ended.lengths)
        samples = []
        for request, (text, error), whole, survival in zip(
            ended.requests, texts, ended.whole.tolist(), ended.acceptance_probabilities.tolist(), strict=True
        ):
            reason = "newline" if whole else "length"
            samples.append(Sample(request, text, reason, error, survival))
        if settings.gen_chars:
            samples = [self._cut(sample, ended.of(n), settings.gen_chars) for n, sample in enumerate(samples)]
        return samples

    def _cut(self, sample: Sample, ids: list[int], gen_chars: int) -> Sample:
        """The sample under a limit in characters. The last token may have begun a character that the limit cuts off."""
        text, error = sample.text, sample.error
        if error == "utf8" and sample.finish_reason == "length":
            text, error = self._decoder.one(ids[:-1])
            if error is None and len(text) >= gen_chars:
                return Sample(sample.request, text[:gen_chars], "gen_chars", None, sample.survival)
            return sample
        if error is None and len(text) > gen_chars:
            return Sample(sample.request, text[:gen_chars], "gen_chars", None, sample.survival)
        return sample


class _Lane:
    """A block at work beside others, each in a thread of its own."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._call: Future[StepOutputs] = Future()

    def start(self, threads: ThreadPoolExecutor, settings: DrawSettings, prefixed: bool) -> None:
        limits = (settings.temperature, settings.gen_chars, settings.top_k, settings.top_p)
        self._call = threads.submit(self.work.advance, _rule(settings, prefixed), limits)

    def result(self) -> StepOutputs:
        """What the last call drew, once it has returned."""
        return self._call.result()


def _lanes_for(threads: int) -> int | None:
    """Blocks to sample side by side. Loops over elements run on one core whatever there is, so one block cannot keep two busy:
    each core gets a block of its own, and TensorFlow no others (measured: a fifth more text).

    Where TensorFlow runs already its threads are what they are, and every product takes them all: None, one block for all. So
    on a GPU.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return None
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        return max(1, threads)
    return None


def _rule(settings: DrawSettings, prefixed: bool) -> Rule:
    from linesmith.model.sampling.row_state import Rule

    return Rule(
        greedy=settings.temperature == 0,
        truncated=settings.top_k > 0 or settings.top_p < 1,
        counts_chars=settings.gen_chars > 0,
        prefixed=prefixed,
    )
