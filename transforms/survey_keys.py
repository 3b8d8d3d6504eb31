"""Look at columns of keys: what they look like, and whether a value occurs twice. No value leaves the worker.

A worker writes, for each unit and column, a sorted array of 64-bit hashes of the values, keyed by a secret that is forgotten when
the command ends. The driver merges them one range of hashes at a time, so that memory does not grow with the input.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt

from linesmith.records.input.input_ranges import InputUnit
from linesmith.records.roles.key_forms import KeyForms, forms_from_dict, merge_forms
from linesmith.records.table_columns import unescape_text
from linesmith.transforms.collect_json import CollectJson, read_collected
from linesmith.transforms.read_records import RangeReader, ReadSettings
from linesmith.transforms.worker_errors import reraise_worker_errors

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_MERGED_AT_ONCE = 1 << 22  # hashes: 32 MB


@dataclass(frozen=True)
class KeySurvey:
    """What a column of keys looks like.

    Attributes:
        forms: lengths and classes of characters.
        records: number of records.
        distinct: number of different values.
    """

    forms: KeyForms
    records: int
    distinct: int


@dataclass(frozen=True)
class KeyColumn:
    """Where a column of keys is in the records.

    Attributes:
        position: its number, from 0.
        escaped: its values are written as texts of a table are (`linesmith.records.table_columns`).
        optional: it is in a struct that may be missing, and an empty text is no key.
    """

    position: int
    escaped: bool = False
    optional: bool = False


def survey_keys(
    units: Iterable[InputUnit],
    settings: ReadSettings,
    columns: Mapping[str, KeyColumn],
    options: PipelineOptions,
    scratch: Path,
) -> dict[str, KeySurvey]:
    """Run a pipeline over the input, and return what it found about each column.

    Args:
        units: the input.
        settings: how it is read; its columns of keys are cut.
        columns: where they are, by name.
        options: of the pipeline.
        scratch: directory for intermediate results, which driver and workers share.
    """
    folder = scratch / "keys"
    folder.mkdir()
    results = folder / "forms.json"
    reader = _UnitReader(settings, tuple(columns.values()), str(folder), secrets.token_bytes(32))
    with reraise_worker_errors(), beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | "Units" >> beam.Create(list(units), reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Look" >> beam.Map(reader)
            | "Forms" >> CollectJson(results)
        )
    forms: list[list[dict[str, Any]]] = read_collected(results)
    surveys = {}
    for number, name in enumerate(columns):
        arrays = [np.load(path, mmap_mode="r") for path in sorted(folder.glob(f"*-{number}.npy"))]
        merged = merge_forms(forms_from_dict(unit[number]) for unit in forms)
        surveys[name] = KeySurvey(merged, sum(map(len, arrays)), count_distinct(arrays))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return surveys


@dataclass(frozen=True)
class _UnitReader:
    """Reads a unit, writes the hashes of its keys, and returns what they look like, by column."""

    settings: ReadSettings
    columns: tuple[KeyColumn, ...]
    folder: str
    secret: bytes

    def __call__(self, unit: InputUnit) -> list[dict[str, Any]]:
        forms = [KeyForms() for _ in self.columns]
        hashes: list[list[int]] = [[] for _ in self.columns]
        fields = self.settings.records.fields

        def look(record: str) -> None:
            values = fields.split_or_none(record) or [""] * (1 + max(key.position for key in self.columns))
            for key, form, found in zip(self.columns, forms, hashes, strict=True):
                value = values[key.position]
                if not value and key.optional:
                    continue
                value = unescape_text(value) if key.escaped and value else value
                form.add(value)
                digest = hashlib.blake2b(value.encode(errors="surrogatepass"), key=self.secret, digest_size=8).digest()
                found.append(int.from_bytes(digest, "big"))

        for source in unit.ranges:
            for _ in RangeReader(source, self.settings, on_record=look).batches():
                pass
        for number, column in enumerate(hashes):
            np.save(Path(self.folder) / f"{unit.index}-{number}.npy", np.sort(np.array(column, np.uint64)))
        return [form.as_dict() for form in forms]


def count_distinct(arrays: Sequence[npt.NDArray[np.uint64]], at_once: int = _MERGED_AT_ONCE) -> int:
    """Return how many different numbers several sorted arrays hold together.

    Args:
        arrays: sorted; they may be mapped from files.
        at_once: about how many numbers are held in memory.
    """
    return sum(len(np.unique(np.concatenate(parts))) for parts in _ranges(arrays, at_once))


def _ranges(arrays: Sequence[npt.NDArray[np.uint64]], at_once: int) -> Iterator[list[npt.NDArray[np.uint64]]]:
    """Yield the numbers of one range after another; ranges of hashes hold about equally many."""
    parts = 1 + sum(map(len, arrays)) // at_once
    bounds = [(number << 64) // parts for number in range(1, parts)]
    cuts = [[0, *(int(np.searchsorted(array, np.uint64(bound))) for bound in bounds), len(array)] for array in arrays]
    for part in range(parts):
        yield [
            np.zeros(0, np.uint64),
            *(array[cut[part] : cut[part + 1]] for array, cut in zip(arrays, cuts, strict=True)),
        ]
