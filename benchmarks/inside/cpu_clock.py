"""Makes a process's clocks tell its own work, so that tools can be given equal time on a machine that others use, too.

A second is then `cores` seconds of CPU work (user and system) of this process and of children it has waited for: what the clock
would have said, had all cores been its own and busy. A tool that leaves cores idle is not charged for it.
"""

from __future__ import annotations

import os
import time

_WALL = time.time()


def seconds_of_work() -> float:
    """Work done by this process, in seconds of the whole machine."""
    spent = os.times()
    return (spent.user + spent.system + spent.children_user + spent.children_system) / (os.cpu_count() or 1)


def install() -> None:
    """Let `time.time`, `time.monotonic` and `time.perf_counter` tell it. To be called before the tool is imported."""
    time.monotonic = time.perf_counter = seconds_of_work
    time.time = lambda: _WALL + seconds_of_work()
