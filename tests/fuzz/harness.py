"""Run a reader on damaged inputs: it either loads them or refuses them with a documented error, in bounded time and memory.

Without `FUZZ_SECONDS` a test tries a fixed, small number of inputs, always the same ones. With it (`make fuzz`) it tries random
ones for so many seconds; then an input may take 5 seconds of processor time and a gigabyte of memory. The smallest input that
fails is kept in tests/fuzz/corpus/TARGET, and every file there is tried in each run of the tests.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from linesmith.core.errors import LinesmithError

CORPUS = Path(__file__).parent / "corpus"
MAX_SECONDS, MAX_BYTES = 5.0, 1 << 30
# Where `python -m tests.fuzz` looks for the input of a process that ended without a word.
CURRENT_INPUT = "FUZZ_CURRENT_INPUT"


class Hang(BaseException):
    """An input took too much processor time. No `except Exception` of a reader may swallow it."""


class Target:
    """A reader to try.

    Args:
        name: of its folder in the corpus.
        read: reads an input.
        *refusals: errors, beside Linesmith's own, by which it may refuse an input.
    """

    def __init__(self, name: str, read: Callable[[bytes], Any], *refusals: type[Exception]) -> None:
        self.name = name
        self._read = read
        self._refusals = (LinesmithError, *refusals)
        self._inputs = 0
        self._longest = 0.0

    def check(self, content: bytes) -> None:
        """Fail unless the reader loads an input or refuses it."""
        self._inputs += 1
        begun = time.process_time()
        try:
            self._read(content)
        except self._refusals as error:
            assert len(str(error)) < 20_000, "the message is longer than anybody reads"
        finally:
            self._longest = max(self._longest, time.process_time() - begun)

    def corpus(self) -> list[Any]:
        """Return the inputs that once failed, as parameters of a test."""
        files = sorted((CORPUS / self.name).glob("*"))
        return [pytest.param(file.read_bytes(), id=file.name) for file in files]

    def fuzz(self, make: Callable[[random.Random], bytes], examples: int) -> None:
        """Try inputs: so many examples, or random ones for `FUZZ_SECONDS`.

        Args:
            make: makes an input; every choice comes from its argument.
            examples: how many where there is no time to fill; the same ones in every run.
        """
        seconds = float(os.environ.get("FUZZ_SECONDS", "0"))
        if seconds:
            self._fuzz_for(make, seconds)
            return
        for number in range(examples):
            self.check(make(random.Random(f"{self.name} {number}")))

    def _fuzz_for(self, make: Callable[[random.Random], bytes], seconds: float) -> None:
        current = os.environ.get(CURRENT_INPUT, os.devnull)
        end = time.monotonic() + seconds
        logging.disable(logging.CRITICAL)  # undone after each test
        try:
            while time.monotonic() < end:
                content = make(random.Random(random.SystemRandom().getrandbits(64)))
                Path(current).write_bytes(content)
                try:
                    with _bounded_memory(), _bounded_time():
                        self.check(content)
                except (Exception, Hang, pytest.fail.Exception) as error:  # the last one: pytest-timeout's
                    with _bounded_memory():
                        self._keep(content, type(error))
                    raise
        finally:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            print(f"\n{self.name}: {self._inputs:,} inputs, the longest {self._longest:.1f} s, peak {peak:,} MiB")

    def _keep(self, content: bytes, error: type[BaseException]) -> None:
        """Write an input that failed to the corpus, made smaller by leaving parts out as long as it fails in the same way."""
        size, end = len(content), time.process_time() + MAX_SECONDS
        while (
            size and issubclass(error, Exception) and not issubclass(error, MemoryError) and time.process_time() < end
        ):
            size //= 2
            start = 0
            while size and start < len(content) and time.process_time() < end:
                shorter = content[:start] + content[start + size :]
                try:
                    self.check(shorter)
                except BaseException as other:
                    if type(other) is error:
                        content = shorter
                        continue
                start += size
        (CORPUS / self.name).mkdir(parents=True, exist_ok=True)
        (CORPUS / self.name / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)


@contextmanager
def _bounded_time() -> Iterator[None]:
    """Raise Hang where a block takes more processor time than an input may."""

    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """Let the process map no more than a gigabyte beyond what it has mapped."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MAX_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
