"""Local copies of remote run directories and of the small remote files that settings name.

Stages read and write local files only. Where a run directory is a bucket address, a stage's public function opens it with
`config_with_local_paths` or `open_local_run`, works on the local copy, and puts bucket addresses into its report with
`with_remote_addresses`. The changes are published when the block ends.

Input files, start strings, archives and evaluation sets are not copied: they are read from the bucket through Beam's file
systems.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.config.setting_field import flag_name
from linesmith.core.config.tensorflow_config import TensorFlowConfig, fields, path_settings, stage_of
from linesmith.core.errors import LinesmithError, ParameterError
from linesmith.pipelines.remote.mirror import Mirror, open_mirror
from linesmith.pipelines.remote.published_files import INPUTS
from linesmith.pipelines.stage_report import StageReport
from linesmith.transforms.storage import clients as store_clients
from linesmith.transforms.storage import objects as storage
from linesmith.transforms.storage.addresses import check_address, is_bucket, is_remote

T = TypeVar("T")
# Name prefixes of the files that each command reads in a run directory. Manifests are copied for every command.
_ROOT = ("model_params.json", "model_history.csv", "tokenizer/")
_READ: dict[str, tuple[str, ...]] = {
    # Rejects have no manifest that names the files to keep, so old ones must be here to be seen as deleted. A model is moved
    # where it is of the other kind. To the ledger a noised vocabulary is added.
    "tokenize": (*_ROOT, "rejects/", "private/rejects/", "private/spent.json", "model/"),
    "train": (*_ROOT, "training_data/", "rejects/", "model/", "private/", ".next/"),
    # Where records are replaced, the report of those before is marked.
    "generate": (*_ROOT, "model/", "report/", "private/report/"),
    "evaluate": (*_ROOT, "model/", "training_data/", "private/", "synthetic/"),
    "run": (*_ROOT, "training_data/", "rejects/", "model/", "private/", ".next/", "report/"),
    "export": (*_ROOT, "model/"),
    "plan": (*_ROOT, "model/", "private/training_data/statistics.json", "training_data/statistics.json"),
    "files": ("model_params.json", "model/privacy.json"),
    "compare": ("report/", "private/report/"),
}
_READ_ONLY = ("export", "plan", "compare")  # commands that never write to the bucket
_SMALL_FILES = path_settings("small")
_GENERATION_FILES = [name for name in _SMALL_FILES if stage_of(fields()[name]) == "generate"]
_TRAINING_FILES = [name for name in _SMALL_FILES if name not in _GENERATION_FILES]


def set_filesystem_options(beam_args: Sequence[str] = ()) -> None:
    """Set the options of Beam's file systems, such as `--s3_endpoint_url` and `--s3_region_name`.

    Args:
        beam_args: Beam pipeline options, as on a command line.
    """
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    FileSystems.set_options(PipelineOptions(list(beam_args)))


def connect(address: str, option: str, beam_args: Sequence[str] = ()) -> None:
    """Check that a bucket address can be used and reached, and set the options of Beam's file systems for it.

    Args:
        address: bucket address.
        option: the option that named it, for messages.
        beam_args: Beam pipeline options, as on a command line.

    Raises:
        ParameterError: LS106, LS127: the address cannot be used with this installation.
        DataError: LS213, the store refuses access or cannot be reached.
    """
    check_address(address, option)
    set_filesystem_options(beam_args)
    store_clients.check_reachable(address)


@contextlib.contextmanager
def local_copy(address: str, option: str, beam_args: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a local copy of one remote file, of the same name, that is deleted when the block ends.

    Args:
        address: bucket address of the file.
        option: the option that named it, for messages.
        beam_args: Beam pipeline options, as on a command line.

    Raises:
        ParameterError: as `connect`.
        DataError: LS213, the file cannot be read.
    """
    connect(address, option, beam_args)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / Path(address).name
        storage.fetch(address, copy)
        yield copy


@contextlib.contextmanager
def open_local_run(address: str, stage: str, beam_args: Sequence[str] = ()) -> Iterator[tuple[str, Mirror | None]]:
    """Yield a local path of a run directory, and the mirror behind it.

    A local path is yielded unchanged, without a mirror. While the block runs, errors of Linesmith are raised again with the
    bucket address in place of the local folder.

    Args:
        address: path or bucket address of the run directory.
        stage: the command, a key of `_READ`: it decides which files are copied, and whether changes are published.
        beam_args: Beam pipeline options, as on a command line.

    Raises:
        ParameterError: as `connect`.
        DataError: LS203, LS213: another process works on the run directory, or the store failed.
    """
    if not is_remote(address):
        yield address, None
        return
    connect(address, "--output", beam_args)
    read = _READ[stage]
    opened = open_mirror(
        address.rstrip("/"), lambda name: name.startswith(read), _localize_params, writes=stage not in _READ_ONLY
    )
    with opened as mirror, _remote_addresses_in_errors(mirror):
        yield str(mirror.folder), mirror


@contextlib.contextmanager
def config_with_local_paths(
    config: TensorFlowConfig, stage: str, beam_args: Sequence[str] = ()
) -> Iterator[tuple[TensorFlowConfig, Mirror | None]]:
    """Yield a configuration whose run directory and small files are local, and the mirror of the run directory.

    Args:
        config: the settings; `checkpoint_dir` is a path or a bucket address.
        stage: as `open_local_run` takes it.
        beam_args: Beam pipeline options, as on a command line.

    Raises:
        ParameterError: as `open_local_run`, `check_table_catalog` and `fetch_named_files`.
        DataError: as `open_local_run`.
    """
    paths = [config.checkpoint_dir, config.privacy_ledger, *(getattr(config, name) for name in fetched_settings(stage))]
    if config.checkpoint_dir is None or not any(is_remote(str(path)) for path in paths):
        yield config, None
        return
    set_filesystem_options(beam_args)
    with open_local_run(config.checkpoint_dir, stage, beam_args) as (root, mirror):
        check_table_catalog(config, mirror)
        if mirror is not None:
            config = config.replace(checkpoint_dir=root)
        yield with_fetched_files(config, stage), mirror


