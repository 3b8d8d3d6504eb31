"""Where the units of a generation leave their work until the driver publishes it.

```
SPOOL/synthetic/part-*     shards of valid records, one a unit and format, or one a directory of a partition
SPOOL/iceberg/part-*       the same as Parquet for a table, where there is one
SPOOL/staged/unit-*.avro   instead of both, where the number of shards is fixed: they are cut when all units are done
SPOOL/invalid/part-*       shards of invalid records, one a unit that has any
SPOOL/units/unit-*.json    what each unit did (`UnitSummary`), written after its shards
SPOOL/units/stopped-*      the unit was stopped: later ones need not run
SPOOL/units/progress-*.json  what a worker has done so far, for a display; nothing is decided by it
SPOOL/units/failure.json   an error the user can mend, from any worker
```

Everything is renamed into place under a name that is a function of the unit, so a unit may run any number of times. The
directory must be reachable by the driver and by all workers under the same path.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import fastavro

from linesmith.core import errors
from linesmith.core.artifacts.files import atomic_path, read_json, sha256_file, write_bytes, write_json
from linesmith.core.hardware import environment
from linesmith.model.generation.work_units import UnitResult
from linesmith.records.output.layout import Record, RecordLayout
from linesmith.records.output.writers import shard_name, write_avro, write_invalid, write_shard

ICEBERG = "iceberg"
_STAGED_SCHEMA = {
    "type": "record",
    "name": "Staged",
    "namespace": "linesmith",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "start", "type": "string"},
        {"name": "seed_id", "type": "long"},
    ],
}


@dataclass(frozen=True)
class Shard:
    """A file of a unit."""

    name: str
    format: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class UnitSummary:
    """What a unit did, without its records. All but `seconds` and `environment` is reproducible.

    `survival` is the sum of ∏ Zₜ over the attempts that gave a record; field-aware decoding reports the mean over all attempts.
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
    shards: tuple[Shard, ...] = ()
    invalid: Shard | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def invalid_count(self) -> int:
        return sum(self.reasons.values())


