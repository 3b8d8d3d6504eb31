"""Find the hash below which as many rows of an input lie as a sample is to have, in constant memory on any number of workers.

A pass counts rows by the leading 16 bits of their hashes. The sample ends within one of these ranges, which the next pass divides
by the following 16 bits, until it ends between two rows: two passes up to a billion rows. No line of text is decoded in
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt

from linesmith.core.artifacts.files import read_json
from linesmith.core.errors import DataError
from linesmith.records.input.row_sample import ALL_ROWS
from linesmith.transforms.combine_batches import CombineBatchesFn, CombineToJson
from linesmith.transforms.samples.places import Places
from linesmith.transforms.worker_errors import reraise_worker_errors

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_BITS = 16  # of a hash, that a pass looks at
_BATCH_ROWS = 10_000
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SampleSize:
    """How a sample is drawn.

    Attributes:
        below: rows with a lower hash are in it.
        rows: how many these are.
        of: how many rows there are.
    """

    below: int
    rows: int
    of: int


def find_sample(
    units: Iterable[Any], wanted: int, places: Callable[[Any], Places], options: PipelineOptions, scratch: Path
) -> SampleSize:
    """Return the sample of `wanted` rows, or of all rows where there are no more.

    Args:
        units: the input, in units of work.
        wanted: rows that the sample is to have, at least 1.
        places: tells where the rows of a unit are; it is sent to the workers.
        options: of the pipelines.
        scratch: directory for intermediate results, which driver and workers share.
    """
    units, low, shift, before, total = list(units), 0, 64 - _BITS, 0, 0
    while True:
        up_to = before + np.cumsum(_count(units, _RangeCounter(places, low, shift), options, scratch))
        total = total or int(up_to[-1])
        if total <= wanted:
            return SampleSize(ALL_ROWS, total, total)
        last = int(np.searchsorted(up_to, wanted))
        if up_to[last] == wanted or shift == 0:  # two rows with the same hash are both in the sample
            return SampleSize(low + ((last + 1) << shift), int(up_to[last]), total)
        before = int(up_to[last - 1]) if last else before
        low, shift = low + (last << shift), shift - _BITS


@dataclass(frozen=True)
class _RangeCounter:
    """Counts the rows of a unit by their hashes: 2^16 ranges of 2^`shift` hashes each, from `low` on."""

    places: Callable[[Any], Places]
    low: int
    shift: int

    def __call__(self, unit: Any) -> Counts:
        counts = _no_rows()
        for sample, positions in self.places(unit):
            remaining = iter(positions)
            while len(hashes := sample.hashes(islice(remaining, _BATCH_ROWS))):
                found = (hashes[hashes >= np.uint64(self.low)] - np.uint64(self.low)) >> np.uint64(self.shift)
                counts += np.bincount(found[found < 1 << _BITS].astype(np.int64), minlength=1 << _BITS)
        return counts


def _no_rows() -> Counts:
    return np.zeros(1 << _BITS, np.int64)


def _add(total: Counts, counts: Counts) -> None:
    total += counts


def _count(units: list[Any], counter: _RangeCounter, options: PipelineOptions, scratch: Path) -> Counts:
    """Run a pass, and return the counts of all units together."""
    path = scratch / "row_hashes.json"
    path.unlink(missing_ok=True)
    with reraise_worker_errors(), beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | "Units" >> beam.Create(units, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Count" >> beam.Map(counter)
            | "Total" >> CombineToJson(CombineBatchesFn(_no_rows, _add, _add), np.ndarray.tolist, path)
        )
    if not path.is_file():
        raise DataError(
            "LS402",
            None,
            f"the pipeline ended but its results are not in '{scratch}': its workers do not share this file system",
            "Give an --output on a file system that driver and workers mount at the same place.",
        )
    return np.array(read_json(path, "the counts of rows", limited=False), np.int64)
