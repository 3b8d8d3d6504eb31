"""Where the three sets of an evaluation lie, cut into units of work: a run directory's own, or any files."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.records.input.input_ranges import plan_units
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
from linesmith.transforms.storage.addresses import is_bucket, join

if TYPE_CHECKING:
    from linesmith.transforms.read_evaluation_sets import EvaluationInputUnit

_SUFFIXES = {".avro": "avro", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_START = "start_string"  # a column that paired output has beside the record's own


@dataclass(frozen=True)
class Reading:
    """How files of lines become records; typed files need none of it."""

    field_delimiter: str | None = None
    quoted: bool = False
    header: bool = False
    encoding: str = "utf-8"
    max_line_len: int = 2048

    def config(self, paths: list[str]) -> TensorFlowConfig:
        return TensorFlowConfig(
            input_data_path=paths,
            field_delimiter=self.field_delimiter,
            quoted=self.quoted,
            header=self.header,
            encoding=self.encoding,
            max_line_len=self.max_line_len,
        )


@dataclass
class EvaluationSets:
    """Units of all sets, and names of the fields where something names them."""

    units: list[EvaluationInputUnit] = field(default_factory=list)
    names: list[str] | None = None
    files: dict[str, list[str]] = field(default_factory=dict)


def find_evaluation_sets(paths: dict[str, Sequence[str]], reading: Reading, scratch: Path) -> EvaluationSets:
    """Units of any files: text, JSON Lines, Avro or Parquet, told apart by their names.

    Args:
        paths: files, globs or directories of each set; training first.
        scratch: where http(s) inputs are copied to.

    Raises:
        DataError: a file is missing, damaged or of two kinds within a set.
    """
    sets = EvaluationSets()
    for name, given in paths.items():
        files = [file for path in given for file in _files(path, f"--{_OPTIONS[name]}")]
        kinds = {_kind(file) for file in files}
        if len(kinds) != 1:
            raise DataError(
                f"LS205: --{_OPTIONS[name]} names files of several kinds ({', '.join(sorted(kinds))}); give files of one kind.",
                code="LS205",
            )
        sets.files[name] = files
        sets.units += _units(name, kinds.pop(), files, reading, scratch, sets)
    return sets


_OPTIONS = {"training": "real", "holdout": "holdout", "synthetic": "synthetic"}


def _files(path: str, option: str) -> list[str]:
    if is_bucket(path):
        return _objects(path, option)
    if os.path.isdir(path):
        found = sorted(
            str(p) for p in Path(path).iterdir() if p.is_file() and p.name[0] not in "._" and p.suffix != ".json"
        )
        if not found:
            raise DataError(f"LS205: '{path}' holds no file; give files of records.", code="LS205")
        return found
    if os.path.exists(path) or "://" in path:
        return [path]
    found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise DataError(f"LS205: '{path}' does not exist; give an existing path or a glob in quotes.", code="LS205")
    return found


def _objects(address: str, option: str) -> list[str]:
    """Objects that an address or a glob names, or those right in the directory that it is."""
    from linesmith.transforms.find_inputs import match_objects

    found = [item.path for item in match_objects(address, option)]
    if not found:
        inside = [item.path for item in match_objects(join(address, "*"), option)]
        found = [p for p in inside if p.rpartition("/")[2][0] not in "._" and not p.endswith(".json")]
    if not found:
        raise DataError(f"LS205: {option} '{address}' matches no object; give an address that exists.", code="LS205")
    return sorted(found)


def _kind(file: str) -> str:
    return _SUFFIXES.get(Path(file).suffix.lower(), "lines")


def _units(
    name: str,
    kind: str,
    files: list[str],
    reading: Reading,
    scratch: Path,
    sets: EvaluationSets,
    order: Sequence[str] = (),
) -> list[EvaluationInputUnit]:
    """Units of one set; `order` are the columns of a run's output, among them one that may stand in directories' names."""
    from linesmith.transforms.read_evaluation_sets import AVRO, LINES, PARQUET, EvaluationInputUnit, names_in_typed

    if kind in (AVRO, PARQUET):
        names = _with_partition([name for name in names_in_typed(kind, files[0]) if name != _START], files[0], order)
        if sets.names is None:
            sets.names = names
        columns = tuple(sets.names if set(sets.names) <= set(names) else names)
        parts = [(file, part) for file in files for part in range(_parts(kind, file))]
        return [
            EvaluationInputUnit(name, number, kind, file, part=part, columns=columns)
            for number, (file, part) in enumerate(parts)
        ]
    if kind != LINES:
        reading = Reading(encoding=reading.encoding, max_line_len=1 << 24)
    units = _line_units(name, kind, files, reading, scratch / name)
    if sets.names is None:
        sets.names = _names_in_lines(units[0], order) if units else None
    if kind != LINES and sets.names is not None:
        own = _names_in_lines(units[0], order) or []
        columns = tuple(sets.names if set(sets.names) <= set(own) else own)
        units = [EvaluationInputUnit(u.set_name, u.number, u.kind, u.path, u.lines, columns=columns) for u in units]
    return units


def _parts(kind: str, file: str) -> int:
    if kind != "parquet":
        return 1
    from pyarrow import parquet

    from linesmith.transforms.find_inputs import open_raw

    with open_raw(file) as stored:
        return int(parquet.ParquetFile(stored).num_row_groups)


def _line_units(name: str, kind: str, files: list[str], reading: Reading, scratch: Path) -> list[EvaluationInputUnit]:
    from linesmith.transforms.find_inputs import find_inputs
    from linesmith.transforms.read_evaluation_sets import EvaluationInputUnit
    from linesmith.transforms.read_records import ReadSettings

    config = reading.config(files)
    settings = ReadSettings(RecordFormat.of(config), DatasetSplitter(0.0, False), reading.header)
    return [
        EvaluationInputUnit(name, unit.index, kind, unit.ranges[0].file.name, lines=(unit, settings))
        for unit in plan_units(find_inputs(config, scratch))
    ]


def _with_partition(names: list[str], file: str, order: Sequence[str]) -> list[str]:
    """The names of a file's columns and of the one that stands in its directory's name, in its place among `order`."""
    from linesmith.transforms.read_evaluation_sets import partition_of

    for column in partition_of(file):
        if column in order and column not in names:
            names.insert(order.index(column), column)
    return names


def _names_in_lines(unit: EvaluationInputUnit, order: Sequence[str] = ()) -> list[str] | None:
    """Column names of a header, or the keys of the first JSON object."""
    import json

    from linesmith.transforms.read_evaluation_sets import JSONL
    from linesmith.transforms.read_records import RangeReader

    if unit.lines is None:
        return None
    reader = RangeReader(unit.lines[0].ranges[0], unit.lines[1])
    first = next(iter(reader.batches()), None)
    if unit.kind == JSONL and first is not None:
        try:
            names = [key for key in json.loads(first["text"][0].as_py()) if key != _START]
            return _with_partition(names, unit.lines[0].ranges[0].file.path, order)
        except (ValueError, TypeError):
            return None  # the reader says what is wrong, with the file's name
    return reader.count.columns


def run_evaluation_sets(config: TensorFlowConfig, run: RunDirectory) -> EvaluationSets:
    """The sets of a run directory: its training and holdout shards, and what it generated.

    Raises:
        DataError: a stage is missing.
    """
    from linesmith.transforms.read_evaluation_sets import TOKENS, EvaluationInputUnit

    data = read_manifest(run.training_data)
    if data is None:
        raise DataError(
            f"LS201: '{run.training_data}' holds no training data, without which nothing can be compared. Evaluate where the "
            "run was made, or give --real, --holdout and --synthetic.",
            code="LS201",
        )
    sets = EvaluationSets(names=data.get("columns"))
    for name, split in (("training", "train"), ("holdout", "holdout")):
        shards = sorted(run.training_data.glob(f"{split}-*.tfrecord.gz"))
        sets.files[name] = [str(shard) for shard in shards]
        sets.units += [
            EvaluationInputUnit(name, number, TOKENS, str(shard.absolute()), tokenizer=str(run.tokenizer.absolute()))
            for number, shard in enumerate(shards)
        ]
    made = read_manifest(run.synthetic)
    if made is None:
        raise DataError(f"LS201: '{run.synthetic}' holds no complete output; run generate first.", code="LS201")
    files = _output_files(run.synthetic)
    sets.files["synthetic"] = files
    reading = Reading(config.field_delimiter, config.quoted, max_line_len=1 << 20)
    filled = [file for file in files if os.path.getsize(file)]
    if filled:
        sets.units += _units(
            "synthetic", _kind(filled[0]), filled, reading, run.temporary, sets, made.get("columns") or ()
        )
    return sets


def _output_files(directory: Path) -> list[str]:
    """The shards of one format: text where it is there, since it holds the records as they were sampled."""
    for suffix in (".txt", ".avro", ".jsonl", ".parquet"):
        found = sorted(str(path.absolute()) for path in directory.rglob(f"part-*{suffix}"))
        if found:
            return found
    raise DataError(f"LS205: '{directory}' holds no shard of records that can be read.", code="LS205")


def parse_roles(given: Sequence[str]) -> dict[str, str]:
    """`name=role` pairs of a command line.

    Raises:
        ParameterError: one is no such pair.
    """
    roles = {}
    for pair in given:
        name, equals, role = pair.rpartition("=")
        if not equals or not name:
            raise ParameterError(
                f"LS116: --role {pair!r} is not of the form FIELD=ROLE, for example age=number.", code="LS116"
            )
        roles[name] = role
    return roles
