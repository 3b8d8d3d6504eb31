"""Sampling records from a trained model: text as a pure function of (seed, record index, attempt)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


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


class Sampler:
    """A model in memory, ready to sample. Loading is the only I/O; nothing here depends on Beam."""

    def __init__(self, run_dir: str | Path, *, checkpoint: str | None = None, threads: int | None = None) -> None:
        raise NotImplementedError

    def stream(
        self, requests: deque[SampleRequest], *, seed: int, temperature: float = 1.0, gen_chars: int = 0
    ) -> Iterator[Sample]:
        """Sample every request, in whatever order they finish. The consumer may append further requests while it iterates;
        the stream ends when the queue is empty and no row is at work."""
        raise NotImplementedError
