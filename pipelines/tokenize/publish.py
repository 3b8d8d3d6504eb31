"""From the results of tokenize's two passes to the published training data: totals, directories, manifest and report."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.files import read_json, replace_directory, sha256_file, sha256_tree, write_json
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.artifacts.model_info import TABLE_FILE
from linesmith.core.artifacts.params import redact_settings
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.privacy_checks import user_field_index
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, TooFewRecordsError
from linesmith.pipelines.stage_report import StageReport
from linesmith.records.input.field_statistics import description_gaps
from linesmith.records.input.record_format import SPLIT_NAMES
from linesmith.records.roles.personal_data import Finding
from linesmith.records.table_format import TableFormat, write_table_format

if TYPE_CHECKING:
    from linesmith.model.tokenizers.base import Tokenizer
    from linesmith.records.input.input_files import InputFile
    from linesmith.transforms.encode_records import EncodedUnit
    from linesmith.transforms.read_records import RangeCount

STATISTICS = "statistics.json"
_FEW_KEPT = 0.01  # share of a column's numbers that are no differences which nobody needs to know of


@dataclass(frozen=True)
class TokenizeResult:
    """Results of the passes over the input.

    Attributes:
        files: the input files.
        digests: digest of each input file, by name.
        tokenizer: the fitted tokenizer.
        counts: counts of the pass that fitted the tokenizer, one per range of the input.
        units: results of the last pass, one per unit.
        field_count: number of fields of all records; None: they differ, or nothing says how many there are.
        split_texts: number of texts whose occurrences are shared out among the splits.
        columns: names of the fields by which `condition_on` orders them; None without that setting.
        table: how the rows of a source that is not lines of text became records; None for lines.
        personal_data: columns that look like personal data and are learned (`linesmith.records.roles.personal_data`).
    """

    files: Sequence[InputFile]
    digests: Mapping[str, str]
    tokenizer: Tokenizer
    counts: Sequence[RangeCount]
    units: Sequence[EncodedUnit]
    field_count: int | None = None
    split_texts: int = 0
    columns: Sequence[str] | None = None
    table: TableFormat | None = None
    personal_data: Sequence[Finding] = ()

    @cached_property
    def totals(self) -> dict[str, Any]:
        """Counts of lines, records, rejects by reason, and tokens by split, over all ranges and units."""
        from linesmith.transforms.read_records import total_rejected

        counts, units = self.counts, self.units
        splits = {
            name: {
                "records": sum(unit.splits[name].records for unit in units),
                "tokens": sum(unit.splits[name].tokens for unit in units),
                "chars": sum(unit.splits[name].chars for unit in units),
                "hash_sum": f"{sum(unit.splits[name].hash_sum for unit in units) % 2**64:016x}",
            }
            for name in SPLIT_NAMES
        }
        return {
            "lines": sum(count.lines - count.headers for count in counts),
            "unsampled": sum(count.unsampled for count in counts),
            "accepted": sum(count.accepted for count in counts),
            "rejected": total_rejected(counts),
            "splits": splits,
            "train_tokens": splits["train"]["tokens"],
            "max_fields": max(count.max_fields for count in counts),
        }

    def inputs(self) -> dict[str, Any]:
        """Return the description of each input file for the manifest, by name.

        A file that was fetched from an address has the digest of its content, too: what the address gives may change.
        """
        inputs: dict[str, Any] = {}
        for file in self.files:
            inputs[file.name] = {"digest": self.digests[file.name], "bytes": file.size}
            if self.digests[file.name].startswith("address:"):
                inputs[file.name]["sha256"] = sha256_file(file.path)
        return inputs

    @property
    def file_digests(self) -> dict[str, str]:
        """Digest of every file that a worker wrote, by the name that the worker gave it."""
        return {name: digest for unit in self.units for name, digest in unit.digests.items()}

    def digest(self, user_field: int | None) -> str:
        """Return a digest of the encoded records by split, whatever their order and their division into shards.

        Args:
            user_field: number of the field that names the user of a record, which is digested, too; None: there is none.
        """
        content = {"tokenizer": self.tokenizer.digest, "splits": self.totals["splits"]}
        if user_field is not None:
            content["user_field"] = user_field
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def check_splits(config: TensorFlowConfig, result: TokenizeResult, report: StageReport) -> None:
    """Check that both passes read the same records, and that there are records to train on.

    Args:
        config: the settings: which splits there should be.
        result: results of both passes.
        report: a notice is appended for each other split that is empty.

    Raises:
        DataError: LS220, the input changed between the passes.
        TooFewRecordsError: LS207, no record is in the training split.
    """
    totals = result.totals
    records = {name: totals["splits"][name]["records"] for name in SPLIT_NAMES}
    if sum(records.values()) != totals["accepted"]:
        raise DataError(
            "LS220",
            "--input",
            f"changed while it was read: {totals['accepted']} records in the first pass, {sum(records.values())} in the second",
            "Run tokenize again on a copy that nobody writes to.",
        )
    if not records["train"]:
        raise TooFewRecordsError(
            "LS207",
            None,
            f"too few records: of {totals['accepted']} accepted none fell on the training side ({records['validation']} "
            f"validation, {records['holdout']} holdout)",
            "Give more lines, or set --no-validation-split and --holdout-fraction 0.",
        )
    expected = {"validation": config.validation_split, "holdout": config.holdout_fraction > 0}
    for name, is_expected in expected.items():
        if is_expected and not records[name]:
            report.notices.append(f"no record fell on the {name} side: the data are few")


def publish_training_data(
    config: TensorFlowConfig,
    staged_run: RunDirectory,
    scratch: Path,
    result: TokenizeResult,
    runner: str,
    report: StageReport,
) -> None:
    """Give shards their final names, move training data, tokenizer and rejects into place, and write the manifest.

    Args:
        config: the settings.
        staged_run: where training data, tokenizer and rejects go.
        scratch: where both passes wrote them: `data`, `tokenizer`, `rejects`.
        result: results of both passes.
        runner: name of the Beam runner, for the manifest.
        report: counts, outputs and notices are filled in.
    """
    from linesmith.transforms.transform_graph import write_data_schema

    data, rejects = scratch / "data", scratch / "rejects"
    totals = result.totals
    patterns = [(data, f"{name}-*.tfrecord.gz", f"{name}-{{}}.tfrecord.gz") for name in SPLIT_NAMES]
    patterns.append((rejects, "part-*.jsonl", "part-{}.jsonl"))
    digests = {new: result.file_digests[old] for pattern in patterns for new, old in _number_shards(*pattern).items()}
    columns = config.learned_columns or _header(result.counts, report) or (result.columns and list(result.columns))
    statistics = read_json(data / STATISTICS, "the statistics")
    if not config.dp:  # the number of fields of private records is not public
        report.notices.extend(description_gaps(statistics))
        report.notices.extend(_kept_as_they_are(statistics, columns or []))
    counts = {name: totals[name] for name in ("lines", "accepted", "rejected", "splits")}
    write_json(data / STATISTICS, {**counts, "columns": columns, **statistics})
    if result.table is not None:
        write_table_format(data / TABLE_FILE, result.table)
    user_field = user_field_index(config)
    write_data_schema(data / "schema.pbtxt", user_field is not None)
    manifest = {
        "settings": redact_settings({"seed": config.seed, **config.stage_settings("tokenize")}),
        **redact_settings({"input_data_path": config.input_data_path}),
        "inputs": result.inputs(),
        "runner": runner,
        "columns": columns,
        "field_count": result.field_count,
        "split_texts": result.split_texts,
        "personal_data": [asdict(finding) for finding in result.personal_data],
        "tokenizer_digest": result.tokenizer.digest,
        "data_digest": result.digest(user_field),
        "counts": {**totals, "vocab_size": result.tokenizer.total_vocab_size},
        "outputs": {
            "tokenizer": sha256_tree(scratch / "tokenizer"),
            "training_data": sha256_tree(data, digests),
            "rejects": sha256_tree(rejects, digests),
        },
        "notices": report.notices,
    }
    # Training data first: without their manifest they count as incomplete, so that a process which is killed in between
    # leaves no mixture of old and new files that seems to be complete.
    replace_directory(data, staged_run.training_data)
    replace_directory(scratch / "tokenizer", staged_run.tokenizer)
    replace_directory(rejects, staged_run.rejects)
    write_manifest(staged_run.training_data, "tokenize", manifest)
    _fill_report(report, result, staged_run)


def _header(counts: Sequence[RangeCount], report: StageReport) -> list[str] | None:
    """Return the header of the first file that has one, and add a notice for each file with another header."""
    headers = [(count.file, count.columns) for count in counts if count.columns is not None]
    for file, columns in headers:
        if columns != headers[0][1]:
            report.notices.append(f"the header of '{file}' differs from that of '{headers[0][0]}', which is used")
    return headers[0][1] if headers else None


def _fill_report(report: StageReport, result: TokenizeResult, staged_run: RunDirectory) -> None:
    totals = result.totals
    counts: dict[str, int | float | str] = {"lines": totals["lines"]}
    if totals["unsampled"]:
        counts["not in the sample"] = totals["unsampled"]
    counts["accepted"] = totals["accepted"]
    counts["rejected"] = sum(totals["rejected"].values())
    counts.update({f"rejected ({reason})": number for reason, number in totals["rejected"].items()})
    counts.update({name: totals["splits"][name]["records"] for name in SPLIT_NAMES})
    counts["vocabulary"] = result.tokenizer.total_vocab_size
    report.counts = counts
    report.outputs = {
        "training data": str(staged_run.training_data),
        "tokenizer": str(staged_run.tokenizer),
        "rejects": str(staged_run.rejects),
    }


def _number_shards(directory: Path, pattern: str, name: str) -> dict[str, str]:
    """Rename files to SSSSS-of-NNNNN in the order of their units, and return the former name of each new one."""
    paths = sorted(directory.glob(pattern))
    former = {name.format(f"{number:05d}-of-{len(paths):05d}"): path.name for number, path in enumerate(paths)}
    for new, old in former.items():
        os.replace(directory / old, directory / new)
    return former


def _kept_as_they_are(statistics: dict[str, Any], columns: Sequence[str]) -> list[str]:
    """Return sentences on the columns of `differences` many of whose numbers are not written as differences.

    Args:
        statistics: what `FieldStatistics.as_dict` returned.
        columns: names of the fields, which whoever asks for differences has named; otherwise any.
    """
    described = [field for field in statistics.get("fields", []) if "original" in field]
    sentences = []
    for field in described:
        numbers, written = (_count_numbers(one) for one in (field["original"], field))
        if numbers - written > _FEW_KEPT * numbers:
            sentences.append(
                f"{(numbers - written) / numbers:.0%} of the numbers of '{columns[field['index']]}' are not written as "
                "differences (--differences): the other column has no number there, or zeros at their end would be lost; where "
                "all have as many decimals, say so, as in total=price:2"
            )
    return sentences


def _count_numbers(field: dict[str, Any]) -> int:
    return sum(field["kinds"].get(kind, 0) for kind in ("integer", "decimal"))
