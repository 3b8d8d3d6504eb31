"""The block of rows at work, seen from the host: requests in, the ids of finished records out, everything by the block.

The host never looks at a row at a time. A graph call leaves its tokens as a matrix; finished records are segments of its
columns, cut out with index arithmetic. What a row has of an unfinished record is carried to the next call.
"""

from __future__ import annotations

import array
import os
from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from linesmith.core.artifacts.model_info import ModelInfo
from linesmith.model.sampling.request_table import END_FLAG, REQUESTS_PER_ROW, idle_requests, table_of
from linesmith.model.sampling.sample_types import SampleRequest
from linesmith.model.sampling.uniform_random import stream_keys

# Rows of a block: few sizes, since each is traced and compiled once, in half a second.
BLOCKS = (16, 64, 256, 512, 1024, 2048, 4096)
_DEFAULT_ROWS = 2048  # measured: more rows gain little and end later
ROWS_PER_CORE = 512  # where each core has a block; measured: a tenth more text than with 1,024, no less than with 256
_MEMORY_SHARE = 0.1
_FEWEST_STEPS, _MOST_STEPS = 16, 64  # of one graph call


def block_size_for(records: int, most: int) -> int:
    """The smallest block that holds so many records, at most the one of `most` rows.

    Example:
        >>> block_size_for(17, 2048), block_size_for(10**6, 2048), block_size_for(10**6, 100)
        (64, 2048, 64)
    """
    fit = [size for size in BLOCKS if size <= most] or [BLOCKS[0]]
    return next((size for size in fit if size >= records), fit[-1])


def largest_block_size(units: int, info: ModelInfo, lanes: int | None = None) -> int:
    """The rows of each of a process's blocks: as many as help, fewer where memory is short.

    Args:
        units: of a layer.
        lanes: blocks, one for each core; None: one for all cores.
    """
    floats = units * (4 * 4 + 4 * info.rnn_layers) + 8 * info.vocab_size + 2 * info.length_cap_tokens
    most = _DEFAULT_ROWS if lanes is None else ROWS_PER_CORE
    memory = _MEMORY_SHARE * _free_memory() / (1 if lanes is None else lanes)
    fit = [rows for rows in BLOCKS if rows <= most and 4 * floats * rows <= memory]
    return fit[-1] if fit else BLOCKS[0]


def _free_memory() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
    except (ValueError, OSError):
        return float(4 << 30)


@dataclass(frozen=True)
class Ended:
    """The records that ended in a call.

    Attributes:
        requests: what was asked.
        ids: their ids, end to end, each followed by `<n>`, whether the model drew it or not.
        lengths: ids of each, the `<n>` counted.
        whole: the model ended it; otherwise a limit did.
        acceptance_probabilities: ∏ Zₜ of each; 1 without masks.
        busy: rows × steps of the call that served a record.
    """

    requests: list[SampleRequest]
    ids: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int64]
    whole: npt.NDArray[np.bool_]
    acceptance_probabilities: npt.NDArray[np.float32]
    busy: int

    def of(self, number: int) -> list[int]:
        """Ids of one record, its `<n>` left out."""
        end = int(self.lengths[: number + 1].sum())
        ids: list[int] = self.ids[end - int(self.lengths[number]) : end - 1].tolist()
        return ids


