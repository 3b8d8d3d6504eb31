"""Start strings of a run: encoded and numbered on disk, as many as there are, before the first record is sampled."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.files import sha256_file
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.generation.start_string_encoding import (
    ONE,
    configured_start_strings,
    empty_start_strings_error,
    encode_start_strings,
    iter_encoded_start_strings,
)
from linesmith.model.generation.start_string_store import (
    clear_store_cache,
    plan_start_string_units,
    write_start_strings,
    write_store_counts,
)
from linesmith.model.generation.work_units import WorkUnit, plan_units
from linesmith.model.tokenizers import tokenizer_from_model_dir

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


@dataclass(frozen=True)
class StartStringPlan:
    """The work, with its start strings.

    Attributes:
        units: the work; one empty unit where nothing is asked for.
        paired: each record has a start string of its own.
        identity: what a manifest says about the start strings; None where there are none.
    """

    units: list[WorkUnit]
    paired: bool
    identity: dict[str, Any] | None = None


def is_paired(config: TensorFlowConfig) -> bool:
    """Whether the settings give each record a start string of its own."""
    return config.start_strings_file is not None or isinstance(config.start_string, list)


def plan_start_strings(
    config: TensorFlowConfig, run: RunDirectory, field_count: int | None, options: PipelineOptions
) -> StartStringPlan:
    """Encode the start strings, and cut the run into units.

    Raises:
        ParameterError: LS108, a start string or a file of them cannot be used.
    """
    if not is_paired(config):
        text = config.start_string
        if not isinstance(text, str):
            return StartStringPlan(plan_units(config.gen_lines, config.unit_size) or [WorkUnit(0, 0, 0)], False)
        encoded = encode_start_strings([text], tokenizer_from_model_dir(run.root), ONE, field_count)
        units = plan_units(config.gen_lines, config.unit_size, encoded) or [WorkUnit(0, 0, 0)]
        return StartStringPlan(units, False, {"count": 1, "sha256": hashlib.sha256(text.encode()).hexdigest()})
    store = run.temporary / "seeds"
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir(parents=True)
    clear_store_cache()
    if config.start_strings_file is None:
        starts = iter_encoded_start_strings(
            configured_start_strings(config) or [], tokenizer_from_model_dir(run.root), ONE, field_count
        )
        counts = [write_start_strings(store, 0, starts)]
    else:
        counts = _from_files(config, run, field_count, store, options)
    seeds, copies = write_store_counts(store, counts), config.records_per_seed
    if seeds == 0:
        raise empty_start_strings_error(str(config.start_strings_file))
    units = plan_start_string_units(str(store.absolute()), seeds, copies, config.unit_size)
    return StartStringPlan(
        units, True, {"count": seeds, "records_per_seed": copies, "sha256": _digest(store, len(counts))}
    )


def _from_files(
    config: TensorFlowConfig, run: RunDirectory, field_count: int | None, store: Path, options: PipelineOptions
) -> list[int]:
    from linesmith.transforms.encode_start_strings import (
        StartStringFile,
        StartStringSettings,
        encode_start_string_file,
        match_start_string_files,
    )

    given = str(config.start_strings_file)
    files = [StartStringFile(number, path) for number, path in enumerate(match_start_string_files(given))]
    settings = StartStringSettings(
        str(run.root.absolute()), config.start_strings_field, field_count, str(store.absolute())
    )
    if len(files) == 1:  # a pipeline of one element has nothing to spread
        results = [encode_start_string_file(files[0], settings, tokenizer_from_model_dir(run.root))]
    else:
        results = _in_parallel(files, settings, store, options)
    for result in results:
        if result.error is not None:
            raise ParameterError(result.error, code="LS108")
    return [result.count for result in results]


def _in_parallel(files: Iterable[Any], settings: Any, store: Path, options: PipelineOptions) -> list[Any]:
    import apache_beam as beam

    from linesmith.transforms.collect_json import read_collected
    from linesmith.transforms.encode_start_strings import EncodeStartStrings, StartStringCount

    results = store.absolute() / "results.json"
    with beam.Pipeline(options=options) as pipeline:
        _ = pipeline | "Files" >> beam.Create(list(files), reshuffle=False) | EncodeStartStrings(settings, results)
    return sorted((StartStringCount(**one) for one in read_collected(results)), key=lambda one: one.number)


def _digest(store: Path, files: int) -> str:
    """Of all start strings in order, however they were spread over files."""
    digest = hashlib.sha256()
    for number in range(files):
        digest.update(bytes.fromhex(sha256_file(store / f"seeds-{number:05d}.bin")))
    return digest.hexdigest()
