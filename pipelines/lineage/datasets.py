"""Name what a command reads and writes, and describe it by the manifests beside it: columns, types and counts, never values."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from linesmith.core.addresses import redact_address
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.artifacts.shard_list import shard_totals
from linesmith.core.config.input_format import ICEBERG
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import LinesmithError

_WILDCARD = re.compile(r"[*?\[]")
# What each command reads and writes: names of the methods of `RunDatasets`.
_READ = {
    "run": ("source",),
    "tokenize": ("source",),
    "train": ("training_data",),
    "generate": ("model",),
    "evaluate": ("training_data", "synthetic"),
}
_WRITTEN = {
    "run": ("model", "synthetic"),
    "tokenize": ("training_data",),
    "train": ("model",),
    "generate": ("synthetic",),
    "evaluate": ("report",),
}


@dataclass(frozen=True)
class Dataset:
    """A dataset as OpenLineage names it, and what is known of it.

    Attributes:
        namespace: the store: `file`, `s3://bucket`, `https://host`.
        name: the path in it.
        columns: name and type of each column; the type may be unknown.
        rows: number of records.
        files: number of files.
        size_bytes: their size.
    """

    namespace: str
    name: str
    columns: tuple[tuple[str, str | None], ...] = ()
    rows: int | None = None
    files: int | None = None
    size_bytes: int | None = None


@dataclass(frozen=True)
class Datasets:
    """What a command reads and writes."""

    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()


def dataset_at(place: str) -> Dataset:
    """Return the dataset at a path or an address, which lose a wildcard and what follows it, and secrets.

    Example:
        >>> dataset_at("s3://lines/2026/part-*.csv")
        Dataset(namespace='s3://lines', name='2026', columns=(), rows=None, files=None, size_bytes=None)
        >>> dataset_at("https://ann:secret@host/rides.csv?sig=abc").name
        '/rides.csv'
    """
    shown = redact_address(place).partition("?redacted=")[0]
    found = _WILDCARD.search(shown)
    if found is not None:
        shown = shown[: found.start()].rpartition("/")[0]
    scheme, separator, rest = shown.partition("://")
    if not separator or scheme == "file":
        return Dataset("file", os.path.abspath(rest if separator else shown))
    store, _, path = rest.partition("/")
    return Dataset(f"{scheme}://{store}", f"/{path}" if scheme.startswith("http") else path.rstrip("/") or "/")


@dataclass(frozen=True)
class RunDatasets:
    """The datasets of a run directory.

    With differential privacy only what may be released is described, the model and the records: the source is not named, and of
    the files in `private/` nothing is said but their place.

    Attributes:
        config: settings of the command.
        root: the run directory, or its copy on this machine.
        place: the run directory as the user gave it.
        private: whether the run has differential privacy.
        is_done: whether the command has ended, so that the manifests are its own; otherwise datasets are named only.
    """

    config: TensorFlowConfig
    root: Path
    place: str
    private: bool = False
    is_done: bool = field(default=False, kw_only=True)

    def of_command(self, command: str) -> Callable[[bool], Datasets]:
        """Return a function that tells what a command reads and writes; its argument says whether the command has ended."""

        def found(is_done: bool) -> Datasets:
            run = replace(self, is_done=is_done)
            inputs, outputs = (
                tuple(dataset for name in names[command] for dataset in getattr(run, name)())
                for names in (_READ, _WRITTEN)
            )
            return Datasets(inputs, outputs)

        return found

    def source(self) -> list[Dataset]:
        """Return the input of tokenize; its counts and columns stand where there is a single one."""
        given = self.config.input_data_path
        if self.private or given is None:
            return []
        patterns = [given] if isinstance(given, str) else given
        datasets = [
            Dataset("iceberg", name) if self.config.input_format == ICEBERG else dataset_at(name) for name in patterns
        ]
        if len(datasets) > 1:
            return list(dict.fromkeys(datasets))
        manifest = self._manifest(self._run.training_data)
        files = manifest.get("inputs", {})
        sizes = [file.get("bytes") for file in files.values()]
        return [
            replace(
                datasets[0],
                columns=_untyped(manifest.get("columns")),
                rows=manifest.get("counts", {}).get("lines"),
                files=len(files) or None,
                size_bytes=sum(sizes) if sizes and None not in sizes else None,
            )
        ]

    def training_data(self) -> list[Dataset]:
        """Return the training data."""
        found = self._at(self._run.training_data)
        if self.private:
            return [found]
        manifest = self._manifest(self._run.training_data)
        rows = manifest.get("counts", {}).get("accepted")
        return [replace(found, columns=_untyped(manifest.get("columns")), rows=rows)]

    def model(self) -> list[Dataset]:
        """Return the model, whose columns are those that it writes."""
        from linesmith.core.artifacts.model_info import read_model_info  # loads NumPy

        found = self._at(self._run.model)
        if self.is_done:
            with suppress(LinesmithError, OSError):
                return [replace(found, columns=_untyped(read_model_info(self.root).columns))]
        return [found]

    def synthetic(self) -> list[Dataset]:
        """Return the generated records, and the Iceberg table that they were added to."""
        manifest = self._manifest(self._run.synthetic)
        totals = shard_totals(manifest).values()
        found = replace(
            self._at(self._run.synthetic),
            columns=tuple((column["name"], str(column["type"])) for column in manifest.get("types") or ()),
            rows=manifest.get("counts", {}).get("records"),
            files=sum(total["files"] for total in totals) or None,
            size_bytes=sum(total["bytes"] for total in totals) or None,
        )
        table = self.config.iceberg_table
        return [found] if table is None else [found, replace(found, namespace="iceberg", name=table)]

    def report(self) -> list[Dataset]:
        """Return the report."""
        return [self._at(self._run.raw / "report")]

    @property
    def _run(self) -> RunDirectory:
        return RunDirectory(self.root, self.private)

    def _at(self, directory: Path) -> Dataset:
        return dataset_at(f"{self.place.rstrip('/')}/{directory.relative_to(self.root)}")

    def _manifest(self, directory: Path) -> Mapping[str, Any]:
        if self.is_done:
            with suppress(LinesmithError, OSError):
                return read_manifest(directory) or {}
        return {}


def _untyped(names: Any) -> tuple[tuple[str, str | None], ...]:
    return tuple((str(name), None) for name in names or ())
