"""Directory in which the units of a generation leave their files until the driver publishes them.

```
STAGING/synthetic/part-*     shards of valid records, one per unit and format, or one per directory of a partition
STAGING/iceberg/part-*       the same as Parquet for a table, where there is one
STAGING/staged/unit-*.avro   instead of both, where the number of shards is fixed: they are cut when all units are done
STAGING/invalid/part-*       shards of invalid records, one per unit that has any
STAGING/units/unit-*.json    result of each unit (`UnitSummary`), written after its shards
STAGING/marks/stopped-*      mark of a stopped unit: later ones need not run; not in units/, which is slow to list
STAGING/marks/progress-*.json  what a worker has done so far, for a display only
STAGING/marks/failure.json   an error that the user can correct, from any worker
```

Every file is renamed into place under a name that is a function of its unit, so a unit may run any number of times. The driver
and all workers must reach the directory under the same path.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import fastavro

from linesmith.core import errors
from linesmith.core.artifacts.disk_errors import disk_error
from linesmith.core.artifacts.files import atomic_path, read_json, write_bytes, write_json
from linesmith.model.generation.unit_summary import StagedShard, UnitSummary, describe_shard
from linesmith.model.generation.work_units import WorkUnitResult
from linesmith.records.output.layout import GeneratedRecord, RecordLayout
from linesmith.records.output.record_counts import check_record_count
from linesmith.records.output.writers import shard_name, shard_stem, write_avro, write_invalid, write_shard
from linesmith.records.roles.filler import RecordFiller

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
class StagingDirectory:
    """A staging directory, and how records are written there. Making this object touches nothing on disk.

    Attributes:
        directory: its path, the same for driver and workers.
        formats: output formats of valid records.
        layout: how a record becomes a row.
        num_units: number of units of the run.
        records_per_seed: records of each start string.
        num_shards: shards of the output; None: one per unit.
        partition_by: a column whose values are directories, or None.
        ignores_case: the file system takes capitals and small letters for the same.
        iceberg: Parquet files for a table are written as well.
        filler: puts columns that the model does not know into its records; None: it knows all.
    """

    directory: str
    formats: tuple[str, ...]
    layout: RecordLayout
    num_units: int
    records_per_seed: int = 1
    num_shards: int | None = None
    partition_by: str | None = None
    ignores_case: bool = False
    iceberg: bool = False
    filler: RecordFiller | None = None

    @property
    def synthetic(self) -> Path:
        """Return the directory of valid records."""
        return Path(self.directory) / "synthetic"

    @property
    def invalid(self) -> Path:
        """Return the directory of invalid records."""
        return Path(self.directory) / "invalid"

    @property
    def iceberg_directory(self) -> Path:
        """Return the directory of the files for an Iceberg table."""
        return Path(self.directory) / ICEBERG

    @property
    def _staged(self) -> Path:
        return Path(self.directory) / "staged"

    @property
    def _units(self) -> Path:
        return Path(self.directory) / "units"

    @property
    def _marks(self) -> Path:
        return Path(self.directory) / "marks"

    def create(self) -> None:
        """Create the directories on disk."""
        for directory in (self.synthetic, self.invalid, self.iceberg_directory, self._staged, self._units, self._marks):
            directory.mkdir(parents=True, exist_ok=True)

    def write(self, result: WorkUnitResult) -> UnitSummary:
        """Write a unit's shards, then its summary.

        Raises:
            DataError: the disk is full or cannot be written.
        """
        try:
            summary = self._write(result)
            write_json(self._summary_path(summary.number), asdict(summary))
            if summary.stopped is not None:
                write_bytes(self._marks / f"stopped-{summary.number:05d}", b"")
        except OSError as error:
            raise self.write_error(error) from None
        return summary

    def write_error(self, error: OSError) -> errors.DataError:
        """Return the error for a failure to write here."""
        return disk_error(error, self.directory, "--output") or errors.DataError(
            "LS209",
            "--output",
            f"'{self.directory}' cannot be written ({error.strerror or type(error).__name__})",
            "Choose another --output. What stood there before is untouched.",
        )

    def write_shards(self, number: int, total: int, records: Iterable[GeneratedRecord]) -> list[StagedShard]:
        """Write one shard in every format, or several where they are partitioned.

        Args:
            number: number of the shard.
            total: number of shards.
            records: can be iterated any number of times.
        """
        shards = []
        targets = [(self.synthetic, output_format) for output_format in self.formats] + (
            [(self.iceberg_directory, ICEBERG)] if self.iceberg else []
        )
        for root, output_format in targets:
            name = shard_name(number, total, output_format)
            written = write_shard(root, name, output_format, records, self.layout, self.partition_by, self.ignores_case)
            # All files first: one that overwrote another would have been described before that.
            for path, count in written:
                check_record_count(path, output_format, count, self.layout.header is not None)
                shards.append(describe_shard(path, output_format, count, root))
        return shards

    def staged_records(self, parts: Iterable[tuple[int, int, int]]) -> StagedRecords:
        """Return staged records of units.

        Args:
            parts: unit number, first position and the one after the last, of each part.
        """
        return StagedRecords(tuple((str(self._staged_path(unit)), first, last) for unit, first, last in parts))

    @contextlib.contextmanager
    def open_staged(self, parts: Iterable[tuple[int, int, int]]) -> Iterator[StagedRecords]:
        """Make `staged_records` available inside a `with` block. A remote staging directory copies them for that time."""
        yield self.staged_records(parts)

    def _staged_path(self, number: int) -> Path:
        return self._staged / f"unit-{number:05d}.avro"

    def should_skip(self, number: int) -> bool:
        """Return whether an earlier unit was stopped or any failed: the records of this one would not be published."""
        if (self._marks / "failure.json").exists():
            return True
        return any(int(mark.name.removeprefix("stopped-")) < number for mark in self._marks.glob("stopped-*"))

    def read_summary(self, number: int) -> UnitSummary | None:
        """Return a unit's summary; None where it was skipped."""
        path = self._summary_path(number)
        if not path.exists():
            return None
        values: dict[str, Any] = read_json(path, "a unit's summary")
        values["shards"] = tuple(StagedShard(**shard) for shard in values["shards"])
        values["invalid"] = None if values["invalid"] is None else StagedShard(**values["invalid"])
        return UnitSummary(**values)

    def delete_unit(self, number: int) -> None:
        """Delete all files of a unit."""
        for root in (self.synthetic, self.iceberg_directory):
            for file in root.rglob(f"{shard_stem(number, self.num_units)}.*"):
                file.unlink()
                if file.parent != root and not any(file.parent.iterdir()):
                    file.parent.rmdir()
        self._staged_path(number).unlink(missing_ok=True)
        (self.invalid / shard_name(number, self.num_units, "avro")).unlink(missing_ok=True)
        self._summary_path(number).unlink(missing_ok=True)

    def write_progress(self, records: int, attempts: int) -> None:
        """Write the progress of this process, for the driver's display. Errors in writing are ignored."""
        name = f"progress-{platform.node()}-{os.getpid()}.json"
        with contextlib.suppress(OSError):
            write_json(self._marks / name, [records, attempts])

    def read_progress(self) -> tuple[int, int]:
        """Return the valid records and attempts of all workers so far, roughly."""
        noted = []
        for path in self._marks.glob("progress-*.json"):
            with contextlib.suppress(OSError, errors.LinesmithError):
                noted.append(read_json(path, "a worker's progress"))
        return sum(records for records, _ in noted), sum(attempts for _, attempts in noted)

    def write_failure(self, error: errors.LinesmithError) -> None:
        """Write an error that is not worth a retry, for the driver."""
        write_json(self._marks / "failure.json", error.as_dict())

    def read_failure(self) -> errors.LinesmithError | None:
        """Return the error that a worker has written, or None."""
        path = self._marks / "failure.json"
        if not path.exists():
            return None
        return errors.error_from_dict(read_json(path, "a worker's error"))

    def _summary_path(self, number: int) -> Path:
        return self._units / f"unit-{number:05d}.json"

    def _write(self, result: WorkUnitResult) -> UnitSummary:
        number, unit = result.unit.number, result.unit
        records = [
            GeneratedRecord(
                outcome.text if self.filler is None else self.filler.text(outcome.index, outcome.text),
                unit.start_string_of(outcome.index).text,
                outcome.index // self.records_per_seed,
            )
            for outcome in result.valid
        ]
        if self.num_shards is None:
            shards = self.write_shards(number, self.num_units, records)
        else:
            shards = []
            with atomic_path(self._staged_path(number)) as temporary, open(temporary, "wb") as staged:
                write_avro(staged, _STAGED_SCHEMA, (record._asdict() for record in records), f"unit-{number}")
        invalid = None
        if result.invalid:
            path = self.invalid / shard_name(number, self.num_units, "avro")
            write_invalid(
                path,
                (
                    {"index": o.index, "attempt": o.attempt, "text": o.text, "reason": o.reason, "explain": o.explain}
                    for o in result.invalid
                ),
            )
            invalid = describe_shard(path, "avro", len(result.invalid))
        return UnitSummary(
            number=number,
            records=len(records),
            missing=len(result.missing),
            reasons=dict(sorted(result.reasons.items())),
            attempts=result.attempts,
            characters=result.characters,
            survival=result.acceptance_sum,
            stopped=result.stopped,
            seconds=result.seconds,
            shards=tuple(shards),
            invalid=invalid,
            validator_fault=next((outcome.fault for outcome in result.invalid if outcome.fault is not None), None),
        )


@dataclass(frozen=True)
class StagedRecords:
    """Records of ranges of files, read each time they are iterated.

    Attributes:
        parts: file, first position, and the one after the last.
    """

    parts: tuple[tuple[str, int, int], ...]

    def __iter__(self) -> Iterator[GeneratedRecord]:
        for path, first, last in self.parts:
            with open(path, "rb") as staged:
                for row in islice(fastavro.reader(staged), first, last):
                    yield GeneratedRecord(**row)
