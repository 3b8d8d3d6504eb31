"""Progress of generation: a bar on a terminal, lines elsewhere, with rate, valid share and the time that is left."""

from __future__ import annotations

import io
import logging

from rich.console import Console

from linesmith.pipelines.generate.progress import GenerationProgressDisplay


def _at(times: list[float], figures: list[tuple[int, int]], terminal: bool = False) -> GenerationProgressDisplay:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    return GenerationProgressDisplay(lambda: figures.pop(0), 1000, console, lambda: times.pop(0))


def test_log_lines_show_progress_and_time_left(caplog):
    with caplog.at_level(logging.INFO, "linesmith"):
        display = _at([0.0, 2.0, 4.0], [(0, 0), (200, 250), (600, 750)])
        display.show()  # nothing was tried yet
        display.show()
        display.show()
    assert [record.getMessage() for record in caplog.records] == [
        "generate: 200 of 1,000 records, 80.0% of the attempts valid, 100 records/s, 8 s left",
        "generate: 600 of 1,000 records, 80.0% of the attempts valid, 150 records/s, 3 s left",
    ]


def test_the_rate_is_that_of_the_last_half_minute(caplog):
    with caplog.at_level(logging.INFO, "linesmith"):
        display = _at([0.0, 100.0, 110.0], [(500, 500), (600, 600)])
        display.show()
        display.show()
    assert "10 records/s" in caplog.records[-1].getMessage()


def test_a_terminal_gets_a_bar_and_no_lines(caplog):
    with caplog.at_level(logging.INFO, "linesmith"), _at([0.0, 2.0], [(200, 250)], terminal=True) as display:
        display.show()
        assert display._bar.tasks[0].completed == 200
        assert "80.0% of the attempts valid" in display._bar.tasks[0].fields["measured"]
    assert caplog.records == []
