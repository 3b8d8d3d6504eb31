"""Our sampler at work on whole records: the one place here that knows its inside."""

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
class Work:
    """What sampling some records took.

    Attributes:
        records: finished.
        characters: of them, newlines included.
        tokens: drawn for them, newlines included.
        places: slots × steps that the network was run for; some drew nothing that was kept.
        seconds: in all.
        graph_seconds: of those, inside the network; the mean over what runs side by side.
    """

    records: int
    characters: int
    tokens: int
    places: int
    seconds: float
    graph_seconds: float


class Engine:
    """A trained model, ready to sample without masks.

    Args:
        run_dir: a run directory.
        threads: cores that it may use.
    """

    def __init__(self, run_dir: Path, threads: int) -> None:
        self.sampler = Sampler(run_dir, threads=threads, options=SamplerOptions(field_aware=False))
        self.vocab = self.sampler.info.vocab_size
        self._graph_seconds = 0.0
        turn = threading.Lock()
        network: Any = self.sampler._network
        run = network.run

        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = run(*arguments)
            with turn:
                self._graph_seconds += time.perf_counter() - start
            return result

        network.run = timed

    def run(self, first: int, count: int, seed: int = 0) -> Work:
        """Sample `count` records from index `first` on, without validation."""
        sampler = self.sampler
        self._graph_seconds, places, tokens = 0.0, sampler.row_steps, sampler.busy_row_steps
        requests = deque(SampleRequest(index, 0) for index in range(first, first + count))
        start = time.perf_counter()
        samples = list(sampler.stream(requests, DrawSettings(seed=seed)))
        seconds = time.perf_counter() - start
        return Work(
            records=len(samples),
            characters=sum(len(sample.text) + 1 for sample in samples),
            tokens=sampler.busy_row_steps - tokens,
            places=sampler.row_steps - places,
            seconds=seconds,
            graph_seconds=self._graph_seconds / sampler.lanes,
        )
