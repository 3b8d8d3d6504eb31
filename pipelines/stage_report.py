"""The report that every stage returns to its caller."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from linesmith.core.config.spelling import has_command_line

_log = logging.getLogger("linesmith")


@dataclass
class StageReport:
    """Result of one stage.

    Attributes:
        stage: name of the command, for example tokenize, train or generate.
        seconds: wall time.
        peak_memory_bytes: largest resident size of this process plus that of its largest finished child process, in bytes,
            from the start of the process to the end of the stage.
        counts: counts and measurements by label, in display order.
        outputs: paths or addresses of what was written, by label.
        notices: sentences that the user should read.
        exit_code: 0, or the exit code of a stage that ended without an error but below what was asked for.
    """

    stage: str
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    counts: dict[str, int | float | str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    exit_code: int = 0


def log_notices(notices: Iterable[str]) -> None:
    """Log sentences that the user should read as warnings, unless a command line shows them in its summary."""
    if not has_command_line():
        for notice in notices:
            _log.warning("%s", notice)


@contextmanager
def measured_stage(stage: str) -> Iterator[StageReport]:
    """Yield a report, and fill in its wall time and peak memory when the block ends. Its notices are logged.

    Args:
        stage: name of the command.
    """
    report = StageReport(stage)
    start = time.monotonic()
    try:
        yield report
        log_notices(report.notices)
    finally:
        report.seconds = time.monotonic() - start
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        report.peak_memory_bytes = 1024 * sum(usage.ru_maxrss for usage in usages)  # Linux gives KiB
