"""The spool of workers that share no file system with the driver: they write to a bucket, from which the driver collects.

A worker writes a unit in a folder of its own and uploads it, the summary last; so what has a summary is whole, and a unit
that is run again uploads the same objects. The driver copies all of it to its own spool when the pipeline has ended, and goes
on as if the workers had written there.
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
from linesmith.model.generation.staging import Shard, StagedRecords, StagingDirectory, UnitSummary
from linesmith.model.generation.unit_generator import SampleSource
from linesmith.model.generation.work_units import UnitResult
from linesmith.records.output.layout import Record
from linesmith.transforms.storage import objects as storage
from linesmith.transforms.storage.addresses import join

_LOOK_SECONDS = 10.0  # how long a look at the marks of other workers is good for
_MODEL = ("model_params.json", "model/", "tokenizer/")


class RemoteStagingDirectory:
    """What workers see of a `StagingDirectory`, in a bucket. The same promises; progress is not told."""

    def __init__(self, spool: StagingDirectory, address: str) -> None:
        self._spool = spool
        self._address = address
        self._looked: tuple[float, list[str]] | None = None

    @property
    def directory(self) -> str:
        return self._address

    @property
    def num_shards(self) -> int | None:
        return self._spool.num_shards

    def should_skip(self, number: int) -> bool:
        """As `StagingDirectory.should_skip`; what others have marked is seen after some seconds."""
        now = time.monotonic()
        if self._looked is None or now - self._looked[0] > _LOOK_SECONDS:
            names = storage.list_below(join(self._address, "units"))
            self._looked = (now, [name for name in names if name.startswith(("failure", "stopped-"))])
        marks = self._looked[1]
        return "failure.json" in marks or any(
            int(mark.removeprefix("stopped-")) < number for mark in marks if mark.startswith("stopped-")
        )

    def summary(self, number: int) -> UnitSummary | None:
        """As `StagingDirectory.summary`."""
        content = storage.read_bytes(join(self._address, "units", f"unit-{number:05d}.json"))
        if content is None:
            return None
        with self._here() as here:
            (Path(here.directory) / "units" / f"unit-{number:05d}.json").write_bytes(content)
            return here.summary(number)

    def write(self, result: UnitResult) -> UnitSummary:
        """As `StagingDirectory.write`."""
        with self._here() as here:
            summary = here.write(result)
            self._upload(Path(here.directory))
        return summary

    def write_shards(self, number: int, total: int, records: Iterable[Record]) -> list[Shard]:
        """As `StagingDirectory.write_shards`."""
        with self._here() as here:
            shards = here.write_shards(number, total, records)
            self._upload(Path(here.directory))
        return shards

    @contextlib.contextmanager
    def open_staged(self, parts: Iterable[tuple[int, int, int]]) -> Iterator[StagedRecords]:
        """Records that units have set aside, as `StagingDirectory.staged`; they are there while the block runs."""
        wanted = list(parts)
        with self._here() as here:
            for name in {f"staged/unit-{unit:05d}.avro" for unit, _, _ in wanted}:
                storage.fetch(join(self._address, name), Path(here.directory) / name)
            yield here.staged(wanted)

    def write_failure(self, error: LinesmithError) -> None:
        with self._here() as here:
            here.write_failure(error)
            self._upload(Path(here.directory))

    def write_progress(self, records: int, attempts: int) -> None:
        """Nothing: an object a moment from each worker would cost more than it tells."""

    @contextlib.contextmanager
    def _here(self) -> Iterator[StagingDirectory]:
        """A spool in a folder of this call's own."""
        with tempfile.TemporaryDirectory() as folder:
            spool = dataclasses.replace(self._spool, directory=folder)
            spool.create()
            yield spool

    def _upload(self, folder: Path) -> None:
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        last = sorted(name for name in files if name.startswith("units/"))
        for name in [*sorted(files.keys() - set(last)), *last]:
            storage.put(files[name], join(self._address, name))


@contextlib.contextmanager
def distant(
    spool: StagingDirectory, place: str, run_dir: str | None = None
) -> Iterator[tuple[RemoteStagingDirectory, str]]:
    """A spool and a model for workers elsewhere, while a pipeline runs; its results are in `spool` afterwards.

    Args:
        spool: the driver's.
        place: an address that driver and workers can write below.
        run_dir: holds the model; None: no worker needs it.

    Returns:
        What the workers write to, and the address of the model's copy.
    """
    address = join(place, f"linesmith-{uuid.uuid4().hex}")
    try:
        if run_dir is not None:
            _put_model(Path(run_dir), join(address, "run"))
        for path in Path(spool.directory).glob("staged/*"):
            storage.put(path, join(address, "staged", path.name))
        yield RemoteStagingDirectory(spool, address), join(address, "run")
        here = Path(spool.directory)
        names = [name for name in storage.list_below(address) if not name.startswith(("run/", "staged/"))]
        names += [
            name for name in storage.list_below(address) if name.startswith("staged/") and not (here / name).exists()
        ]
        storage.run_in_parallel(lambda name: storage.fetch(join(address, name), here / name), names)
    finally:
        with contextlib.suppress(LinesmithError):  # a left-over in a temporary place is no reason to fail
            storage.delete(join(address, name) for name in storage.list_below(address))


def _put_model(root: Path, address: str) -> None:
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and name.startswith(_MODEL) and "tensorboard/" not in name:
            storage.put(path, join(address, name))


class RemoteSamplerOpener:
    """Opens the sampler of a model in a bucket, on a worker; the copy is removed when it is loaded."""

    def __init__(self, address: str, *options: Any) -> None:
        self._address = address
        self._options = options

    def __call__(self) -> SampleSource:
        folder = Path(tempfile.mkdtemp())
        try:
            names = list(storage.list_below(self._address))
            storage.run_in_parallel(lambda name: storage.fetch(join(self._address, name), folder / name), names)
            return open_sampler(str(folder), *self._options)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
