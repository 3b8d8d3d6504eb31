"""Summaries of units and of the shards that they have written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from linesmith.core.artifacts.files import sha256_file


@dataclass(frozen=True)
class StagedShard:
    """A shard that a unit has written. The attributes are keys of JSON files.

    Attributes:
        name: its path below the directory of its kind.
        format: output format.
        records: number of records.
        bytes: its size.
        sha256: hash of its content, in hexadecimal.
    """

    name: str
    format: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class UnitSummary:
    """Result of a unit without its records. Attributes are JSON keys.

    All but `seconds` is reproducible.

    `survival` is `WorkUnitResult.acceptance_sum`; the manifest reports its mean over all attempts as `unmasked_valid_rate`.
    """

    number: int
    records: int
    missing: int
    reasons: Mapping[str, int]
    attempts: int
    characters: int
    survival: float
    stopped: str | None
    seconds: float
    shards: tuple[StagedShard, ...] = ()
    invalid: StagedShard | None = None
    validator_fault: str | None = None  # the first exception of the validator, by index and attempt

    @property
    def invalid_count(self) -> int:
        """Return the number of all invalid outcomes."""
        return sum(self.reasons.values())


def describe_shard(path: Path, output_format: str, records: int, root: Path | None = None) -> StagedShard:
    """Describe a shard on disk.

    Args:
        path: the file.
        output_format: its format.
        records: number of its records.
        root: directory from which its name is given; None: its own.
    """
    name = path.name if root is None else path.relative_to(root).as_posix()
    return StagedShard(name, output_format, records, path.stat().st_size, sha256_file(path))
