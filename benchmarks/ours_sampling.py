"""Our sampler at work on whole records: the one place here that knows its inside."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.sampling import Sampler, SampleRequest
from model.sampling_network import STEPS

SLOTS = 1_024  # of the largest block


@dataclass(frozen=True)
class Work:
    """What sampling some records took.

    Attributes:
        records: finished.
        characters: of them, newlines included.
        tokens: drawn for them, newlines included.
        places: slots × steps that the network was run for; some drew nothing that was kept.
        seconds: in all.
        graph_seconds: of those, inside the network.
    """

    records: int
    characters: int
    tokens: int
    places: int
    seconds: float
    graph_seconds: float


class Engine:
    """A trained model, ready to sample.

    Args:
        run_dir: a run directory.
        threads: TensorFlow's; None: its own choice.
    """

    def __init__(self, run_dir: Path, threads: int | None = None) -> None:
        self.sampler = Sampler(run_dir, threads=threads)
        self.vocab = self.sampler.info.vocab_size
        self._places, self._graph_seconds = 0, 0.0
        network: Any = self.sampler._network
        advance = network.advance

        def timed(state: Any, tokens: Any, *rest: Any, **named: Any) -> Any:
            start = time.perf_counter()
            result = advance(state, tokens, *rest, **named)
            self._graph_seconds += time.perf_counter() - start
            self._places += STEPS * len(tokens)
            return result

        network.advance = timed

    def run(self, first: int, count: int, seed: int = 0) -> Work:
        """Sample `count` records from index `first` on, without masks and without validation."""
        self._places, self._graph_seconds = 0, 0.0
        requests = deque(SampleRequest(index, 0) for index in range(first, first + count))
        start = time.perf_counter()
        samples = list(self.sampler.stream(requests, seed=seed))
        seconds = time.perf_counter() - start
        encode = self.sampler.tokenizer.encode_to_ids
        return Work(
            records=len(samples),
            characters=sum(len(sample.text) + 1 for sample in samples),
            tokens=sum(len(encode(sample.text)) + (sample.finish_reason == "newline") for sample in samples),
            places=self._places,
            seconds=seconds,
            graph_seconds=self._graph_seconds,
        )
