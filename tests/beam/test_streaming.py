"""Sources without end: ticks and start strings become records once each, and a repetition gives the same."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.transforms.window import FixedWindows, TimestampedValue

import linesmith
from tests.helpers.conditioned_run import conditioned_run

pytestmark = pytest.mark.integration
START, INTERVAL = 1_600_000_000.25, 0.1


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return conditioned_run(tmp_path_factory.mktemp("models") / "run")


def streaming_pipeline() -> beam.Pipeline:
    return beam.Pipeline(options=PipelineOptions([], runner="FnApiRunner", streaming=True))


def in_one_window(row) -> TimestampedValue:
    return TimestampedValue(tuple(row._asdict().values()), 0)


def times_of_each(parts: list[beam.PCollection]) -> beam.PCollection:
    """Return how often each record is in the parts, with its number: all in one window, which ends after every watermark."""
    windows = [part | f"Window {n}" >> beam.WindowInto(FixedWindows(10_000_000_000)) for n, part in enumerate(parts)]
    return windows | beam.Flatten() | beam.combiners.Count.PerElement() | beam.Map(lambda pair: (pair[0][-1], pair[1]))


def test_ticks_become_records_once_each_and_those_of_a_batch(run):
    stop = START + 20 * INTERVAL
    with streaming_pipeline() as pipeline:
        ticks = pipeline | linesmith.beam.Ticks(INTERVAL, START, stop, per_tick=3)
        assert not ticks.is_bounded
        records = ticks | linesmith.beam.GenerateRecords(run, seed=4, index_column="number")
        streamed = records | beam.Map(in_one_window)
        late = (  # the same stream, begun again at its half: what it makes is what the first made
            pipeline
            | "Again" >> linesmith.beam.Ticks(INTERVAL, START, START + 10 * INTERVAL, per_tick=3)
            | "Again rows" >> linesmith.beam.GenerateRecords(run, seed=4, index_column="number")
            | "Again values" >> beam.Map(in_one_window)
        )
        batch = (
            pipeline
            | "Batch" >> linesmith.beam.GenerateRecords(run, records=60, seed=4, index_column="number")
            | "Batch values" >> beam.Map(in_one_window)
        )
        times = times_of_each([streamed, late, batch])
        assert_that(times, equal_to([(number, 3 if number < 30 else 2) for number in range(60)]))


def test_start_strings_of_a_stream_become_records_whatever_comes_together(run):
    seeds = [f"{number}," for number in range(12)]
    with streaming_pipeline() as pipeline:
        streamed = (
            pipeline
            | PeriodicImpulse(START, START + len(seeds) * INTERVAL, INTERVAL, data=seeds)
            | linesmith.beam.GenerateRecords(run, elements="seeds", seed=4, index_column="number")
            | beam.Map(in_one_window)
        )
        assert not streamed.is_bounded
        together = (
            pipeline
            | beam.Create(seeds)
            | "Together" >> linesmith.beam.GenerateRecords(run, seed=4, index_column="number")
            | "Together values" >> beam.Map(in_one_window)
        )
        times = times_of_each([streamed, together]) | beam.Values()
        assert_that(times, equal_to([2] * 12))


@pytest.mark.parametrize(
    ("arguments", "found"),
    [((0, START), "interval 0"), ((-1, START), "interval -1"), ((1, START, None, -1), "per_tick -1")],
)
def test_ticks_that_cannot_be_are_refused(arguments, found):
    with pytest.raises(linesmith.ParameterError, match=found):
        linesmith.beam.Ticks(*arguments)
