"""Sample complete records with our sampler; only this module and `generate_profile` use its internals."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linesmith.model.sampling.sample_types import DrawSettings, SampleRequest, SamplerOptions
from linesmith.model.sampling.sampler import Sampler


@dataclass(frozen=True)
class SamplingResult:
    """Work and time of sampling some records.

    Attributes:
        records: number of finished records.
        characters: their characters, newlines included.
        tokens: tokens drawn for them, newlines included.
        row_steps: rows × steps that the network computed, idle rows included.
        seconds: total time.
        graph_seconds: time in the network, averaged over the blocks that run in parallel.
    """

    records: int
    characters: int
    tokens: int
    row_steps: int
    seconds: float
    graph_seconds: float


class Engine:
    """Trained model that samples without masks.

    Args:
        run_dir: run directory with a trained model.
        threads: number of cores that it may use.
    """

    def __init__(self, run_dir: Path, threads: int) -> None:
        self.sampler = Sampler(run_dir, threads=threads, options=SamplerOptions(field_aware=False))
        self.vocab = self.sampler.info.vocab_size
        self._graph_seconds = 0.0
        lock = threading.Lock()
        network: Any = self.sampler._network
        run = network.run

        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = run(*arguments)
            with lock:
                self._graph_seconds += time.perf_counter() - start
            return result

        network.run = timed

    def run(self, first: int, count: int, seed: int = 0) -> SamplingResult:
        """Sample `count` records from index `first` on, without validation."""
        sampler = self.sampler
        self._graph_seconds, row_steps, tokens = 0.0, sampler.row_steps, sampler.busy_row_steps
        requests = deque(SampleRequest(index, 0) for index in range(first, first + count))
        start = time.perf_counter()
        samples = list(sampler.stream(requests, DrawSettings(seed=seed)))
        seconds = time.perf_counter() - start
        return SamplingResult(
            records=len(samples),
            characters=sum(len(sample.text) + 1 for sample in samples),
            tokens=sampler.busy_row_steps - tokens,
            row_steps=sampler.row_steps - row_steps,
            seconds=seconds,
            graph_seconds=self._graph_seconds / sampler.parallel_blocks,
        )
