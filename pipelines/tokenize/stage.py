"""The tokenize stage: from lines of input to encoded training data.

The input is read three times, with `dp` twice: the first pass finds the shape of the records, the second fits the tokenizer and
counts, the third encodes and writes. Only counts are kept between the passes, so that memory does not grow with the input.
Everything is written to scratch space in the run directory and moved into place together; the manifest, written last, marks it
as complete.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.other_kind import refuse_other_kind
from linesmith.core.artifacts.params import redact_settings
from linesmith.core.artifacts.plain_paths import plain_alias
from linesmith.core.artifacts.run_directory import check_overwrite_allowed, locked, run_directory, workspace
from linesmith.core.config import preflight
from linesmith.core.config.input_format import CSV, ICEBERG
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.core.library_logging import quiet_calls
from linesmith.pipelines.other_kind import replace_other_kind
from linesmith.pipelines.remote.local_paths import config_with_local_paths, with_remote_addresses
from linesmith.pipelines.stage_report import StageReport, measured_stage
from linesmith.pipelines.tokenize.column_roles import describe_roles, with_column_roles, with_table_roles
from linesmith.pipelines.tokenize.fit import fit_tokenizer
from linesmith.pipelines.tokenize.likely_delimiter import note_likely_delimiter
from linesmith.pipelines.tokenize.model_form import with_model_form
from linesmith.pipelines.tokenize.personal_data import look_for_personal_data
from linesmith.pipelines.tokenize.publish import STATISTICS, TokenizeResult, check_splits, publish_training_data
from linesmith.pipelines.tokenize.sample import sample_input
from linesmith.pipelines.tokenize.shape import find_shape, share_out_frequent_texts, skipped_line_notices
from linesmith.pipelines.tokenize.source import describe_source, with_input_format
from linesmith.records.input.input_ranges import InputUnit, plan_input_units, replace_ranges
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
from linesmith.records.roles.stored_roles import write_roles

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.transforms.encode_records import EncodedUnit, EncodeSettings
    from linesmith.transforms.read_records import RangeCount

_log = logging.getLogger("linesmith")


@quiet_calls()
def tokenize(config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> StageReport:
    """Read the input, fit a tokenizer, and write training data, rejects and statistics to the run directory.

    Args:
        config: the settings; `checkpoint_dir` is the run directory, a path or a bucket address.
        beam_args: Beam pipeline options, as on a command line.

    Returns:
        Counts, outputs and notices.

    Raises:
        ParameterError: a setting cannot work with this data or this machine.
        DataError: the input cannot be used, or the run directory is complete or in use.
    """
    with config_with_local_paths(config, "tokenize", beam_args) as (local_config, mirror):
        source_config = with_input_format(local_config)
        preflight.check(source_config, "tokenize")
        with locked(run_directory(source_config)):
            report = tokenize_locked(source_config, beam_args)
        return with_remote_addresses(report, mirror)


def tokenize_locked(config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> StageReport:
    """Tokenize, for a caller that holds the run directory's lock.

    Args:
        config: the settings, with local paths.
        beam_args: Beam pipeline options, as on a command line.

    Returns:
        Counts, outputs and notices.

    Raises:
        ParameterError: as `tokenize`.
        DataError: as `tokenize`.
    """
    from linesmith.runners import check_shared_paths, pipeline_options, runner_name

    refuse_other_kind(config)
    run, staged_run = run_directory(config), workspace(config)
    check_overwrite_allowed(staged_run.training_data, "set of training data", config.overwrite)
    with measured_stage("tokenize") as report:
        options = pipeline_options(beam_args)
        # Named uniquely: workers of an earlier command may still be running, and must not write among these files.
        scratch = run.temporary.absolute() / f"tokenize-{uuid.uuid4().hex[:12]}"
        check_shared_paths(
            options,
            {"--output": staged_run.root},
            {"--output: its folder for training data, which tf.Transform's temp_dir is in": scratch},
        )
        for name in ("data", "rejects", "tokenizer"):
            (scratch / name).mkdir(parents=True)
        try:
            with plain_alias(scratch) as plain_scratch:
                result = _read_input(config, plain_scratch, options, report)
                check_splits(config, result, report)
                # As late as possible: where tokenize fails, a model of the other kind stays.
                replace_other_kind(config, report)
                staged_run = workspace(config)
                staged_run.make_closed_directories()
                publish_training_data(config, staged_run, scratch, result, runner_name(options), report)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return report


def is_current(config: TensorFlowConfig) -> bool:
    """Return whether the run directory has complete training data of these settings and this input.

    Under `overwrite` other training data give False. The seed is not compared, since tokenize does not depend on it.

    Args:
        config: the settings, with local paths.

    Raises:
        DataError: LS215, the training data are of other settings or other input and `overwrite` is off; the message names
            the differences.
    """
    from linesmith.transforms.find_inputs import input_digests

    staged_run = workspace(config)
    manifest = read_manifest(staged_run.training_data)
    if manifest is None:
        return False
    before = {"input_format": "text", **manifest.get("settings", {})}  # an earlier version knew no other
    now = redact_settings(config.stage_settings("tokenize"))
    differences = [
        f"{name} was {before.get(name)!r} and is now {value!r}"
        for name, value in now.items()
        if before.get(name) != value
    ]
    if list(input_digests(config).values()) != [file["digest"] for file in manifest.get("inputs", {}).values()]:
        differences.append("the content of input_data_path is not the same")
    if differences and not config.overwrite:
        raise DataError(
            "LS215",
            None,
            f"the training data in '{staged_run.training_data}' are of other settings: {'; '.join(differences)}",
            "Give the same settings, another --output, or --overwrite to begin anew.",
        )
    return not differences


def _read_input(
    config: TensorFlowConfig, scratch: Path, options: PipelineOptions, report: StageReport
) -> TokenizeResult:
    """Find the shape of the records, fit the tokenizer, and encode the records. All is written to `scratch`."""
    from linesmith.runners import check_shared_paths, idle_worker_notice
    from linesmith.transforms.csv_index import with_cuts
    from linesmith.transforms.encode_records import EncodeSettings
    from linesmith.transforms.find_inputs import find_inputs, input_digests
    from linesmith.transforms.read_records import ReadSettings

    if config.input_format == ICEBERG:  # of the same snapshot, whatever is committed meanwhile
        files = find_inputs(config, scratch / "fetched")
        digests = input_digests(config, files)
    else:
        digests = input_digests(config)
        files = find_inputs(config, scratch / "fetched")
    settings = ReadSettings(
        RecordFormat.from_config(config),
        DatasetSplitter(config.holdout_fraction, config.validation_split),
        config.header,
    )
    for file in files:
        check_shared_paths(options, {"--input": file.path})
    report.notices += skipped_line_notices(files)
    if config.input_format == CSV:
        files = with_cuts(files, settings.records.fields)
    units = plan_input_units(files)
    table = describe_source(config, files, units, options, scratch, report.notices)
    if table is None:
        settings, source_columns = with_column_roles(config, units, settings)
    else:
        settings, source_columns = with_table_roles(config, table, settings), list(table.field_names)
    note_likely_delimiter(config, units, settings, report.notices)
    units = sample_input(config, units, settings, options, scratch, report.notices)
    units, settings = find_shape(config, units, settings, options, scratch, report.notices)
    personal_data = look_for_personal_data(config, units, settings, report.notices)
    roles = describe_roles(config, source_columns, units, settings, options, scratch, table)
    if roles is not None:
        write_roles(scratch / "data", roles)
    idle = idle_worker_notice(options, "tokenize", len(units))
    if idle is not None:
        report.notices.append(idle)
    settings, columns = with_model_form(config, units, settings)
    counts, tokenizer = fit_tokenizer(config, units, settings, options, scratch, report.notices)
    tokenizer.save(scratch / "tokenizer")
    units, settings = share_out_frequent_texts(units, counts, settings, report.notices)
    _log.info("tokenize: %d records; encoding", sum(count.accepted for count in counts))
    encode_settings = EncodeSettings(
        settings,
        tokenizer=str(scratch / "tokenizer"),
        graph=str(scratch / "data"),
        data=str(scratch / "data"),
        rejects=str(scratch / "rejects"),
        conditions=len(config.condition_on or ()),
        # What private records tell of each other must not shape the network.
        finds_parents=config.field_delimiter is not None and not config.dp,
    )
    encoded_units = _encode(_with_line_numbers(units, counts), encode_settings, options, scratch)
    return TokenizeResult(
        files,
        digests,
        tokenizer,
        counts,
        encoded_units,
        settings.field_count,
        len(settings.frequent),
        columns,
        table,
        personal_data,
    )


def _encode(
    units: list[InputUnit], settings: EncodeSettings, options: PipelineOptions, scratch: Path
) -> list[EncodedUnit]:
    """Run the second pass, and return what each unit gave."""
    import apache_beam as beam

    from linesmith.transforms.collect_json import read_collected
    from linesmith.transforms.encode_records import EncodedUnit, EncodeRecords
    from linesmith.transforms.tfrecord_shards import SplitCount
    from linesmith.transforms.worker_errors import reraise_worker_errors

    results = scratch / "results.json"
    with reraise_worker_errors(), beam.Pipeline(options=options) as pipeline:
        _ = pipeline | EncodeRecords(units, settings, results, scratch / "data" / STATISTICS)
    return [
        EncodedUnit(
            unit["index"],
            splits={name: SplitCount(**count) for name, count in unit["splits"].items()},
            digests=unit["digests"],
        )
        for unit in read_collected(results)
    ]


def _with_line_numbers(units: list[InputUnit], counts: list[RangeCount]) -> list[InputUnit]:
    """Return the units with the number of each range's first line, which rejects are reported by.

    Only the first pass can tell these numbers: a range begins at a byte of a file.
    """
    lines = {(count.file, count.start): count.lines for count in counts}
    ranges, file, line = [], "", 1
    for unit in units:
        for source in unit.ranges:
            line = line if source.file.name == file else 1 + len(source.file.skipped)
            file = source.file.name
            ranges.append(replace(source, first_line=line))
            line += lines[file, source.start]
    return replace_ranges(units, ranges)
