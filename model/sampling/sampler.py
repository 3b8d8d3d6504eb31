"""Samples records from a trained model: text is a pure function of (seed, record index, attempt)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import loky

from linesmith.core.artifacts.model_info import ModelInfo, load_weights, read_model_info
from linesmith.core.errors import DataError, ParameterError
from linesmith.core.hardware import sampling_precision
from linesmith.model.fields.layout import layout_of_model
from linesmith.model.sampling.batch_decoder import BatchDecoder, char_counts
from linesmith.model.sampling.block import SamplingBlock, block_size_for, block_sizes_up_to, largest_block_size
from linesmith.model.sampling.block_state import StepOutputs
from linesmith.model.sampling.masks import token_automaton
from linesmith.model.sampling.network import SamplingNetwork
from linesmith.model.sampling.sample_types import DrawSettings, Sample, SampleRequest, SamplerOptions
from linesmith.model.tokenizers import tokenizer_from_model_dir
from linesmith.model.tokenizers.base import Tokenizer

__all__ = ["DrawSettings", "Sample", "SampleRequest", "Sampler", "SamplerOptions"]

_TOKENS_PER_CHAR = 4  # at most: a character may be spelled in UTF-8 bytes


class Sampler:
    """A model in memory, ready to sample. Loading is the only I/O; nothing here depends on Beam.

    Args:
        run_dir: a run directory, wherever it lies now.
        checkpoint: an epoch's number, 'best' or 'last'; None takes the model's default.
        threads: cores that sampling may use; None: all that the process has.
        options: precision, masks, block size.
        info: description of the model; None: the one in the run directory.

    Attributes:
        parallel_blocks: blocks at work side by side, each in a thread of its own.
        block_sizes: numbers of rows of a block.
        max_rows: most records that are sampled side by side.
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
        info: ModelInfo | None = None,
    ) -> None:
        options = SamplerOptions() if options is None else options
        self.info = read_model_info(run_dir) if info is None else info
        self.tokenizer: Tokenizer = tokenizer_from_model_dir(run_dir)
        is_of_model = self.tokenizer.total_vocab_size == self.info.vocab_size
        if self.tokenizer.digest != self.info.tokenizer_digest or not is_of_model:
            raise DataError(
                "LS214",
                None,
                f"the tokenizer in '{run_dir}' is not the one the model was trained with",
                "Restore it or train again.",
            )
        weights = load_weights(run_dir, checkpoint)
        self.automaton = token_automaton(self.tokenizer, self.info, options)
        self.precision = sampling_precision(options.matmul_precision)
        self.parallel_blocks = loky.cpu_count() if threads is None else max(1, threads)
        self._network = SamplingNetwork(
            weights,
            self.info.rnn_layers,
            list(self.tokenizer.never_sampled),
            self.precision,
            None if self.automaton is None else self.automaton.transitions,
            char_counts(self.tokenizer),
            layout_of_model(self.info),
            options.steps,
        )
        self._decoder = BatchDecoder(self.tokenizer)
        rows = options.block_rows
        most = largest_block_size(self._network.units, self.info, self.parallel_blocks) if rows is None else rows
        self.block_sizes = block_sizes_up_to(most)
        self.row_steps = self.busy_row_steps = 0

    @property
    def max_rows(self) -> int:
        """Return the most records that are sampled side by side."""
        return self.parallel_blocks * self.block_sizes[-1]

    def stream(self, requests: deque[SampleRequest], settings: DrawSettings) -> Iterator[Sample]:
        """Yield the samples of `batches` one by one."""
        for batch in self.batches(requests, settings):
            yield from batch

    def batches(self, requests: deque[SampleRequest], settings: DrawSettings) -> Iterator[list[Sample]]:
        """Sample every request, in whatever order they finish.

        The consumer may append further requests while it iterates; the iterator ends when the queue is empty and no row is at
        work. Each block's call of the network runs in a thread of its own while texts of earlier calls are decoded and consumed.

        Args:
            requests: the queue; consumed from the left.
            settings: how tokens are drawn.

        Yields:
            The samples that a call finished, if any.

        Raises:
            ParameterError: a start string that the masks rule out, whatever follows it.
        """
        rows = self._rows_for(len(requests))
        blocks = [_BlockThread(SamplingBlock(self._network, rows, settings)) for _ in range(self.parallel_blocks)]
        prefixed = False  # once true, it stays
        running: deque[_BlockThread] = deque()
        with ThreadPoolExecutor(len(blocks), "linesmith-sampling") as threads:

            def start(thread: _BlockThread) -> None:
                nonlocal prefixed
                if thread.block.busy_rows or thread.block.waiting_requests or requests:
                    prefixed |= self._fill(thread.block, requests, settings)
                    thread.start(threads, prefixed)
                    running.append(thread)

            while True:
                for thread in blocks:
                    if thread not in running:
                        start(thread)
                if not running:
                    return
                thread = running.popleft()
                outputs, block = thread.result(), thread.block
                rows = self._rows_for(block.busy_rows + block.waiting_requests + len(requests))
                if block.resizes_to(rows):
                    # Rare. The call must be collected before its rows are moved, so this block does not run meanwhile.
                    samples = self._samples(block, outputs, settings)
                    block.resize(rows)
                    yield samples
                else:
                    start(thread)
                    yield self._samples(block, outputs, settings)

    def _rows_for(self, records: int) -> int:
        return block_size_for(records, self.block_sizes)

    def _fill(self, block: SamplingBlock, requests: deque[SampleRequest], settings: DrawSettings) -> bool:
        """Move requests to the block's table; returns whether any has a start string."""
        cap = self.info.length_cap_tokens if settings.gen_chars == 0 else _TOKENS_PER_CHAR * settings.gen_chars
        # No more than this block's share: requests in its table are lost to other blocks that run out of work.
        share = -(-len(requests) // self.parallel_blocks)
        taken = [requests.popleft() for _ in range(min(block.free_requests, share))]
        prefixes = {request.prefix for request in taken if request.prefix}
        for prefix in prefixes:
            self._check_prefix(prefix)
        block.add(taken, cap)
        return bool(prefixes)

    def _check_prefix(self, prefix: tuple[int, ...]) -> None:
        if self.automaton is not None and not self.automaton.accepts_prefix(prefix):
            raise ParameterError(
                "LS108",
                "--start-string",
                "cannot begin a record of the schema: one of its fields is not of the field's type",
                "Give one that can, or generate with --no-field-aware.",
            )

    def _samples(self, block: SamplingBlock, outputs: StepOutputs, settings: DrawSettings) -> list[Sample]:
        """Return the records that ended in a call."""
        finished = block.collect(outputs)
        self.row_steps += outputs.tokens.size
        self.busy_row_steps += finished.busy_row_steps
        texts = self._decoder.decode(finished.ids, finished.lengths)
        samples = []
        for request, (text, error), ended_by_model, probability, score in zip(
            finished.requests,
            texts,
            finished.ended_by_model.tolist(),
            finished.acceptance_probabilities.tolist(),
            finished.prefix_log_probabilities.tolist(),
            strict=True,
        ):
            reason = "newline" if ended_by_model else "length"
            samples.append(Sample(request, text, reason, error, probability, score))
        if settings.gen_chars:
            samples = [self._cut(sample, finished.ids_of(n), settings.gen_chars) for n, sample in enumerate(samples)]
        return samples

    def _cut(self, sample: Sample, ids: list[int], gen_chars: int) -> Sample:
        """Cut a sample to a number of characters.

        The network ends a record with the token that begins the first character too many, so the last token may be the first
        byte of a character: the text is then that of the ids before it.
        """
        text, error = sample.text, sample.error
        if error == "utf8" and sample.finish_reason == "length":
            text, error = self._decoder.decode_one(ids[:-1])
            if error is not None or len(text) < gen_chars:
                return sample
        elif error is not None or len(text) <= gen_chars:
            return sample
        return replace(sample, text=text[:gen_chars], finish_reason="gen_chars", error=None)


class _BlockThread:
    """A block whose calls of the network run in a thread of a pool, beside those of other blocks."""

    def __init__(self, block: SamplingBlock) -> None:
        self.block = block
        self._call: Future[StepOutputs] = Future()

    def start(self, threads: ThreadPoolExecutor, prefixed: bool) -> None:
        """Start the block's next call."""
        self._call = threads.submit(self.block.run_call, prefixed)

    def result(self) -> StepOutputs:
        """Wait for the last call and return what it drew."""
        return self._call.result()
