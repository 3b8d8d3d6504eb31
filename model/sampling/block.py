"""A block of rows as the host sees it: requests go in, the ids of finished records come out, everything in whole arrays.

Python never looks at a single row. A call of the network leaves its tokens as a matrix; finished records are segments of its
columns, cut out with index arithmetic. What a row has written of an unfinished record is carried to the next call.
"""

from __future__ import annotations

import array
import os
from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linesmith.core.artifacts.model_info import ModelInfo
from linesmith.model.sampling.block_state import StepOutputs
from linesmith.model.sampling.network import SamplingNetwork
from linesmith.model.sampling.request_table import END_FLAG, REQUESTS_PER_ROW, idle_requests
from linesmith.model.sampling.sample_types import DrawSettings, SampleRequest
from linesmith.model.sampling.uniform_random import stream_keys

BLOCK_SIZES = (48, 96, 240, 480, 1008)  # rows; multiples of `block_state.TILE`
DEFAULT_ROWS = 480
_MEMORY_SHARE = 0.1
_FEWEST_STEPS, _MOST_STEPS = 16, 64  # steps of one call


def block_sizes_up_to(most: int) -> tuple[int, ...]:
    """Return the block sizes of at most `most` rows, and the smallest in any case."""
    return tuple(size for size in BLOCK_SIZES if size <= max(most, BLOCK_SIZES[0]))


def block_size_for(records: int, sizes: Sequence[int]) -> int:
    """Return the smallest block size that holds all records, or the largest one.

    Args:
        records: how many are to be sampled side by side.
        sizes: sizes to choose from, ascending.

    Example:
        >>> block_size_for(50, (48, 96, 2064)), block_size_for(10**6, (48, 96, 2064))
        (96, 2064)
    """
    return next((size for size in sizes if size >= records), sizes[-1])


def largest_block_size(units: int, info: ModelInfo, parallel_blocks: int) -> int:
    """Return the size of a process's blocks: as many rows as help, fewer where memory is short.

    Args:
        units: padded units of a layer.
        info: the model's description.
        parallel_blocks: number of blocks, one for each thread.
    """
    floats = 2 * units * info.rnn_layers + 2 * info.length_cap_tokens
    if info.field_inputs is not None:
        floats += info.field_inputs.memory + 8 * len(info.field_inputs.parents)
    memory = _MEMORY_SHARE * _free_memory() / parallel_blocks
    fit = [rows for rows in BLOCK_SIZES if rows <= DEFAULT_ROWS and 4 * floats * rows <= memory]
    return fit[-1] if fit else BLOCK_SIZES[0]