def fetched_settings(stage: str) -> list[str]:
    """Return the settings that name small files which a stage opens.

    A stage that works on a finished run leaves the others alone: who made that run may have chosen the addresses.

    Args:
        stage: as `open_local_run` takes it.
    """
    return {"tokenize": _SMALL_FILES, "train": _SMALL_FILES, "run": _SMALL_FILES, "generate": _GENERATION_FILES}.get(
        stage, []
    )


def with_fetched_files(config: TensorFlowConfig, stage: str) -> TensorFlowConfig:
    """Return a configuration whose small files are copied from their buckets to the run directory.

    Args:
        config: the settings; `checkpoint_dir` is a local path.
        stage: the stage that opens the files, as `open_local_run` takes it.

    Raises:
        ParameterError: as `fetch_named_files`.
        DataError: as `fetch_named_files`.
    """
    wanted = fetched_settings(stage)
    named = {name: getattr(config, name) for name in (*wanted, "privacy_ledger")}
    fetched = fetch_named_files(named, Path(str(config.checkpoint_dir)) / INPUTS)
    changed = {name: fetched[name] for name in wanted if fetched.get(name) != getattr(config, name)}
    return config.replace(**changed) if changed else config


def fetch_named_files(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Copy the small files that settings name from their buckets, and return settings that name the copies.

    Args:
        settings: values by setting name; unknown names are returned unchanged.
        folder: where copies go, each below a directory named after a digest of its address.

    Raises:
        ParameterError: LS315, the privacy ledger is in a bucket.
        DataError: LS213, a file cannot be read.
    """
    local = dict(settings)
    ledger = local.get("privacy_ledger")
    if ledger is not None and is_remote(str(ledger)):
        raise ParameterError(
            "LS315",
            f"--privacy-ledger '{ledger}'",
            "in a bucket, which has no lock, so that two trainings could each forget what the other spent",
            "Give a path on a local or mounted file system.",
        )
    for name in _SMALL_FILES:
        address = local.get(name)
        if isinstance(address, str) and is_remote(address):
            check_address(address, flag_name(name))
            copy = _place_of_copy(address, folder)
            storage.fetch(address, copy)
            local[name] = str(copy)
    return local


def _place_of_copy(address: str, folder: Path) -> Path:
    """Return the path of the local copy of a small file, and note the address, which published files name instead."""
    digest = hashlib.sha256(address.encode()).hexdigest()[:16]
    write_json(folder / f"{digest}.json", address)  # read by `Mirror.with_remote_addresses`
    return folder / digest / Path(address).name


def check_table_catalog(config: TensorFlowConfig, mirror: Mirror | None) -> None:
    """Refuse a table whose catalog would lie in the local copy of a remote run directory.

    Args:
        config: the settings.
        mirror: the mirror of the run directory; None where it is the user's own path.

    Raises:
        ParameterError: LS124, there is such a table.
    """
    if mirror is not None and config.iceberg_table is not None and config.iceberg_catalog is None:
        raise ParameterError(
            "LS124",
            "--iceberg-table",
            "without --iceberg-catalog its catalog is kept in the run directory, which must then be a local path",
            "Name a catalog, or another --output.",
        )


def with_remote_addresses(report: StageReport, mirror: Mirror | None) -> StageReport:
    """Replace local paths by bucket addresses in a report, in place, and return it.

    Args:
        report: the outputs and notices of a stage.
        mirror: the open mirror of the run directory; None leaves the report unchanged.
    """
    if mirror is not None:
        report.outputs = {name: mirror.with_remote_addresses(path) for name, path in report.outputs.items()}
        report.notices = [mirror.with_remote_addresses(notice) for notice in report.notices]
    return report


def after_publishing(show: Callable[[StageReport], T], mirror: Mirror | None) -> Callable[[StageReport], T]:
    """Return a function that publishes what a stage made and then shows its report.

    Args:
        show: takes the report, in which paths are bucket addresses.
        mirror: the open mirror of the run directory; None publishes nothing.
    """

    def publish_and_show(report: StageReport) -> T:
        if mirror is not None:
            mirror.publish()
        return show(with_remote_addresses(report, mirror))

    return publish_and_show


@contextlib.contextmanager
def _remote_addresses_in_errors(mirror: Mirror) -> Iterator[None]:
    """Replace the local folder by the address that the user typed in errors of the block."""
    try:
        yield
    except LinesmithError as error:
        raise error.with_message(mirror.with_remote_addresses(str(error))) from error.__cause__


def _localize_params(params: Path, inputs: Path) -> None:
    """Let a copied `model_params.json` name the local copies of training's small files, as the settings of a resumed run do.

    Nothing is fetched: who made the run directory may have chosen the addresses.
    """
    stored = read_json(params, "the settings of the model")
    if not isinstance(stored, dict):
        return
    named = {name: stored[name] for name in _TRAINING_FILES if is_bucket(str(stored.get(name)))}
    if named:
        write_json(params, {**stored, **{name: str(_place_of_copy(path, inputs)) for name, path in named.items()}})
