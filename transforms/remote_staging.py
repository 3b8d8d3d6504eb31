"""Staging directory in a bucket, for workers that share no file system with the driver.

A worker writes a unit in a temporary folder and uploads it, the summary last. So a unit with a summary is complete, and a
unit that runs again uploads the same objects. When the pipeline has ended, the driver copies everything to its own staging
directory, and continues as if the workers had written tlocal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from linesmith.core.errors import LinesmithError
from linesmith.model.generation.from_config import open_sampler
from linesmith.model.generation.staging import StagedRecords, StagingDirectory
from linesmith.model.generation.unit_generator import SampleSource
from linesmith.model.generation.unit_summary import StagedShard, UnitSummary
from linesmith.model.generation.work_units import WorkUnitResult
from linesmith.records.output.layout import GeneratedRecord
from linesmith.transforms.storage import objects as storage
from linesmith.transforms.storage.addresses import join

_MARKERS_SECONDS = 10.0  # how long a listing of the markers of other workers is used
_MODEL_PATHS = ("model_params.json", "model/", "tokenizer/")


class RemoteStagingDirectory:
    """`StagingDirectory` in a bucket, as workers use it, with the same guarantees. Progress is not recorded.

    Args:
        staging: the staging directory of the driver.
        address: where in the bucket its content goes.
    """

    def __init__(self, staging: StagingDirectory, address: str) -> None:
        self._staging = staging
        self._address = address
        self._markers: tuple[float, list[str]] | None = None  # time of the listing, and names

    @property
    def directory(self) -> str:
        """The address."""
        return self._address

    @property
    def num_shards(self) -> int | None:
        """As of the staging directory of the driver."""
        return self._staging.num_shards

    def write_error(self, error: OSError) -> LinesmithError:
        """As of the staging directory of the driver."""
        return self._staging.write_error(error)

    def should_skip(self, number: int) -> bool:
        """Return what `StagingDirectory.should_skip` does; markers of other workers are seen after some seconds."""
        now = time.monotonic()
        if self._markers is None or now - self._markers[0] > _MARKERS_SECONDS:
            names = storage.list_below(join(self._address, "marks"))
            self._markers = (now, [name for name in names if name.startswith(("failure", "stopped-"))])
        markers = self._markers[1]
        return "failure.json" in markers or any(
            int(name.removeprefix("stopped-")) < number for name in markers if name.startswith("stopped-")
        )

    def read_summary(self, number: int) -> UnitSummary | None:
        """Return what `StagingDirectory.read_summary` does."""
        content = storage.read_bytes(join(self._address, "units", f"unit-{number:05d}.json"))
        if content is None:
            return None
        with self._local() as local:
            (Path(local.directory) / "units" / f"unit-{number:05d}.json").write_bytes(content)
            return local.read_summary(number)

    def write(self, result: WorkUnitResult) -> UnitSummary:
        """Write a unit, as `StagingDirectory.write` does."""
        with self._local() as local:
            summary = local.write(result)
            self._upload(Path(local.directory))
        return summary

    def write_shards(self, number: int, total: int, records: Iterable[GeneratedRecord]) -> list[StagedShard]:
        """Write a shard, as `StagingDirectory.write_shards` does."""
        with self._local() as local:
            shards = local.write_shards(number, total, records)
            self._upload(Path(local.directory))
        return shards

    @contextlib.contextmanager
    def open_staged(self, parts: Iterable[tuple[int, int, int]]) -> Iterator[StagedRecords]:
        """Return staged records, as `StagingDirectory.staged_records` does; they can be read while the block runs."""
        parts = list(parts)
        with self._local() as local:
            for name in {f"staged/unit-{unit:05d}.avro" for unit, _, _ in parts}:
                storage.fetch(join(self._address, name), Path(local.directory) / name)
            yield local.staged_records(parts)

    def write_failure(self, error: LinesmithError) -> None:
        """Record an error, as `StagingDirectory.write_failure` does."""
        with self._local() as local:
            local.write_failure(error)
            self._upload(Path(local.directory))

    def write_progress(self, records: int, attempts: int) -> None:
        """Do nothing: an object every few moments from each worker would cost more than it is worth."""

    @contextlib.contextmanager
    def _local(self) -> Iterator[StagingDirectory]:
        """Yield an empty staging directory in a temporary folder."""
        with tempfile.TemporaryDirectory() as folder:
            staging = dataclasses.replace(self._staging, directory=folder)
            staging.create()
            yield staging

    def _upload(self, folder: Path) -> None:
        """Upload all files of a folder, summaries and failures last."""
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        last = sorted(name for name in files if name.startswith(("units/", "marks/")))
        for name in [*sorted(files.keys() - set(last)), *last]:
            storage.put(files[name], join(self._address, name))


@contextlib.contextmanager
def open_remote_staging(
    staging: StagingDirectory, root: str, run_dir: str | None = None
) -> Iterator[tuple[RemoteStagingDirectory, str]]:
    """Provide a staging directory and a copy of the model in a bucket while a pipeline runs.

    Afterwards the results are in `staging`, and the bucket is cleaned up.

    Args:
        staging: the staging directory of the driver.
        root: an address below which driver and workers can write.
        run_dir: the run directory with the model; None: no worker needs it.

    Yields:
        The staging directory for the workers, and the address of the copy of the model.
    """
    address = join(root, f"linesmith-{uuid.uuid4().hex}")
    try:
        if run_dir is not None:
            _put_model(Path(run_dir), join(address, "run"))
        for path in Path(staging.directory).glob("staged/*"):
            storage.put(path, join(address, "staged", path.name))
        yield RemoteStagingDirectory(staging, address), join(address, "run")
        local = Path(staging.directory)
        names = [name for name in storage.list_below(address) if not name.startswith(("run/", "staged/"))]
        names += [
            name for name in storage.list_below(address) if name.startswith("staged/") and not (local / name).exists()
        ]
        storage.run_in_parallel(lambda name: storage.fetch(join(address, name), local / name), names)
    finally:
        with contextlib.suppress(LinesmithError):  # objects left in a temporary place are no reason to fail
            storage.delete(join(address, name) for name in storage.list_below(address))


def _put_model(root: Path, address: str) -> None:
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and name.startswith(_MODEL_PATHS) and "tensorboard/" not in name:
            storage.put(path, join(address, name))


class RemoteSamplerOpener:
    """Callable that opens the sampler of a model in a bucket, on a worker; its local copy is removed once it is loaded."""

    def __init__(self, address: str, *options: Any) -> None:
        self._address = address
        self._options = options

    def __call__(self) -> SampleSource:
        """Copy the model to a temporary folder and load it."""
        folder = Path(tempfile.mkdtemp())
        try:
            names = list(storage.list_below(self._address))
            storage.run_in_parallel(lambda name: storage.fetch(join(self._address, name), folder / name), names)
            return open_sampler(str(folder), *self._options)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
