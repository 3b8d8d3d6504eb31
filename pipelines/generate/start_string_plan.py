"""Start strings of a run: all of them are encoded and numbered on disk before the first record is sampled."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.files import sha256_file
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.generation.requests.start_string_encoding import (
    START_STRING_OPTION,
    configured_start_strings,
    empty_start_strings_error,
    encode_start_strings,
    iter_encoded_start_strings,
)
from linesmith.model.generation.requests.start_string_store import (
    clear_store_cache,
    plan_start_string_units,
    write_start_strings,
    write_store_counts,
)
from linesmith.model.generation.work_units import WorkUnit, plan_work_units
from linesmith.model.tokenizers import tokenizer_from_model_dir

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.transforms.encode_start_strings import StartStringCount, StartStringFile, StartStringSettings

EMPTY_UNIT = WorkUnit(0, 0, 0)  # so that every output format gets its empty shard


@dataclass(frozen=True)
class StartStringPlan:
    """Work units with their start strings.

    Attributes:
        units: the work units, in order; one empty unit where no record is requested.
        paired: whether each record has a start string of its own.
        identity: count and digest of the start strings, for the manifest; None where there are none.
        notices: sentences that the user should read.
    """

    units: list[WorkUnit]
    paired: bool
    identity: dict[str, Any] | None = None
    notices: tuple[str, ...] = ()


def is_paired(config: TensorFlowConfig) -> bool:
    """Return whether the settings give each record a start string of its own: a list or a file of them, or partial records."""
    files = (config.start_strings_file, config.where_file, config.impute)
    return any(file is not None for file in files) or isinstance(config.start_string, list)


def start_string_store(run: RunDirectory) -> Path:
    """Return the directory where the paired start strings of a run are stored, encoded."""
    return run.temporary / "seeds"


def plan_start_strings(
    config: TensorFlowConfig, run: RunDirectory, field_count: int | None, options: PipelineOptions
) -> StartStringPlan:
    """Encode the start strings, and divide the run into units.

    Args:
        config: the settings, with local paths.
        run: the run directory with the tokenizer; paired start strings are stored there.
        field_count: number of fields of every record, where it is known.
        options: pipeline options; several files of start strings are encoded by a pipeline.

    Raises:
        ParameterError: LS108, a start string or a file of them cannot be used.
    """
    if is_paired(config):
        return _plan_paired(config, run, field_count, options)
    text = config.start_string
    if not isinstance(text, str):
        return StartStringPlan(plan_work_units(config.gen_lines, config.unit_size) or [EMPTY_UNIT], False)
    encoded = encode_start_strings([text], tokenizer_from_model_dir(run.root), START_STRING_OPTION, field_count)
    units = plan_work_units(config.gen_lines, config.unit_size, encoded) or [EMPTY_UNIT]
    return StartStringPlan(units, False, {"count": 1, "sha256": hashlib.sha256(text.encode()).hexdigest()})


def _plan_paired(
    config: TensorFlowConfig, run: RunDirectory, field_count: int | None, options: PipelineOptions
) -> StartStringPlan:
    from linesmith.transforms.encode_start_strings import StartStringSettings, match_start_string_files

    store = new_store(run)
    if config.start_strings_file is None:
        encoded = iter_encoded_start_strings(
            configured_start_strings(config) or [], tokenizer_from_model_dir(run.root), START_STRING_OPTION, field_count
        )
        counts = [write_start_strings(store, 0, encoded)]
    else:
        column = config.start_strings_field
        settings = StartStringSettings(str(run.root.absolute()), column, field_count, str(store.absolute()))
        files = match_start_string_files(str(config.start_strings_file))
        counts = [result.count for result in encode_files(files, settings, "LS108", store, options)]
    total = write_store_counts(store, counts)
    if total == 0:
        raise empty_start_strings_error(str(config.start_strings_file))
    return paired_plan(config, store, total, len(counts))


def new_store(run: RunDirectory) -> Path:
    """Make an empty store for the paired start strings of a run, and return its directory."""
    store = start_string_store(run)
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir(parents=True)
    clear_store_cache()  # of an earlier run in this process, whose store had the same path
    return store


def paired_plan(config: TensorFlowConfig, store: Path, total: int, num_files: int) -> StartStringPlan:
    """Return the plan of a run over a complete store.

    Args:
        config: the settings.
        store: directory of the store.
        total: start strings in it, at least one.
        num_files: pairs of files in it.
    """
    copies = config.records_per_seed
    units = plan_start_string_units(str(store.absolute()), total, copies, config.unit_size)
    identity = {"count": total, "records_per_seed": copies, "sha256": _store_digest(store, num_files)}
    return StartStringPlan(units, True, identity)


def encode_files(
    paths: Sequence[str], settings: StartStringSettings, code: str, store: Path, options: PipelineOptions
) -> list[StartStringCount]:
    """Encode files into a store.

    Args:
        paths: the files, in the order of their start strings.
        settings: how they are encoded.
        code: of the error for a file that cannot be used.
        store: directory of the store.
        options: pipeline options; several files are encoded by a pipeline.

    Returns:
        What was counted in each.

    Raises:
        ParameterError: a file cannot be used.
    """
    from linesmith.transforms.encode_start_strings import StartStringFile, encode_start_string_file

    files = [StartStringFile(number, path) for number, path in enumerate(paths)]
    if len(files) == 1:  # a pipeline would have nothing to distribute
        results = [encode_start_string_file(files[0], settings, tokenizer_from_model_dir(settings.run_dir))]
    else:
        results = _encode_on_workers(files, settings, store, options)
    for result in results:
        if result.error is not None:
            raise ParameterError.from_message(code, result.error)
    return results


def _encode_on_workers(
    files: list[StartStringFile], settings: StartStringSettings, store: Path, options: PipelineOptions
) -> list[StartStringCount]:
    """Encode files into the store with a pipeline, and return what was counted in each, in order."""
    import apache_beam as beam

    from linesmith.transforms.collect_json import read_collected
    from linesmith.transforms.encode_start_strings import EncodeStartStrings, StartStringCount

    results = store.absolute() / "results.json"
    with beam.Pipeline(options=options) as pipeline:
        _ = pipeline | "Files" >> beam.Create(files, reshuffle=False) | EncodeStartStrings(settings, results)
    counts = (StartStringCount(**fields) for fields in read_collected(results))
    return sorted(counts, key=lambda count: count.number)


def _store_digest(store: Path, num_files: int) -> str:
    """Return a digest of the encoded start strings, file by file in order."""
    digest = hashlib.sha256()
    for number in range(num_files):
        digest.update(bytes.fromhex(sha256_file(store / f"seeds-{number:05d}.bin")))
    return digest.hexdigest()
