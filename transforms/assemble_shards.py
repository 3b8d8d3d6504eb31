"""A fixed number of shards from what the units have set aside: contiguous ranges of like size, cut by position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam

from linesmith.core.errors import DataError, LinesmithError
from linesmith.model.generation.staging import Shard, StagingDirectory
from linesmith.transforms.remote_staging import RemoteStagingDirectory


@dataclass(frozen=True)
class ShardPlan:
    """A shard and where its records lie: unit, first position in it, and the one behind the last."""

    number: int
    parts: tuple[tuple[int, int, int], ...]


def plan_shards(counts: Sequence[tuple[int, int]], shards: int) -> list[ShardPlan]:
    """Cut all records into so many ranges; their sizes differ by at most one record, and some are empty if records are few.

    Args:
        counts: number and records of each unit, in order.
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
    """`PCollection[ShardPlan]` → the shards in the spool, and a list of what they are in the file `results`.

    Guarantee: files depend on the plans and the staged records only; a shard that is written twice is the same file.
    """

    spool: StagingDirectory | RemoteStagingDirectory
    results: str | Path

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, plans: beam.PCollection[ShardPlan]) -> beam.PCollection:
        from linesmith.transforms.collect_json import CollectJson

        return (
            plans
            | "Spread" >> beam.Reshuffle()
            | "Assemble" >> beam.FlatMap(assemble, self.spool)
            | "Shards" >> CollectJson(self.results)
        )


def assemble(plan: ShardPlan, spool: StagingDirectory | RemoteStagingDirectory) -> Iterable[Shard]:
    """Write one shard in every format; errors the user can mend are noted in the spool."""
    try:
        with spool.open_staged(plan.parts) as records:
            return spool.write_shards(plan.number, spool.num_shards or 1, records)
    except LinesmithError as error:
        spool.write_failure(error)
    except OSError as error:
        spool.write_failure(
            DataError(
                f"LS209: --output: '{spool.directory}' cannot be written ({error.strerror}); make room or choose another "
                "--output. What stood there before is untouched.",
                code="LS209",
            )
        )
    return []
