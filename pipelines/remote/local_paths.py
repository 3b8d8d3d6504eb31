"""Stages whose run directory is in a bucket: they work on a local mirror of it, and know nothing of that.

Settings that name a small file in a bucket (rules, a schema, public data of private training) get a local copy of it. The
input, start strings, archives and the sets of an evaluation are read from the bucket directly, by way of Beam's file systems.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from linesmith.core.artifacts.files import write_json
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import LinesmithError, ParameterError
from linesmith.pipelines.remote.mirror import Mirror, mirrored
from linesmith.pipelines.remote.published_files import INPUTS
from linesmith.pipelines.stage_report import StageReport
from linesmith.transforms.storage import clients as store_clients
from linesmith.transforms.storage import objects as storage
from linesmith.transforms.storage.addresses import check_address, is_remote

T = TypeVar("T")
# What each command reads of a run directory; manifests are there for all of them.
_ROOT = ("model_params.json", "model_history.csv", "tokenizer/")
_READ: dict[str, tuple[str, ...]] = {
    "tokenize": (*_ROOT, "rejects/", "private/rejects/"),  # rejects have no manifest by which left-overs are known
    "train": (*_ROOT, "training_data/", "rejects/", "model/", "private/", ".next/"),
    "generate": (*_ROOT, "model/"),
    "evaluate": (*_ROOT, "model/", "training_data/", "private/", "synthetic/"),
    "run": (*_ROOT, "training_data/", "rejects/", "model/", "private/", ".next/"),
    "export": (*_ROOT, "model/"),
    "plan": (*_ROOT, "model/", "private/training_data/statistics.json", "training_data/statistics.json"),
    "files": (),
    "compare": ("report/", "private/report/"),
}
_READ_ONLY = ("export", "plan", "compare")  # these leave the bucket as it is
_SMALL_FILES = ("rules", "schema_file", "dp_public_vocabulary", "dp_public_validation")


def set_filesystem_options(beam_args: Sequence[str] = ()) -> None:
    """Tell Beam's file systems the options of a command line, among them `--s3_endpoint_url` and `--s3_region_name`."""
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    FileSystems.set_options(PipelineOptions(list(beam_args)))


@contextlib.contextmanager
def local_run(address: str, stage: str, beam_args: Sequence[str] = ()) -> Iterator[tuple[str, Mirror | None]]:
    """The run directory as a local path, and the mirror behind it; a path that is local already is left alone.

    Args:
        address: path or address of the run directory.
        stage: the command, which decides what is copied.

    Raises:
        ParameterError: LS106, LS213, the address cannot be reached.
        DataError: LS203, LS213.
    """
    if not is_remote(address):
        yield address, None
        return
    check_address(address, "--output")
    set_filesystem_options(beam_args)
    store_clients.check_reachable(address)
    read = _READ[stage]
    made = mirrored(address.rstrip("/"), lambda name: name.startswith(read), _adapt, writes=stage not in _READ_ONLY)
    with made as mirror, _told(mirror):
        yield str(mirror.folder), mirror


@contextlib.contextmanager
def _told(mirror: Mirror) -> Iterator[None]:
    """Errors name the address that the user gave, not the folder."""
    try:
        yield
    except LinesmithError as error:
        raise type(error)(mirror.told(str(error)), code=error.code) from error.__cause__