def _free_memory() -> float:
    """Return the bytes of free memory; 4 GiB where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
    except (ValueError, OSError):
        return float(4 << 30)


@dataclass(frozen=True)
class FinishedRecords:
    """The records that ended in a call, N of them.

    Attributes:
        requests: their requests.
        ids: their ids, end to end, each record followed by `<n>`, whether the model drew it or not.
        lengths: number of ids of each, its `<n>` included, [N].
        ended_by_model: the model ended the record; otherwise a limit did, [N].
        acceptance_probabilities: ∏ Zₜ of each, [N]; 1 without masks.
        prefix_log_probabilities: those of their start strings, [N]; 0 where they are not scored.
        busy_row_steps: rows × steps of the call that served a record.
    """

    requests: list[SampleRequest]
    ids: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int64]
    ended_by_model: npt.NDArray[np.bool_]
    acceptance_probabilities: npt.NDArray[np.float32]
    prefix_log_probabilities: npt.NDArray[np.float32]
    busy_row_steps: int

    def ids_of(self, number: int) -> list[int]:
        """Return the ids of one record, without its `<n>`."""
        end = int(self.lengths[: number + 1].sum())
        ids: list[int] = self.ids[end - int(self.lengths[number]) : end - 1].tolist()
        return ids


class SamplingBlock:
    """A block of rows, the requests that wait for a row, and what unfinished rows have written.

    Args:
        network: steps the block.
        rows: size of the block.
        settings: how tokens are drawn.

    Attributes:
        busy_rows: rows at work after the last call.
    """

    def __init__(self, network: SamplingNetwork, rows: int, settings: DrawSettings) -> None:
        self._network = network
        self._settings = settings
        self._rows = rows
        self._block = network.idle_block(rows)
        self._table = idle_requests(0)
        self._prefixes = _Prefixes()
        self._unfinished: dict[int, SampleRequest] = {}  # by number
        self._next_number = 0
        self._carry = np.zeros((rows, 0), np.int32)  # ids of unfinished records, right-aligned
        self._records = self._tokens = 0  # of finished records
        self.busy_rows = 0

    @property
    def waiting_requests(self) -> int:
        """Return the number of requests that no row has taken yet."""
        return len(self._table)

    @property
    def free_requests(self) -> int:
        """Return how many more requests the table can hold."""
        return REQUESTS_PER_ROW * self._rows - len(self._table)

    def add(self, requests: Sequence[SampleRequest], cap: int) -> None:
        """Put requests into the table.

        Args:
            requests: at most `free_requests`.
            cap: most tokens that the model may write after the prefix.
        """
        if not requests:
            return
        index = np.fromiter((r.index for r in requests), np.uint64, len(requests))
        attempt = np.fromiter((r.attempt for r in requests), np.uint64, len(requests))
        keys = stream_keys(self._settings.seed, index, attempt).view(np.int64)
        lengths = np.fromiter((len(r.prefix) for r in requests), np.int64, len(requests))
        # Numbers wrap around at 31 bits, long after the request that had the same number has finished.
        numbers = np.arange(self._next_number, self._next_number + len(requests), dtype=np.int64) & 0x7FFFFFFF
        addresses = np.zeros_like(keys)
        if lengths.any():
            self._prefixes.drop(self._unfinished)
            addresses[:] = [self._prefixes.put(n, r.prefix) for n, r in zip(numbers.tolist(), requests, strict=True)]
        self._unfinished.update(zip(numbers.tolist(), requests, strict=True))
        more = np.stack([keys, numbers, addresses, lengths, lengths + cap], axis=1)
        self._table = np.concatenate([self._table, more])
        self._next_number += len(requests)

    def run_call(self, prefixed: bool) -> StepOutputs:
        """Run one call of the network.

        Args:
            prefixed: some records have a start string.

        Returns:
            What was drawn, for `collect`, which may run beside the next call.
        """
        prefixes = (self._prefixes.ids(), self._prefixes.base)
        taken, outputs = self._network.run(self._block, self._table, prefixes, self._settings, prefixed, self._steps())
        self._table = self._table[taken:]
        self.busy_rows = self._rows - int(np.count_nonzero(self._block.rows["done"]))
        return outputs

    def _steps(self) -> int:
        """Return the steps of the next call: long calls cost the host less, but must not outlast the waiting requests."""
        mean_tokens = self._tokens / self._records if self._records else 1.0
        steps = int(len(self._table) * mean_tokens / self._rows)
        return min(_MOST_STEPS, max(_FEWEST_STEPS, steps - steps % _FEWEST_STEPS))

    def collect(self, outputs: StepOutputs) -> FinishedRecords:
        """Cut out the records that ended in a call, and carry the others on. Calls must be collected in their order."""
        tokens, steps, numbers, probabilities, scores = outputs
        at_work = numbers >= 0
        ended = ((tokens & END_FLAG) != 0) & at_work
        ids = (tokens & (END_FLAG - 1)).T
        window = np.concatenate([self._carry, ids], axis=1) if self._carry.shape[1] else ids
        carried = window.shape[1] - len(tokens)
        row, k = np.nonzero(ended.T)
        lengths = steps[k, row].astype(np.int64) + 1
        ended_by_model = ids[row, k] == 0
        # A record that a limit ended has no <n>; one is left in its segment of the zeroed output.
        spans = lengths + ~ended_by_model
        starts = carried + k + 1 - lengths
        out = np.zeros(int(spans.sum()), np.int32)
        first = np.cumsum(spans) - spans
        offset = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        out[np.repeat(first, lengths) + offset] = window[np.repeat(row, lengths), np.repeat(starts, lengths) + offset]
        self._carry_on(window, steps[-1], (numbers[-1] >= 0) & ~ended[-1])
        final = np.ones(len(row), np.float32) if probabilities is None else probabilities[k, row]
        prefixes = np.zeros(len(row), np.float32) if scores is None else scores[k, row]
        self._records, self._tokens = self._records + len(row), self._tokens + int(lengths.sum())
        requests = [self._unfinished.pop(number) for number in numbers[k, row].tolist()]
        return FinishedRecords(requests, out, spans, ended_by_model, final, prefixes, int(np.count_nonzero(at_work)))

    def _carry_on(
        self, window: npt.NDArray[np.int32], last_steps: npt.NDArray[np.int32], unfinished: npt.NDArray[np.bool_]
    ) -> None:
        """Keep as many of the last columns as the longest unfinished record has ids."""
        longest = int(np.where(unfinished, last_steps + 1, 0).max())
        self._carry = window[:, window.shape[1] - longest :].copy() if longest else window[:, :0]

    def resizes_to(self, rows: int) -> bool:
        """Return whether `resize` would change the size: it waits until all rows at work and all requests fit."""
        return rows != self._rows and self.busy_rows <= rows and self.waiting_requests <= REQUESTS_PER_ROW * rows

    def resize(self, rows: int) -> None:
        """Move the rows at work to a block of another size. All calls must have been collected before."""
        if not self.resizes_to(rows):
            return
        order = np.argsort(self._block.rows["done"], kind="stable")[:rows]  # rows at work first
        carry = self._carry[order]
        if rows > len(order):
            carry = np.pad(carry, ((0, rows - len(order)), (0, 0)))
        self._block = self._network.resized(self._block, order, rows)
        self._carry, self._rows = carry, rows


class _Prefixes:
    """The ids of the start strings of all unfinished records, end to end, at addresses that never change.

    Addresses only grow; ids before the oldest unfinished record are dropped, so memory does not grow with the run.

    Attributes:
        base: address of the first id that is kept.
    """

    def __init__(self) -> None:
        self.base = 0
        self._ids = array.array("i")
        self._last: tuple[int, ...] = ()
        self._last_address = 0
        self._users: deque[tuple[int, int]] = deque()  # number of the request, address of its prefix

    def put(self, number: int, prefix: tuple[int, ...]) -> int:
        """Store the prefix of a request and return its address. One that equals the previous prefix is stored once."""
        if prefix != self._last:
            self._last, self._last_address = prefix, self.base + len(self._ids)
            self._ids.extend(prefix)
        self._users.append((number, self._last_address))
        return self._last_address

    def drop(self, unfinished: Container[int]) -> None:
        """Drop the ids that only finished requests needed."""
        while self._users and self._users[0][0] not in unfinished:
            self._users.popleft()
        base = self._users[0][1] if self._users else self._last_address
        del self._ids[: base - self.base]
        self.base = base

    def ids(self) -> npt.NDArray[np.int32]:
        """Return all ids that are kept, at least one: rows without a start string look up the first."""
        return np.array(self._ids or [0], np.int32)