class Work:
    """A block, the requests that wait for a row of it, and what its rows have written.

    Args:
        network: what steps the block.
        rows: of the block.
        seed: of the run.
    """

    def __init__(self, network: Any, rows: int, seed: int) -> None:
        self._network = network
        self._seed = seed
        self._rows = rows
        self._block = network.idle_block(rows)
        self._table = idle_requests(0)
        self._prefixes = _Prefixes()
        self._asked: dict[int, SampleRequest] = {}
        self._number = 0
        self._carry = np.zeros((rows, 0), np.int32)  # right-aligned
        self._records = self._tokens = 0  # that ended
        self.busy = 0  # rows at work after the last call

    @property
    def waiting(self) -> int:
        """Requests that no row has taken yet."""
        return len(self._table)

    @property
    def room(self) -> int:
        """How many more requests the table has place for."""
        return REQUESTS_PER_ROW * self._rows - len(self._table)

    def add(self, requests: Sequence[SampleRequest], cap: int) -> None:
        """Put requests into the table.

        Args:
            requests: no more than there is room for.
            cap: tokens that the model may write after the prefix.
        """
        if not requests:
            return
        index = np.fromiter((r.index for r in requests), np.uint64, len(requests))
        attempt = np.fromiter((r.attempt for r in requests), np.uint64, len(requests))
        keys = stream_keys(self._seed, index, attempt).view(np.int64)
        lengths = np.fromiter((len(r.prefix) for r in requests), np.int64, len(requests))
        numbers = np.arange(self._number, self._number + len(requests), dtype=np.int64) & 0x7FFFFFFF
        addresses = np.zeros_like(keys)
        if lengths.any():
            self._prefixes.drop(self._asked)
            addresses[:] = [self._prefixes.put(n, r.prefix) for n, r in zip(numbers.tolist(), requests, strict=True)]
        self._asked.update(zip(numbers.tolist(), requests, strict=True))
        more = np.stack([keys, numbers, addresses, lengths, lengths + cap], axis=1)
        self._table = np.concatenate([self._table, more])
        self._number += len(requests)

    def advance(self, rule: Any, limits: tuple[float, int, int, float]) -> Any:
        """One graph call. Returns what was drawn, for `collect`, which may run beside the next call."""
        table = table_of(self._table, self._rows)
        prefixes = (self._prefixes.ids(), self._prefixes.base)
        self._block, taken, emitted = self._network.run(self._block, table, prefixes, rule, limits, self._steps())
        self._table = self._table[taken:]
        self.busy = self._rows - int(np.count_nonzero(self._block[1].numpy()))
        return emitted

    def _steps(self) -> int:
        """Steps of the next call. Long calls cost the host less; one that outlasts the table would leave rows idle."""
        mean = self._tokens / self._records if self._records else 1.0
        lasts = int(len(self._table) * mean / self._rows)
        return min(_MOST_STEPS, max(_FEWEST_STEPS, lasts - lasts % _FEWEST_STEPS))

    def collect(self, emitted: Any) -> Ended:
        """The records that ended in a call; the others are carried on. Calls are collected in their order."""
        tokens, steps, owners, acceptance_probabilities = emitted
        count = len(tokens)
        at_work = owners >= 0
        ended = ((tokens & END_FLAG) != 0) & at_work
        ids = (tokens & (END_FLAG - 1)).T
        window = np.concatenate([self._carry, ids], axis=1) if self._carry.shape[1] else ids
        carried = window.shape[1] - count
        row, k = np.nonzero(ended.T)
        lengths = steps[k, row].astype(np.int64) + 1
        drawn = ids[row, k]
        whole = drawn == 0
        # A record that a limit ended gets its <n> here; room for it is made in its segment.
        spans = lengths + ~whole
        starts = carried + k + 1 - lengths
        out = np.zeros(int(spans.sum()), np.int32)
        first = np.cumsum(spans) - spans
        offset = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        out[np.repeat(first, lengths) + offset] = window[np.repeat(row, lengths), np.repeat(starts, lengths) + offset]
        self._carry_on(window, steps[-1], (owners[-1] >= 0) & ~ended[-1])
        kept = np.ones(len(row), np.float32) if acceptance_probabilities is None else acceptance_probabilities[k, row]
        self._records, self._tokens = self._records + len(row), self._tokens + int(lengths.sum())
        requests = [self._asked.pop(number) for number in owners[k, row].tolist()]
        return Ended(requests, out, spans, whole, kept, int(np.count_nonzero(at_work)))

    def _carry_on(
        self, window: npt.NDArray[np.int32], last_steps: npt.NDArray[np.int32], unfinished: npt.NDArray[np.bool_]
    ) -> None:
        longest = int(np.where(unfinished, last_steps + 1, 0).max())
        self._carry = window[:, window.shape[1] - longest :].copy() if longest else window[:, :0]

    def resizes_to(self, rows: int) -> bool:
        """Whether `resize` would do anything: not before what is at work fits."""
        return rows != self._rows and self.busy <= rows and self.waiting <= REQUESTS_PER_ROW * rows

    def resize(self, rows: int) -> None:
        """Move the rows at work to a block of another size. Everything must have been collected."""
        if not self.resizes_to(rows):
            return
        import tensorflow as tf

        order = np.argsort(self._block[1].numpy(), kind="stable")[:rows]  # done is False at work
        block = [tf.gather(part, order) for part in self._block]
        carry = self._carry[order]
        if rows > len(order):
            more = self._network.idle_block(rows - len(order))
            block = [tf.concat(pair, axis=0) for pair in zip(block, more, strict=True)]
            carry = np.pad(carry, ((0, rows - len(order)), (0, 0)))
        self._block, self._carry, self._rows = block, carry, rows


class _Prefixes:
    """The ids of the start strings of all records that are not finished, end to end, at addresses that never change.

    Addresses only grow; what lies before the oldest unfinished record is dropped, so memory does not grow with the run.
    """

    def __init__(self) -> None:
        self.base = 0  # address of the first id that is kept
        self._ids = array.array("i")
        self._last: tuple[int, ...] = ()
        self._last_address = 0
        self._owners: deque[tuple[int, int]] = deque()  # number of the request, address

    def put(self, number: int, prefix: tuple[int, ...]) -> int:
        """Address of a request's prefix; one that equals the former is not kept twice."""
        if prefix != self._last:
            self._last, self._last_address = prefix, self.base + len(self._ids)
            self._ids.extend(prefix)
        self._owners.append((number, self._last_address))
        return self._last_address

    def drop(self, unfinished: Container[int]) -> None:
        """Forget what only finished requests needed."""
        while self._owners and self._owners[0][0] not in unfinished:
            self._owners.popleft()
        base = self._owners[0][1] if self._owners else self._last_address
        del self._ids[: base - self.base]
        self.base = base

    def ids(self) -> npt.NDArray[np.int32]:
        """All ids that are kept, at least one: rows without a start string look at the first."""
        return np.array(self._ids or [0], np.int32)