def fetch_named_files(settings: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """Settings whose small files in buckets have been copied to a folder.

    Raises:
        ParameterError: LS306, the privacy ledger is in a bucket.
        DataError: LS213.
    """
    found = dict(settings)
    ledger = found.get("privacy_ledger")
    if ledger is not None and is_remote(str(ledger)):
        raise ParameterError(
            f"LS306: --privacy-ledger '{ledger}' is in a bucket, which has no lock, so that two trainings could each forget "
            "what the other spent; give a path on a local or mounted file system.",
            code="LS306",
        )
    for name in _SMALL_FILES:
        given = found.get(name)
        if isinstance(given, str) and is_remote(given):
            option = "--" + name.replace("_", "-")
            check_address(given, option)
            digest = hashlib.sha256(given.encode()).hexdigest()[:16]
            copy = place / digest / Path(given).name
            storage.fetch(given, copy)
            write_json(place / f"{digest}.json", given)  # so that what is published names the address
            found[name] = str(copy)
    return found


def _adapt(params: Path, inputs: Path) -> None:
    """Copy the small files that stored settings name, too."""
    stored = json.loads(params.read_text("utf-8"))
    if isinstance(stored, dict):
        found = fetch_named_files({**stored, "privacy_ledger": None}, inputs)
        if any(found[name] != stored.get(name) for name in _SMALL_FILES if name in found):
            write_json(params, {**stored, **{name: found[name] for name in _SMALL_FILES if name in found}})


def reported(report: StageReport, mirror: Mirror | None) -> StageReport:
    """A report that names the address that the user gave."""
    if mirror is not None:
        report.outputs = {name: mirror.told(place) for name, place in report.outputs.items()}
        report.notices = [mirror.told(notice) for notice in report.notices]
    return report


@contextlib.contextmanager
def config_with_local_paths(
    config: TensorFlowConfig, stage: str, beam_args: Sequence[str] = ()
) -> Iterator[tuple[TensorFlowConfig, Mirror | None]]:
    """A configuration whose run directory and small files are local.

    Raises:
        ParameterError, DataError: as `local_run` and `fetch_named_files`.
    """
    places = [config.checkpoint_dir, config.privacy_ledger, *(getattr(config, name) for name in _SMALL_FILES)]
    if config.checkpoint_dir is None or not any(is_remote(str(place)) for place in places):
        yield config, None
        return
    set_filesystem_options(beam_args)
    with local_run(config.checkpoint_dir, stage, beam_args) as (root, mirror):
        if mirror is not None:
            _refuse_table(config)
            config = config.replace(checkpoint_dir=root)
        yield with_small_files(config), mirror


def with_small_files(config: TensorFlowConfig) -> TensorFlowConfig:
    """A configuration whose small files are copied from their buckets to the run directory, which is local.

    Raises:
        ParameterError, DataError: as `fetch_named_files`.
    """
    found = fetch_named_files(config.as_dict(), Path(str(config.checkpoint_dir)) / INPUTS)
    changed = {name: found[name] for name in _SMALL_FILES if found.get(name) != getattr(config, name)}
    return config.replace(**changed) if changed else config


def _refuse_table(config: TensorFlowConfig) -> None:
    if config.iceberg_table is not None and config.iceberg_catalog is None:
        raise ParameterError(
            "LS114: --iceberg-table without --iceberg-catalog keeps its catalog in the run directory, which must then be a "
            "local path; name a catalog, or another --output.",
            code="LS114",
        )


def accepts_remote_run_directory(stage: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Lets a stage `(config, beam_args, …)` take a run directory in a bucket."""

    def wrap(run: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(run)
        def wrapped(config: TensorFlowConfig, *args: Any, **named: Any) -> T:
            beam_args = named.get("beam_args", args[0] if args and isinstance(args[0], list | tuple) else ())
            with config_with_local_paths(config, stage, beam_args) as (local, mirror):
                if mirror is not None and "on_stage" in run.__annotations__:
                    args, named = _publishing(mirror, args, named)
                result = run(local, *args, **named)
                for report in result if isinstance(result, list) else [result]:
                    if isinstance(report, StageReport):
                        reported(report, mirror)
                return result

        return wrapped

    return wrap


def _publishing(mirror: Mirror, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of a run of several stages, with an `on_stage` that publishes what each one made."""
    given = named.pop("on_stage", args[1] if len(args) > 1 else None)

    def on_stage(report: StageReport) -> None:
        mirror.publish()
        if given is not None:
            given(reported(report, mirror))

    return args[:1], {**named, "on_stage": on_stage}


@dataclass(frozen=True)
class MirroredRun:
    """A command whose run directory is local while it runs.

    Attributes:
        output: the local path.
        mirror: what stands behind it; None where it is the user's own path.
    """

    output: str | None
    mirror: Mirror | None = None

    def check(self, config: TensorFlowConfig) -> None:
        """Refuse settings that need a run directory which stays on this machine.

        Raises:
            ParameterError: LS114, a table whose catalog would lie in it.
        """
        if self.mirror is not None:
            _refuse_table(config)

    def then(self, show: Callable[[StageReport], int]) -> Callable[[StageReport], int]:
        """Shows a stage's report when what it made is published."""

        def shown(report: StageReport) -> int:
            if self.mirror is not None:
                self.mirror.publish()
            return show(reported(report, self.mirror))

        return shown


@contextlib.contextmanager
def at_hand(output: str | None, stage: str, beam_args: Sequence[str] = ()) -> Iterator[MirroredRun]:
    """The run directory of a command.

    Raises:
        ParameterError, DataError: as `local_run`.
    """
    if output is None:
        yield MirroredRun(None)
        return
    with local_run(output, stage, beam_args) as (root, mirror):
        yield MirroredRun(root, mirror)
