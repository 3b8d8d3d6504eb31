"""The tokenize stage: lines in, training data out.

The input is read twice: once to fit the tokenizer and count, once to encode and write. Between the passes nothing is kept
but counts, so memory stays flat however large the input is. Everything grows in the run's scratch space and is put in
place together; the manifest, written last, makes it complete.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.run_directory import (
    RunDirectory,
    check_overwrite_allowed,
    locked,
    run_directory,
    workspace,
)
from linesmith.core.config import preflight
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.pipelines.remote.local_paths import accepts_remote_run_directory
from linesmith.pipelines.stage_report import StageReport, measured
from linesmith.pipelines.tokenize.fit import fit
from linesmith.pipelines.tokenize.publish import STATISTICS, TokenizeResult, check_splits, publish
from linesmith.records.input.input_ranges import Unit, plan_units, replace_ranges
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.transforms.encode_records import UnitResult
    from linesmith.transforms.read_records import RangeCount

_log = logging.getLogger("linesmith")


@accepts_remote_run_directory("tokenize")
def tokenize(config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> StageReport:
    """Read the input, fit a tokenizer, and write training data, rejects and statistics to the run directory.

    Args:
        config: the settings; `checkpoint_dir` is the run directory.
        beam_args: Beam pipeline options, as on a command line.

    Raises:
        ParameterError: a setting cannot work with this data or this machine.
        DataError: the input cannot be used, or the run directory is complete or in use.
    """
    preflight.check(config, "tokenize")
    with locked(run_directory(config)):
        return tokenize_locked(config, beam_args)


def tokenize_locked(config: TensorFlowConfig, beam_args: Sequence[str] = ()) -> StageReport:
    """`tokenize` for a caller that holds the run directory's lock."""
    from linesmith.runners import check_shared_paths, pipeline_options

    space = workspace(config)
    check_overwrite_allowed(space.training_data, "set of training data", config.overwrite)
    with measured("tokenize") as report:
        options = pipeline_options(beam_args)
        # A name of its own: workers of a former command that still run must not write among these files.
        scratch = space.temporary.absolute() / f"tokenize-{uuid.uuid4().hex[:12]}"
        check_shared_paths(
            options,
            {"--output": space.root},
            {"--output: its folder for training data, which tf.Transform's temp_dir is in": scratch},
        )
        shutil.rmtree(scratch, ignore_errors=True)
        for name in ("data", "rejects", "tokenizer"):
            (scratch / name).mkdir(parents=True)
        try:
            _Stage(config, space, scratch, options, report).run()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return report


def is_current(config: TensorFlowConfig) -> bool:
    """Whether complete training data of these settings and this input lie in the run directory.

    False also where `overwrite` makes a difference harmless. The seed is not compared: nothing here depends on it.

    Raises:
        DataError: they are of other settings or other input, and may not be overwritten; the message names what differs.
    """
    from linesmith.transforms.find_inputs import input_digests

    space = workspace(config)
    manifest = read_manifest(space.training_data)
    if manifest is None:
        return False
    before = manifest.get("settings", {})
    now = config.stage_settings("tokenize")
    different = [
        f"{name} was {before.get(name)!r} and is now {value!r}"
        for name, value in now.items()
        if before.get(name) != value
    ]
    if list(input_digests(config).values()) != [known["digest"] for known in manifest.get("inputs", {}).values()]:
        different.append("the content of input_data_path is not the same")
    if different and not config.overwrite:
        raise DataError(
            f"LS204: the training data in '{space.training_data}' are of other settings: {'; '.join(different)}. "
            "Give the same settings, another --output, or --overwrite to begin anew.",
            code="LS204",
        )
    return not different


@dataclass
class _Stage:
    """One run of the stage: what its steps share."""

    config: TensorFlowConfig
    space: RunDirectory
    scratch: Path
    options: PipelineOptions
    report: StageReport

    def run(self) -> None:
        from linesmith.runners import check_shared_paths, idle_worker_notice, runner_name
        from linesmith.transforms.encode_records import EncodeSettings
        from linesmith.transforms.find_inputs import find_inputs, input_digests
        from linesmith.transforms.read_records import ReadSettings, take_first

        config = self.config
        digests = input_digests(config)
        files = find_inputs(config, self.scratch / "fetched")
        settings = ReadSettings(
            RecordFormat.of(config), DatasetSplitter(config.holdout_fraction, config.validation_split), config.header
        )
        for file in files:
            check_shared_paths(self.options, {"--input": file.path})
        units = plan_units(files)
        if config.max_lines:
            units = take_first(units, settings, config.max_lines)
        idle = idle_worker_notice(self.options, "tokenize", len(units))
        if idle is not None:
            self.report.notices.append(idle)
        counts, tokenizer = fit(config, units, settings, self.options, self.scratch, self.report.notices)
        tokenizer.save(self.scratch / "tokenizer")
        _log.info("tokenize: %d records; encoding", sum(count.accepted for count in counts))
        encode = EncodeSettings(
            settings,
            tokenizer=str(self.scratch / "tokenizer"),
            graph=str(self.scratch / "data"),
            data=str(self.scratch / "data"),
            rejects=str(self.scratch / "rejects"),
        )
        results = self._encode(_with_line_numbers(units, counts), encode)
        done = TokenizeResult(files, digests, tokenizer, counts, results)
        check_splits(config, done, self.report)
        publish(config, self.space, self.scratch, done, runner_name(self.options), self.report)

    def _encode(self, units: list[Unit], settings: Any) -> list[UnitResult]:
        import apache_beam as beam

        from linesmith.transforms.collect_json import read_collected
        from linesmith.transforms.encode_records import EncodeRecords, UnitResult
        from linesmith.transforms.tfrecord_shards import SplitCount
        from linesmith.transforms.worker_errors import reraise_worker_errors

        results = self.scratch / "results.json"
        with reraise_worker_errors(), beam.Pipeline(options=self.options) as pipeline:
            _ = pipeline | EncodeRecords(units, settings, results, self.scratch / "data" / STATISTICS)
        return [
            UnitResult(
                one["index"],
                splits={name: SplitCount(**count) for name, count in one["splits"].items()},
                digests=one["digests"],
            )
            for one in read_collected(results)
        ]


def _with_line_numbers(units: list[Unit], counts: list[RangeCount]) -> list[Unit]:
    """The units, now that the first pass has told which line each range begins with: rejects are reported by line."""
    lines = {(count.file, count.start): count.lines for count in counts}
    ranges, file, line = [], "", 1
    for unit in units:
        for source in unit.ranges:
            line = line if source.file.name == file else 1
            file = source.file.name
            ranges.append(replace(source, first_line=line))
            line += lines[file, source.start]
    return replace_ranges(units, ranges)
