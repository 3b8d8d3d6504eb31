"""Write a fixed number of shards from the staged records of all units: contiguous ranges of nearly equal size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam

from linesmith.core.errors import LinesmithError
from linesmith.model.generation.staging import StagingDirectory
from linesmith.model.generation.unit_summary import StagedShard
from linesmith.transforms.remote_staging import RemoteStagingDirectory


@dataclass(frozen=True)
class ShardPlan:
    """Where the records of a shard are.

    Attributes:
        number: number of the shard, from 0.
        parts: ranges of staged records, each as unit, first position in it, and position after the last.
    """

    number: int
    parts: tuple[tuple[int, int, int], ...]


def plan_shards(counts: Sequence[tuple[int, int]], shards: int) -> list[ShardPlan]:
    """Cut all records into ranges whose sizes differ by at most one record. Some are empty if there are few records.

    Args:
        counts: number of each unit and of its records, in order.
        shards: how many ranges.

    Example:
        >>> [plan.parts for plan in plan_shards([(0, 3), (1, 4)], 2)]
        [((0, 0, 3),), ((1, 0, 4),)]
        >>> [plan.parts for plan in plan_shards([(0, 3), (1, 4)], 3)]
        [((0, 0, 2),), ((0, 2, 3), (1, 0, 1)), ((1, 1, 4),)]
    """
    total = sum(count for _, count in counts)
    plans = []
    for number in range(shards):
        first, last = number * total // shards, (number + 1) * total // shards
        parts, begin = [], 0
        for unit, count in counts:
            low, high = max(first - begin, 0), min(last - begin, count)
            if low < high:
                parts.append((unit, low, high))
            begin += count
        plans.append(ShardPlan(number, tuple(parts)))
    return plans


@dataclass
class AssembleShards(beam.PTransform):
    """`PCollection[ShardPlan]` → the shards in the staging directory, and a list of them in the file `results`.

    Guarantee: files depend on the plans and the staged records only; a shard that is written twice is the same file.

    Attributes:
        staging: holds the staged records, and gets the shards.
        results: JSON file with a list of StagedShard.
    """

    staging: StagingDirectory | RemoteStagingDirectory
    results: str | Path

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, plans: beam.PCollection[ShardPlan]) -> beam.PCollection:
        """Write the shards and collect what was written."""
        from linesmith.transforms.collect_json import CollectJson

        return (
            plans
            | "Spread" >> beam.Reshuffle()
            | "Assemble" >> beam.FlatMap(assemble, self.staging)
            | "Shards" >> CollectJson(self.results)
        )


def assemble(plan: ShardPlan, staging: StagingDirectory | RemoteStagingDirectory) -> Iterable[StagedShard]:
    """Write one shard in every format. Errors that a user can fix go to the staging directory: a runner would retry them."""
    try:
        with staging.open_staged(plan.parts) as records:
            return staging.write_shards(plan.number, staging.num_shards or 1, records)
    except LinesmithError as error:
        staging.write_failure(error)
    except OSError as error:
        staging.write_failure(staging.write_error(error))
    return []
