"""Find the three sets of an evaluation, in a run directory or in any files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from linesmith.core.artifacts.files import read_json
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.model_info import CARD_FILE, TABLE_FILE
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.input_format import TEXT
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.pipelines.evaluate.comparison_kinds import kinds_of_set, kinds_of_statistics
from linesmith.pipelines.evaluate.headers import TextSet, decide_headers, read_first_lines
from linesmith.pipelines.evaluate.input_units import EvaluationSets, TextFormat
from linesmith.pipelines.evaluate.source_units import describe_sets, is_in_format_of, source_units
from linesmith.pipelines.tokenize.publish import STATISTICS
from linesmith.records.fields import FieldFormat
from linesmith.records.input.file_patterns import find_local_files
from linesmith.records.input.typed_files import AVRO, LINES, PARQUET, file_format
from linesmith.records.roles.column_cut import ColumnCut
from linesmith.records.roles.stored_roles import read_roles
from linesmith.records.table_format import TableFormat, read_table_format
from linesmith.transforms.storage.addresses import is_bucket, join

_OPTIONS = {"training": "real", "holdout": "holdout", "synthetic": "synthetic"}  # command-line option of each set
_MAX_OUTPUT_LENGTH = 1 << 20


def find_evaluation_sets(
    paths: dict[str, Sequence[str]],
    text_format: TextFormat,
    scratch: Path,
    headers: Mapping[str, bool] | None = None,
    beam_args: Sequence[str] = (),
) -> EvaluationSets:
    """Find the sets in any files: text, JSON Lines, Avro or Parquet, recognized by their suffixes.

    Args:
        paths: files, globs or directories of each set. The first set that names its fields decides the names and their
            order, so training comes first.
        text_format: how lines of text files become records; what it says of headers holds for the sets that `headers` leaves
            out, except for files whose manifest says more.
        scratch: folder that http(s) inputs are copied to.
        headers: whether the text files of a set have a header, by set.
        beam_args: options of the pipeline that finds out the columns of files of `text_format.input_format`.

    Raises:
        DataError: a file is missing or damaged, or a set has files of several formats.
    """
    sets = EvaluationSets()
    if text_format.input_format != TEXT:
        for name, patterns in paths.items():
            sets.files[name] = [file for path in patterns for file in _files(path, f"--{_OPTIONS[name]}")]
        table = describe_sets(sets.files, text_format, scratch, beam_args, sets.notes)
        sets.names = list(table.field_names)
        for name, files in sets.files.items():
            header = text_format.header is not False
            _add_source_units(sets, name, files, table, header, scratch / name, text_format.encoding)
        sets.compare_by_value()
        return sets
    formats_of = {}
    for name, patterns in paths.items():
        files = [file for path in patterns for file in _files(path, f"--{_OPTIONS[name]}")]
        formats = {file_format(file) for file in files}
        if len(formats) != 1:
            raise DataError(
                "LS205",
                f"--{_OPTIONS[name]}",
                f"names files of several kinds ({', '.join(sorted(formats))})",
                "Give files of one kind.",
            )
        sets.files[name], formats_of[name] = files, formats.pop()
    found, sets.notes = _find_headers(sets.files, formats_of, text_format, scratch, headers or {})
    for name, files in sets.files.items():
        sets.add_units(name, formats_of[name], files, text_format, scratch, headers=found.get(name))
    sets.compare_by_value()
    return sets


def _find_headers(
    files: Mapping[str, list[str]],
    formats: Mapping[str, str],
    text_format: TextFormat,
    scratch: Path,
    headers: Mapping[str, bool],
) -> tuple[dict[str, dict[str, bool]], list[str]]:
    """Return whether each text file has a header, by set and name of the file, and notes."""
    from linesmith.transforms.find_inputs import find_inputs
    from linesmith.transforms.read_evaluation_sets import describe_typed_file

    text_sets, known = {}, []
    for name, paths in files.items():
        if formats[name] == LINES:
            inputs = find_inputs(text_format.config(paths), scratch / name)
            given = headers.get(name, text_format.header)
            beginnings = read_first_lines(inputs, text_format)
            text_sets[name] = TextSet(_OPTIONS[name], beginnings, given, name in headers)
        elif formats[name] in (AVRO, PARQUET):
            known.append(tuple(describe_typed_file(paths[0], formats[name], name)[0]))
    decided, notes = decide_headers(list(text_sets.values()), known)
    return dict(zip(text_sets, decided, strict=True)), notes


def _files(path: str, option: str) -> list[str]:
    """Return the files that a path, glob, directory or address names.

    Of a directory, hidden files, JSON files and its README.md are left out.
    """
    if is_bucket(path):
        return _objects(path, option)
    if os.path.isdir(path):
        found = sorted(str(p) for p in Path(path).iterdir() if p.is_file() and _may_hold_records(p.name))
        if not found:
            raise DataError("LS205", f"{option} '{path}'", "holds no file", "Give files of records.")
        return found
    return [path] if "://" in path else find_local_files(path, option)


def _objects(address: str, option: str) -> list[str]:
    """Return the objects that an address or a glob matches, or those directly in the directory of that address."""
    from linesmith.transforms.find_inputs import match_files

    found = match_files(address, option)
    if not found:
        inside = match_files(join(address, "*"), option)
        found = [p for p in inside if _may_hold_records(p.rpartition("/")[2])]
    if not found:
        raise DataError("LS205", f"{option} '{address}'", "matches no object", "Give an address that exists.")
    return found


def _may_hold_records(name: str) -> bool:
    return name[0] not in "._" and not name.endswith(".json") and name != CARD_FILE


def run_evaluation_sets(config: TensorFlowConfig, run: RunDirectory, holdout: Sequence[str] = ()) -> EvaluationSets:
    """Return the sets of a run directory: its training and holdout shards, and what it generated.

    Args:
        config: configuration of the trained model.
        run: the run directory.
        holdout: text files of other holdout records, written as the input was; none: those that tokenize held back.

    Raises:
        DataError: the training data or the output are missing.
    """
    from linesmith.transforms.read_evaluation_sets import TOKENS, EvaluationInputUnit

    data = read_manifest(run.training_data)
    if data is None:
        raise DataError(
            "LS201",
            None,
            f"'{run.training_data}' holds no training data, without which nothing can be compared",
            "Evaluate where the run was made, or give --real, --holdout and --synthetic.",
        )
    statistics = run.training_data / STATISTICS
    fields = read_json(statistics, "the statistics").get("fields", []) if statistics.is_file() else []
    sets = EvaluationSets(names=data.get("columns"), kinds={"training": kinds_of_statistics(fields)})
    splits = {"training": "train"} if holdout else {"training": "train", "holdout": "holdout"}
    for name, split in splits.items():
        shards = sorted(path for path in run.training_data.glob(f"{split}-*.tfrecord.gz") if path.is_file())
        sets.files[name] = [str(shard) for shard in shards]
        sets.units += [
            EvaluationInputUnit(name, number, TOKENS, str(shard.absolute()), tokenizer=str(run.tokenizer.absolute()))
            for number, shard in enumerate(shards)
        ]
    generated = read_manifest(run.synthetic)
    if generated is None:
        raise DataError("LS201", None, f"'{run.synthetic}' holds no complete output", "Run generate first.")
    fields = FieldFormat(config.field_delimiter, config.quoted)
    roles = read_roles(run.model)
    table = read_table_format(run.training_data / TABLE_FILE)
    if table is not None and table.source is not None and roles is not None:
        table = table.without(frozenset(roles.roles))
    if holdout:
        sets.files["holdout"] = list(holdout)
        cut = None if roles is None else roles.cut(roles.columns)
        text_format = TextFormat(fields, config.header, config.encoding, config.max_line_len, cut=cut)
        if is_in_format_of(table, holdout[0]):
            _add_source_units(sets, "holdout", holdout, table, config.header, run.temporary, config.encoding, cut)
        else:
            sets.add_units("holdout", LINES, list(holdout), text_format, run.temporary)
    files = _output_files(run.synthetic, config.input_format)
    sets.files["synthetic"] = files
    cut = None if roles is None else roles.cut(roles.written_columns(generated.get("column_roles", {})))
    text_format = TextFormat(fields, bool(generated.get("header")), max_line_len=_MAX_OUTPUT_LENGTH, cut=cut)
    filled = [file for file in files if os.path.getsize(file)]
    if filled and config.partition_by is None and is_in_format_of(table, filled[0]):
        header = bool(generated.get("header"))
        _add_source_units(sets, "synthetic", filled, table, header, run.temporary, cut=cut)
    elif filled:
        columns = generated.get("columns") or ()
        sets.add_units("synthetic", file_format(filled[0]), filled, text_format, run.temporary, columns)
    sets.compare_by_value()
    return sets


def _add_source_units(
    sets: EvaluationSets,
    name: str,
    files: Sequence[str],
    table: TableFormat,
    header: bool,
    scratch: Path,
    encoding: str = "utf-8",
    cut: ColumnCut | None = None,
) -> None:
    units = source_units(name, files, table, header, scratch, encoding, cut)
    sets.units += units
    sets.kinds[name] = kinds_of_set(units, None, name == "training")


def _output_files(directory: Path, source_format: str) -> list[str]:
    """Return the shards of one format, preferably text, which holds the records exactly as they were sampled.

    Args:
        directory: of the output.
        source_format: format of the input, from which the same records can be read.
    """
    for suffix in dict.fromkeys((".txt", f".{source_format}", ".avro", ".jsonl", ".parquet", ".csv")):
        found = sorted(str(path.absolute()) for path in directory.rglob(f"part-*{suffix}") if path.is_file())
        if found:
            return found
    raise DataError(
        "LS205",
        None,
        f"'{directory}' holds no shard of records that can be read",
        "Give a directory that generate wrote.",
    )


def parse_roles(pairs: Sequence[str]) -> dict[str, str]:
    """Return the roles of fields by name.

    Args:
        pairs: `FIELD=ROLE` from the command line; a field's name may contain `=`.

    Raises:
        ParameterError: an item is not of this form.
    """
    roles = {}
    for pair in pairs:
        name, equals, role = pair.rpartition("=")
        if not equals or not name:
            raise ParameterError(
                "LS116", f"--role {pair!r}", "not of the form FIELD=ROLE", "Give for example age=number."
            )
        roles[name] = role
    return roles
