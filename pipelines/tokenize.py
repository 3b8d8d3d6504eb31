"""The tokenize stage: lines in, training data out.

The input is read twice: once to fit the tokenizer and count, once to encode and write. Between the passes nothing is kept
but counts, so memory stays flat however large the input is. Everything grows in the run's scratch space and is put in
place together; the manifest, written last, makes it complete.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model import preflight
from model.config import TensorFlowConfig
from model.errors import DataError, TooFewRecordsError
from model.files import read_json, replace_directory, sha256_file, sha256_tree, write_json
from model.input_plan import Unit, plan_units, renumber
from model.manifest import read_manifest, write_manifest
from model.privacy_checks import key_field_number
from model.records import SPLITS, RecordFormat, Splitter
from model.run_dir import RunDirectory, locked, refuse_complete, run_directory, workspace
from pipelines.fitting import fit
from pipelines.remote_run import in_buckets_too
from pipelines.report import StageReport, measured

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from model.input_files import InputFile
    from model.tokenizers.base import Tokenizer
    from transforms.encode_records import UnitResult
    from transforms.read_records import RangeCount

_log = logging.getLogger("linesmith")
STATISTICS = "statistics.json"


@in_buckets_too("tokenize")
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
    from runners import check_places, pipeline_options

    space = workspace(config)
    refuse_complete(space.training_data, "set of training data", config.overwrite)
    with measured("tokenize") as report:
        options = pipeline_options(beam_args)
        # A name of its own: workers of a former command that still run must not write among these files.
        scratch = space.temporary.absolute() / f"tokenize-{uuid.uuid4().hex[:12]}"
        check_places(
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
    from transforms.find_inputs import input_digests

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
        from runners import check_places, idle_workers
        from transforms.encode_records import EncodeSettings
        from transforms.find_inputs import find_inputs, input_digests
        from transforms.read_records import ReadSettings, take_first

        config = self.config
        digests = input_digests(config)
        files = find_inputs(config, self.scratch / "fetched")
        settings = ReadSettings(
            RecordFormat.of(config), Splitter(config.holdout_fraction, config.validation_split), config.header
        )
        for file in files:
            check_places(self.options, {"--input": file.path})
        units = plan_units(files)
        if config.max_lines:
            units = take_first(units, settings, config.max_lines)
        idle = idle_workers(self.options, "tokenize", len(units))
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
        totals = _totals(counts, results)
        self._check_splits(totals)
        self._finish(tokenizer, totals, counts, _described(files, digests))

    def _encode(self, units: list[Unit], settings: Any) -> list[UnitResult]:
        import apache_beam as beam

        from transforms.collect import read_collected
        from transforms.encode_records import EncodeRecords, UnitResult
        from transforms.failures import our_errors
        from transforms.shards import SplitCount

        results = self.scratch / "results.json"
        with our_errors(), beam.Pipeline(options=self.options) as pipeline:
            _ = pipeline | EncodeRecords(units, settings, results, self.scratch / "data" / STATISTICS)
        return [
            UnitResult(one["index"], splits={name: SplitCount(**count) for name, count in one["splits"].items()})
            for one in read_collected(results)
        ]

    def _check_splits(self, totals: dict[str, Any]) -> None:
        records = {name: totals["splits"][name]["records"] for name in SPLITS}
        if sum(records.values()) != totals["accepted"]:
            raise DataError(
                f"LS209: the input changed while it was read: {totals['accepted']} records in the first pass, "
                f"{sum(records.values())} in the second. Run tokenize again on a copy that nobody writes to.",
                code="LS209",
            )
        if not records["train"]:
            raise TooFewRecordsError(
                f"LS207: too few records: of {totals['accepted']} accepted none fell on the training side "
                f"({records['validation']} validation, {records['holdout']} holdout). Give more lines, or turn off "
                "validation_split and set holdout_fraction 0.",
                code="LS207",
            )
        wanted = {"validation": self.config.validation_split, "holdout": self.config.holdout_fraction > 0}
        for name, expected in wanted.items():
            if expected and not records[name]:
                self.report.notices.append(f"no record fell on the {name} side: the data are few")

    def _finish(
        self, tokenizer: Tokenizer, totals: dict[str, Any], counts: list[RangeCount], inputs: dict[str, Any]
    ) -> None:
        """Name the shards, put everything in place, and write the manifest."""
        from runners import runner_name
        from transforms.transform_graph import write_data_schema

        data, rejects, space = self.scratch / "data", self.scratch / "rejects", self.space
        for name in SPLITS:
            _name_shards(data, f"{name}-*.tfrecord.gz", f"{name}-{{}}.tfrecord.gz")
        _name_shards(rejects, "part-*.jsonl", "part-{}.jsonl")
        columns = self.config.columns or self._header(counts)
        statistics = read_json(data / STATISTICS, "the statistics")
        head = {name: totals[name] for name in ("lines", "accepted", "rejected", "splits")}
        write_json(data / STATISTICS, {**head, "columns": columns, **statistics})
        users = key_field_number(self.config)
        write_data_schema(data / "schema.pbtxt", users is not None)
        manifest = {
            "settings": {"seed": self.config.seed, **self.config.stage_settings("tokenize")},
            "input_data_path": self.config.input_data_path,
            "inputs": inputs,
            "runner": runner_name(self.options),
            "columns": columns,
            "tokenizer_digest": tokenizer.digest,
            "data_digest": _data_digest(tokenizer, totals, users),
            "counts": {**totals, "vocab_size": tokenizer.total_vocab_size},
            "outputs": {
                "tokenizer": sha256_tree(self.scratch / "tokenizer"),
                "training_data": sha256_tree(data),
                "rejects": sha256_tree(rejects),
            },
            "notices": self.report.notices,
        }
        # Training data go first: without a manifest they are incomplete, so that no kill leaves a mixture that looks whole.
        replace_directory(data, space.training_data)
        replace_directory(self.scratch / "tokenizer", space.tokenizer)
        replace_directory(rejects, space.rejects)
        write_manifest(space.training_data, "tokenize", manifest)
        self._tell(tokenizer, totals)

    def _header(self, counts: list[RangeCount]) -> list[str] | None:
        """Names of the columns: the header of the first file, where it has one."""
        headers = [(count.file, count.columns) for count in counts if count.columns is not None]
        for file, columns in headers:
            if columns != headers[0][1]:
                self.report.notices.append(
                    f"the header of '{file}' differs from that of '{headers[0][0]}', which is used"
                )
        return headers[0][1] if headers else None

    def _tell(self, tokenizer: Tokenizer, totals: dict[str, Any]) -> None:
        shown: dict[str, int | float | str] = {name: totals[name] for name in ("lines", "accepted")}
        shown["rejected"] = sum(totals["rejected"].values())
        shown.update({f"rejected ({reason})": number for reason, number in totals["rejected"].items()})
        shown.update({name: totals["splits"][name]["records"] for name in SPLITS})
        shown["vocabulary"] = tokenizer.total_vocab_size
        self.report.counts = shown
        self.report.outputs = {
            "training data": str(self.space.training_data),
            "tokenizer": str(self.space.tokenizer),
            "rejects": str(self.space.rejects),
        }


def _described(files: list[InputFile], digests: dict[str, str]) -> dict[str, Any]:
    """Each input for the manifest. A fetched one has the digest of its content, too: its address may change its mind."""
    inputs: dict[str, Any] = {}
    for file in files:
        inputs[file.name] = {"digest": digests[file.name], "bytes": file.size}
        if digests[file.name].startswith("address:"):
            inputs[file.name]["sha256"] = sha256_file(file.path)
    return inputs


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
    return renumber(units, ranges)


def _totals(counts: list[RangeCount], results: list[UnitResult]) -> dict[str, Any]:
    from transforms.read_records import total_rejected

    splits = {
        name: {
            "records": sum(result.splits[name].records for result in results),
            "tokens": sum(result.splits[name].tokens for result in results),
            "chars": sum(result.splits[name].chars for result in results),
            "hash_sum": f"{sum(result.splits[name].hash_sum for result in results) % 2**64:016x}",
        }
        for name in SPLITS
    }
    return {
        "lines": sum(count.lines - count.headers for count in counts),
        "accepted": sum(count.accepted for count in counts),
        "rejected": total_rejected(counts),
        "splits": splits,
        "train_tokens": splits["train"]["tokens"],
        "max_fields": max(count.max_fields for count in counts),
    }


def _data_digest(tokenizer: Tokenizer, totals: dict[str, Any], user_field: int | None) -> str:
    """Digest of the records, by split, as the tokenizer sees them, and of what makes a user; not of shards or their order."""
    content = {"tokenizer": tokenizer.digest, "splits": totals["splits"]}
    if user_field is not None:
        content["user_field"] = user_field
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _name_shards(directory: Path, pattern: str, name: str) -> None:
    """Number the files SSSSS-of-NNNNN, in the order of the units that wrote them."""
    found = sorted(directory.glob(pattern))
    for number, path in enumerate(found):
        os.replace(path, directory / name.format(f"{number:05d}-of-{len(found):05d}"))
