"""Sampling records from a trained model: text as a pure function of (seed, record index, attempt)."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model.errors import DataError, TokenizerError
from model.tokenizers import tokenizer_from_model_dir
from model.tokenizers.base import NEWLINE_ID, Tokenizer
from model.trained_model import load_weights, read_model_info
from model.uniforms import stream_keys, uniforms

_BLOCKS = (16, 64, 256, 1024)  # rows of a block; few sizes, since each is traced once
_TOKENS_A_CHAR = 4  # at most: a character may be spelt in UTF-8 bytes


@dataclass(frozen=True)
class SampleRequest:
    """One attempt at one record. `prefix` holds the ids of its start string (no leading `<n>`)."""

    index: int
    attempt: int
    prefix: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sample:
    """A finished attempt.

    Attributes:
        request: what was asked.
        text: the record, start string included, without its newline. Empty where `error` is set.
        finish_reason: 'newline' (the model ended it), 'gen_chars' (cut by the user's limit) or 'length' (the learnt cap).
        error: why the ids are no text ('utf8' or 'escape'), or None.
    """

    request: SampleRequest
    text: str
    finish_reason: str
    error: str | None = None


@dataclass
class _Slot:
    """A row at work."""

    request: SampleRequest
    ids: list[int] = field(default_factory=list)


class Sampler:
    """A model in memory, ready to sample. Loading is the only I/O; nothing here depends on Beam.

    Args:
        run_dir: a run directory, wherever it lies now.
        checkpoint: an epoch's number, 'best' or 'last'; None takes the model's default.
        threads: TensorFlow's threads in this process; only the first load can set it.

    Raises:
        DataError: no model, a damaged one, or a tokenizer that is not the one it was trained with.
        ParameterError: that checkpoint was not kept.
    """

    def __init__(self, run_dir: str | Path, *, checkpoint: str | None = None, threads: int | None = None) -> None:
        self.info = read_model_info(run_dir)
        self.tokenizer: Tokenizer = tokenizer_from_model_dir(run_dir)
        if self.tokenizer.digest != self.info.tokenizer_digest:
            raise DataError(
                f"LS206: the tokenizer in '{run_dir}' is not the one the model was trained with; restore it or train again."
            )
        weights = load_weights(run_dir, checkpoint)
        import tensorflow as tf

        if threads is not None:
            with contextlib.suppress(RuntimeError):  # already running: the process keeps what it has
                tf.config.threading.set_intra_op_parallelism_threads(threads)
        from model.sampling_network import STEPS, SamplingNetwork

        self._steps = STEPS
        self._network = SamplingNetwork(weights, self.info.rnn_layers, list(self.tokenizer.never_sampled))

    def stream(
        self, requests: deque[SampleRequest], *, seed: int, temperature: float = 1.0, gen_chars: int = 0
    ) -> Iterator[Sample]:
        """Sample every request, in whatever order they finish. The consumer may append further requests while it iterates;
        the stream ends when the queue is empty and no row is at work.

        Args:
            requests: the queue; consumed from the left.
            seed: of the run.
            temperature: 0 takes the likeliest token.
            gen_chars: cut a record after so many characters, its start string included; 0: no such limit.
        """
        rows = _block_for(len(requests))
        slots: list[_Slot | None] = [None] * rows
        state = self._network.zero_state(rows)
        while True:
            waiting = sum(slot is not None for slot in slots) + len(requests)
            if waiting == 0:
                return
            if _block_for(waiting) < len(slots):
                slots, state = _shrink(slots, state, _block_for(waiting))
            for row, slot in enumerate(slots):
                if slot is None and requests:
                    slots[row] = _Slot(requests.popleft())
            state, drawn = self._network.advance(state, *self._inputs(slots, seed), temperature=temperature)
            for row, slot in enumerate(slots):
                if slot is None:
                    continue
                slot.ids += drawn[:, row].tolist()
                sample = self._finished(slot, gen_chars)
                if sample is not None:
                    slots[row] = None
                    yield sample

    def _inputs(self, slots: list[_Slot | None], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """tokens, fresh, forced and uniforms of the next call."""
        steps = self._steps
        tokens = np.zeros(len(slots), np.int32)
        done = np.zeros(len(slots), np.int64)
        index = np.zeros(len(slots), np.uint64)
        attempt = np.zeros(len(slots), np.uint64)
        forced = np.full((steps, len(slots)), -1, np.int32)
        for row, slot in enumerate(slots):
            if slot is None:
                continue
            index[row], attempt[row], done[row] = slot.request.index, slot.request.attempt, len(slot.ids)
            if slot.ids:
                tokens[row] = slot.ids[-1]
            rest = slot.request.prefix[len(slot.ids) : len(slot.ids) + steps]
            forced[: len(rest), row] = rest
        draws = uniforms(stream_keys(seed, index, attempt), done, steps)
        return tokens, done == 0, forced, draws

    def _finished(self, slot: _Slot, gen_chars: int) -> Sample | None:
        """The sample, once its row has a newline or reached a limit; otherwise None."""
        cap = self.info.length_cap_tokens if gen_chars == 0 else _TOKENS_A_CHAR * gen_chars
        limit = len(slot.request.prefix) + cap
        start = max(len(slot.request.prefix), len(slot.ids) - self._steps)
        with contextlib.suppress(ValueError):
            end = slot.ids.index(NEWLINE_ID, start, limit)
            return self._sample(slot, slot.ids[:end], gen_chars, "newline")
        if gen_chars:
            sample = self._sample(slot, slot.ids[:limit], gen_chars, "newline")
            if sample.finish_reason == "gen_chars":
                return sample
        if len(slot.ids) >= limit:
            return self._sample(slot, slot.ids[:limit], gen_chars, "length")
        return None

    def _sample(self, slot: _Slot, ids: list[int], gen_chars: int, reason: str) -> Sample:
        try:
            text = self.tokenizer.decode_from_ids(ids)
        except TokenizerError as error:
            return Sample(slot.request, "", reason, error.code if error.code is not None else "utf8")
        if gen_chars and len(text) > gen_chars:
            return Sample(slot.request, text[:gen_chars], "gen_chars")
        return Sample(slot.request, text, reason)


def _block_for(rows: int) -> int:
    return next((size for size in _BLOCKS if size >= rows), _BLOCKS[-1])


def _shrink(slots: list[_Slot | None], state: list, rows: int) -> tuple[list[_Slot | None], list]:
    """Move the rows at work to a smaller block."""
    import tensorflow as tf

    busy = [row for row, slot in enumerate(slots) if slot is not None]
    take = (busy + [row for row, slot in enumerate(slots) if slot is None])[:rows]
    return [slots[row] for row in take], [tf.gather(part, take) for part in state]
