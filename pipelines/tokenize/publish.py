"""What tokenize makes of its two passes: their totals, the published directories, the manifest, the report."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.files import read_json, replace_directory, sha256_file, sha256_tree, write_json
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.privacy_checks import user_field_index
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, TooFewRecordsError
from linesmith.pipelines.stage_report import StageReport
from linesmith.records.input.record_format import SPLITS

if TYPE_CHECKING:
    from linesmith.model.tokenizers.base import Tokenizer
    from linesmith.records.input.input_files import InputFile
    from linesmith.transforms.encode_records import UnitResult
    from linesmith.transforms.read_records import RangeCount

STATISTICS = "statistics.json"


@dataclass(frozen=True)
class TokenizeResult:
    """What both passes gave.

    Attributes:
        files: the input.
        digests: of each input, by name.
        tokenizer: the fitted one.
        counts: of the first pass, a range each.
        results: of the second pass, a unit each.
    """

    files: Sequence[InputFile]
    digests: Mapping[str, str]
    tokenizer: Tokenizer
    counts: Sequence[RangeCount]
    results: Sequence[UnitResult]

    @cached_property
    def totals(self) -> dict[str, Any]:
        """The counts of the run."""
        from linesmith.transforms.read_records import total_rejected

        counts, results = self.counts, self.results
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

    def inputs(self) -> dict[str, Any]:
        """Each input for the manifest. A fetched one has the digest of its content, too: its address may change its mind."""
        inputs: dict[str, Any] = {}
        for file in self.files:
            inputs[file.name] = {"digest": self.digests[file.name], "bytes": file.size}
            if self.digests[file.name].startswith("address:"):
                inputs[file.name]["sha256"] = sha256_file(file.path)
        return inputs

    @property
    def file_digests(self) -> dict[str, str]:
        """Of every file of a unit, by the name that its worker gave it."""
        return {name: digest for result in self.results for name, digest in result.digests.items()}

    def digest(self, user_field: int | None) -> str:
        """Of the records, by split, as the tokenizer sees them, and of what makes a user; not of shards or their order."""
        content = {"tokenizer": self.tokenizer.digest, "splits": self.totals["splits"]}
        if user_field is not None:
            content["user_field"] = user_field
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def check_splits(config: TensorFlowConfig, done: TokenizeResult, report: StageReport) -> None:
    """See that both passes read the same, and that there is something to train on.

    Raises:
        DataError: LS209, the input changed in between.
        TooFewRecordsError: LS207.
    """
    totals = done.totals
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
    wanted = {"validation": config.validation_split, "holdout": config.holdout_fraction > 0}
    for name, expected in wanted.items():
        if expected and not records[name]:
            report.notices.append(f"no record fell on the {name} side: the data are few")


def publish(
    config: TensorFlowConfig, space: RunDirectory, scratch: Path, done: TokenizeResult, runner: str, report: StageReport
) -> None:
    """Name the shards, put everything in place, and write the manifest.

    Args:
        config: the settings.
        space: where everything goes.
        scratch: where it was made: `data`, `rejects`, `tokenizer`.
        done: what both passes gave.
        runner: its name.
        report: is filled in.
    """
    from linesmith.transforms.transform_graph import write_data_schema

    data, rejects = scratch / "data", scratch / "rejects"
    inputs, totals = done.inputs(), done.totals
    patterns = [(data, f"{name}-*.tfrecord.gz", f"{name}-{{}}.tfrecord.gz") for name in SPLITS]
    patterns.append((rejects, "part-*.jsonl", "part-{}.jsonl"))
    taken = done.file_digests
    digests = {new: taken[old] for pattern in patterns for new, old in _name_shards(*pattern).items()}
    columns = config.columns or _header(done.counts, report)
    statistics = read_json(data / STATISTICS, "the statistics")
    head = {name: totals[name] for name in ("lines", "accepted", "rejected", "splits")}
    write_json(data / STATISTICS, {**head, "columns": columns, **statistics})
    users = user_field_index(config)
    write_data_schema(data / "schema.pbtxt", users is not None)
    manifest = {
        "settings": {"seed": config.seed, **config.stage_settings("tokenize")},
        "input_data_path": config.input_data_path,
        "inputs": inputs,
        "runner": runner,
        "columns": columns,
        "tokenizer_digest": done.tokenizer.digest,
        "data_digest": done.digest(users),
        "counts": {**totals, "vocab_size": done.tokenizer.total_vocab_size},
        "outputs": {
            "tokenizer": sha256_tree(scratch / "tokenizer"),
            "training_data": sha256_tree(data, digests),
            "rejects": sha256_tree(rejects, digests),
        },
        "notices": report.notices,
    }
    # Training data go first: without a manifest they are incomplete, so that no kill leaves a mixture that looks whole.
    replace_directory(data, space.training_data)
    replace_directory(scratch / "tokenizer", space.tokenizer)
    replace_directory(rejects, space.rejects)
    write_manifest(space.training_data, "tokenize", manifest)
    _fill_report(report, done, space)


def _header(counts: Sequence[RangeCount], report: StageReport) -> list[str] | None:
    """Names of the columns: the header of the first file, where it has one."""
    headers = [(count.file, count.columns) for count in counts if count.columns is not None]
    for file, columns in headers:
        if columns != headers[0][1]:
            report.notices.append(f"the header of '{file}' differs from that of '{headers[0][0]}', which is used")
    return headers[0][1] if headers else None


def _fill_report(report: StageReport, done: TokenizeResult, space: RunDirectory) -> None:
    totals = done.totals
    shown: dict[str, int | float | str] = {name: totals[name] for name in ("lines", "accepted")}
    shown["rejected"] = sum(totals["rejected"].values())
    shown.update({f"rejected ({reason})": number for reason, number in totals["rejected"].items()})
    shown.update({name: totals["splits"][name]["records"] for name in SPLITS})
    shown["vocabulary"] = done.tokenizer.total_vocab_size
    report.counts = shown
    report.outputs = {
        "training data": str(space.training_data),
        "tokenizer": str(space.tokenizer),
        "rejects": str(space.rejects),
    }


def _name_shards(directory: Path, pattern: str, name: str) -> dict[str, str]:
    """Number the files SSSSS-of-NNNNN, in the order of the units that wrote them. Returns each one's former name."""
    paths = sorted(directory.glob(pattern))
    found = {name.format(f"{number:05d}-of-{len(paths):05d}"): path.name for number, path in enumerate(paths)}
    for new, old in found.items():
        os.replace(directory / old, directory / new)
    return found
