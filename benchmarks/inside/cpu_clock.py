"""Replace a process's clocks by its CPU time, so that tools can train for equal time on a machine with other processes.

One second of the replaced clocks is `cores` CPU seconds (user and system) of this process and of the children it has waited
for: the wall time that the work would take with all cores busy. A tool that leaves cores idle is not charged for them.
"""

from __future__ import annotations

import os
import time

_WALL = time.time()


def cpu_seconds_per_core() -> float:
    """Return the CPU seconds of this process and its finished children, divided by the number of cores."""
    spent = os.times()
    return (spent.user + spent.system + spent.children_user + spent.children_system) / (os.cpu_count() or 1)


def install() -> None:
    """Replace `time.time`, `time.monotonic` and `time.perf_counter`; call this before the tool is imported."""
    time.monotonic = time.perf_counter = cpu_seconds_per_core
    time.time = lambda: _WALL + cpu_seconds_per_core()