@dataclass(frozen=True)
class StagingDirectory:
    """The directory, and how records are written there. Creating one touches nothing on disk.

    Attributes:
        directory: its path, the same for driver and workers.
        formats: output formats of valid records.
        layout: how a record becomes a row.
        total: number of units of the run.
        copies: records of each start string.
        num_shards: shards of the output; None: one a unit.
        partition_by: a column whose values are directories, or None.
        iceberg: Parquet files for a table are written as well.
    """

    directory: str
    formats: tuple[str, ...]
    layout: RecordLayout
    total: int
    copies: int = 1
    num_shards: int | None = None
    partition_by: str | None = None
    iceberg: bool = False

    @property
    def synthetic(self) -> Path:
        return Path(self.directory) / "synthetic"

    @property
    def invalid(self) -> Path:
        return Path(self.directory) / "invalid"

    @property
    def lake(self) -> Path:
        """Where the files for a table lie."""
        return Path(self.directory) / ICEBERG

    @property
    def _staged(self) -> Path:
        return Path(self.directory) / "staged"

    @property
    def _units(self) -> Path:
        return Path(self.directory) / "units"

    def create(self) -> None:
        for directory in (self.synthetic, self.invalid, self.lake, self._staged, self._units):
            directory.mkdir(parents=True, exist_ok=True)

    def write(self, result: UnitResult) -> UnitSummary:
        """Write a unit's shards, then its summary.

        Raises:
            DataError: the disk is full or cannot be written.
        """
        try:
            summary = self._write(result)
            write_json(self._summary_path(summary.number), asdict(summary))
            if summary.stopped is not None:
                write_bytes(self._units / f"stopped-{summary.number:05d}", b"")
        except OSError as error:
            raise errors.DataError(
                f"LS209: --output: '{self.directory}' cannot be written ({error.strerror}); make room or choose another "
                "--output. What stood there before is untouched.",
                code="LS209",
            ) from None
        return summary

    def write_shards(self, number: int, total: int, records: Iterable[Record]) -> list[Shard]:
        """Write a shard in every format, partitioned where that is asked for.

        Args:
            records: can be iterated any number of times.
        """
        shards = []
        targets = [(self.synthetic, one) for one in self.formats] + ([(self.lake, ICEBERG)] if self.iceberg else [])
        for root, output_format in targets:
            name = shard_name(number, total, output_format)
            for path, count in write_shard(root, name, output_format, records, self.layout, self.partition_by):
                shards.append(describe(path, output_format, count, root))
        return shards

    def staged(self, parts: Iterable[tuple[int, int, int]]) -> StagedRecords:
        """Records that units have set aside, by unit number and range of positions in it."""
        return StagedRecords(tuple((str(self._staged_path(unit)), first, last) for unit, first, last in parts))

    @contextlib.contextmanager
    def open_staged(self, parts: Iterable[tuple[int, int, int]]) -> Iterator[StagedRecords]:
        """The same, for a block that reads them; a spool elsewhere copies them for so long."""
        yield self.staged(parts)

    def _staged_path(self, number: int) -> Path:
        return self._staged / f"unit-{number:05d}.avro"

    def should_skip(self, number: int) -> bool:
        """A former unit was stopped, or any failed: the records of this one would not be published."""
        if (self._units / "failure.json").exists():
            return True
        return any(int(mark.name.removeprefix("stopped-")) < number for mark in self._units.glob("stopped-*"))

    def summary(self, number: int) -> UnitSummary | None:
        """A unit's summary; None where it was skipped."""
        path = self._summary_path(number)
        if not path.exists():
            return None
        plain: dict[str, Any] = read_json(path, "a unit's summary")
        plain["shards"] = tuple(Shard(**shard) for shard in plain["shards"])
        plain["invalid"] = None if plain["invalid"] is None else Shard(**plain["invalid"])
        return UnitSummary(**plain)

    def discard(self, number: int) -> None:
        """Remove what a unit left."""
        for root in (self.synthetic, self.lake):
            for file in root.rglob(f"part-{number:05d}-of-{self.total:05d}.*"):
                file.unlink()
                if file.parent != root and not any(file.parent.iterdir()):
                    file.parent.rmdir()
        self._staged_path(number).unlink(missing_ok=True)
        (self.invalid / shard_name(number, self.total, "avro")).unlink(missing_ok=True)
        self._summary_path(number).unlink(missing_ok=True)

    def write_progress(self, records: int, attempts: int) -> None:
        """Tell the driver what this process has done so far; lost where it cannot be written."""
        name = f"progress-{platform.node()}-{os.getpid()}.json"
        with contextlib.suppress(OSError):
            write_json(self._units / name, [records, attempts])

    def progress(self) -> tuple[int, int]:
        """Valid records and attempts of all workers so far, roughly."""
        noted = []
        for path in self._units.glob("progress-*.json"):
            with contextlib.suppress(OSError, errors.LinesmithError):
                noted.append(read_json(path, "a worker's progress"))
        return sum(records for records, _ in noted), sum(attempts for _, attempts in noted)

    def write_failure(self, error: errors.LinesmithError) -> None:
        """Tell the driver about an error that is not worth a retry."""
        write_json(
            self._units / "failure.json", {"kind": type(error).__name__, "message": str(error), "code": error.code}
        )

    def failure(self) -> errors.LinesmithError | None:
        """The error a worker noted, or None."""
        path = self._units / "failure.json"
        if not path.exists():
            return None
        noted = read_json(path, "a worker's error")
        kind = getattr(errors, noted["kind"], errors.GenerationError)
        return kind(noted["message"], code=noted["code"])

    def _summary_path(self, number: int) -> Path:
        return self._units / f"unit-{number:05d}.json"

    def _write(self, result: UnitResult) -> UnitSummary:
        number, unit = result.unit.number, result.unit
        records = [
            Record(outcome.text, unit.start_string_of(outcome.index).text, outcome.index // self.copies)
            for outcome in result.valid
        ]
        if self.num_shards is None:
            shards = self.write_shards(number, self.total, records)
        else:
            shards = []
            with atomic_path(self._staged_path(number)) as temporary, open(temporary, "wb") as staged:
                write_avro(staged, _STAGED_SCHEMA, (record._asdict() for record in records), f"unit-{number}")
        invalid = None
        if result.invalid:
            path = self.invalid / shard_name(number, self.total, "avro")
            write_invalid(
                path,
                (
                    {"index": o.index, "attempt": o.attempt, "text": o.text, "reason": o.reason, "explain": o.explain}
                    for o in result.invalid
                ),
            )
            invalid = describe(path, "avro", len(result.invalid))
        return UnitSummary(
            number=number,
            records=len(records),
            missing=len(result.missing),
            reasons=dict(sorted(result.reasons.items())),
            attempts=result.attempts,
            characters=result.characters,
            survival=result.survival,
            stopped=result.stopped,
            seconds=result.seconds,
            shards=tuple(shards),
            invalid=invalid,
            environment=environment(),
        )


@dataclass(frozen=True)
class StagedRecords:
    """Records of ranges of files, read when they are iterated, any number of times.

    Attributes:
        parts: file, first position, and the one behind the last.
    """

    parts: tuple[tuple[str, int, int], ...]

    def __iter__(self) -> Iterator[Record]:
        for path, first, last in self.parts:
            with open(path, "rb") as staged:
                for row in islice(fastavro.reader(staged), first, last):
                    yield Record(**row)


def describe(path: Path, output_format: str, records: int, root: Path | None = None) -> Shard:
    """A shard that lies on disk, named from `root` on."""
    name = path.name if root is None else path.relative_to(root).as_posix()
    return Shard(name, output_format, records, path.stat().st_size, sha256_file(path))
