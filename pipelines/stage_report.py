"""What a stage tells its caller when it is done."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class StageReport:
    """Outcome of one stage.

    Attributes:
        stage: tokenize, train or generate.
        seconds: wall time.
        peak_memory_bytes: largest resident size of this process and of any child it waited for, up to the stage's end.
        counts: what was counted, in the order worth showing.
        outputs: what was written, by what it is.
        notices: sentences a user should read.
        exit_code: 0, or what the command line should end with although the stage came to its end.
    """

    stage: str
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    counts: dict[str, int | float | str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    exit_code: int = 0


@contextmanager
def measured(stage: str) -> Iterator[StageReport]:
    """Yields a report and fills in its time and memory when the block ends."""
    report = StageReport(stage)
    start = time.monotonic()
    try:
        yield report
    finally:
        report.seconds = time.monotonic() - start
        kib = (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        )
        report.peak_memory_bytes = kib * 1024
