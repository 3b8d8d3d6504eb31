"""Divide the files of the sets into units of work, each read by one worker, and find the names of the fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.config.input_format import TEXT, InputFormat
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.parsing import parse_json
from linesmith.pipelines.evaluate.comparison_kinds import Kinds, kinds_of_set, with_kinds
from linesmith.records.fields import FieldFormat
from linesmith.records.input.input_ranges import plan_input_units
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
from linesmith.records.input.typed_files import AVRO, JSONL, PARQUET
from linesmith.records.output.avro_names import unique_avro_names, unique_names
from linesmith.records.output.layout import SEED_COLUMN, START_COLUMN
from linesmith.records.roles.column_cut import ColumnCut

if TYPE_CHECKING:
    from linesmith.transforms.read_evaluation_sets import EvaluationInputUnit
    from linesmith.transforms.read_records import ReadSettings

_MAX_JSON_LENGTH = 1 << 24


@dataclass(frozen=True)
class TextFormat:
    """How files of lines become records; typed files need none of this.

    Attributes:
        fields: how a line is split into fields.
        header: whether the first line of each file holds the names of the fields; None: unknown, and none where it is not
            found out.
        encoding: encoding of the files.
        max_line_len: largest number of characters of a line; longer lines are not records.
        input_format: TEXT: lines, or what the suffix of a file says; another format: all files are its rows.
        cut: columns that are not compared, since no model learned them; None: there are none.
    """

    fields: FieldFormat = field(default_factory=FieldFormat)
    header: bool | None = None
    encoding: str = "utf-8"
    max_line_len: int = 2048
    input_format: InputFormat = TEXT
    cut: ColumnCut | None = None

    def config(self, paths: list[str]) -> TensorFlowConfig:
        """Return a configuration that reads files of this format."""
        return TensorFlowConfig(
            input_data_path=paths,
            input_format=TEXT,
            field_delimiter=self.fields.delimiter,
            quoted=self.fields.quoted,
            header=bool(self.header),
            encoding=self.encoding,
            max_line_len=self.max_line_len,
        )

    def read_settings(self, header: bool) -> ReadSettings:
        """Return how files of this format are read, with or without a header line."""
        from linesmith.transforms.read_records import ReadSettings

        records = replace(RecordFormat.from_config(self.config([])), cut=self.cut)
        return ReadSettings(records, DatasetSplitter(0.0, False), header)


@dataclass
class EvaluationSets:
    """Input of an evaluation.

    Attributes:
        units: input units of all sets.
        names: names of the fields, from the first set that names them; None where nothing does.
        files: files of each set.
        kinds: what is known of the kinds of the columns of each set; `compare_by_value` applies it.
        notes: what the user should know about how they were read.
    """

    units: list[EvaluationInputUnit] = field(default_factory=list)
    names: list[str] | None = None
    files: dict[str, list[str]] = field(default_factory=dict)
    kinds: dict[str, Kinds] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def compare_by_value(self) -> None:
        """Let all units read equal values as equal texts, whatever the formats of the sets."""
        self.units = with_kinds(self.units, self.kinds)

    def add_units(
        self,
        name: str,
        format_name: str,
        files: list[str],
        text_format: TextFormat,
        scratch: Path,
        order: Sequence[str] = (),
        headers: Mapping[str, bool] | None = None,
    ) -> None:
        """Add the units of one set, and take the names of its fields where no set before it had any.

        Args:
            name: the set.
            format_name: format of its files: LINES, JSONL, AVRO or PARQUET.
            files: its files, at least one.
            text_format: how lines become records.
            scratch: folder that http(s) inputs are copied to.
            order: columns of a run's output; one of them may be stored only in the names of directories (`city=Rome`).
            headers: whether the first line of a text file is a header, by name of the file; None: as `text_format` says.
        """
        if format_name in (AVRO, PARQUET):
            self._add_typed_units(name, format_name, files, order)
            return
        if format_name == JSONL:
            text_format = TextFormat(encoding=text_format.encoding, max_line_len=_MAX_JSON_LENGTH)
        units = _line_units(name, format_name, files, text_format, scratch / name, headers or {})
        names = None
        if units and (self.names is None or format_name == JSONL):  # do not open a text file for nothing
            names = _names_in_lines(units[0], order or self.names or ())
        if self.names is None:
            self.names = names
        if format_name == JSONL and self.names is not None:
            columns = self._columns(names or [])
            units = [replace(unit, columns=columns) for unit in units]
        self.units += units
        self.kinds[name] = kinds_of_set(units, None, name == "training")

    def _add_typed_units(self, name: str, format_name: str, files: list[str], order: Sequence[str]) -> None:
        """Add one unit per row group of a Parquet file, or per Avro file."""
        from linesmith.transforms.read_evaluation_sets import EvaluationInputUnit, describe_typed_file

        described = [describe_typed_file(file, format_name, name) for file in files]
        names = _with_partition(_record_columns(described[0][0]), files[0], order or self.names or ())
        if self.names is None:
            self.names = names
        columns = self._columns(names)
        parts = [(file, part) for file, (_, count, _) in zip(files, described, strict=True) for part in range(count)]
        units = [
            EvaluationInputUnit(name, number, format_name, file, part=part, columns=columns)
            for number, (file, part) in enumerate(parts)
        ]
        self.units += units
        self.kinds[name] = kinds_of_set(units, described[0][2], name == "training")

    def _columns(self, own: list[str]) -> tuple[str, ...]:
        """Return the columns to read from a set: those of the first set, in its order, if the set has them all.

        Typed output has unique names, and Avro's are adapted to what Avro allows.
        """
        names = unique_names(self.names or [])
        for wanted in (names, unique_avro_names(names)):
            if set(wanted) <= set(own):
                return wanted
        return tuple(own)


def _line_units(
    name: str,
    format_name: str,
    files: list[str],
    text_format: TextFormat,
    scratch: Path,
    headers: Mapping[str, bool],
) -> list[EvaluationInputUnit]:
    """Return units of the files with a header, which name the fields, then of those without."""
    from linesmith.transforms.find_inputs import find_inputs
    from linesmith.transforms.read_evaluation_sets import EvaluationInputUnit

    units: list[EvaluationInputUnit] = []
    inputs = find_inputs(text_format.config(files), scratch)
    for header in (True, False):
        chosen = [file for file in inputs if headers.get(file.name, bool(text_format.header)) is header]
        settings = text_format.read_settings(header)
        units += [
            EvaluationInputUnit(name, number, format_name, unit.ranges[0].file.name, lines=(unit, settings))
            for number, unit in enumerate(plan_input_units(chosen), len(units))
        ]
    return units


def _record_columns(columns: Sequence[str]) -> list[str]:
    """Return the columns without those that paired output adds to the fields of a record."""
    if list(columns[-2:]) == [SEED_COLUMN, START_COLUMN]:
        return list(columns[:-2])
    return [column for column in columns if column != START_COLUMN]


def _with_partition(names: list[str], file: str, order: Sequence[str]) -> list[str]:
    """Insert the column that the names of the file's directories hold at its position in `order`, and return the names."""
    from linesmith.transforms.read_evaluation_sets import partition_of

    for column in partition_of(file):
        if column in order and column not in names:
            names.insert(order.index(column), column)
    return names


def _names_in_lines(unit: EvaluationInputUnit, order: Sequence[str] = ()) -> list[str] | None:
    """Return the column names of a header or the keys of the first JSON object; None where there are none."""
    from linesmith.transforms.read_records import RangeReader

    if unit.lines is None:
        return None
    reader = RangeReader(unit.lines[0].ranges[0], unit.lines[1])
    first = next(iter(reader.batches()), None)
    if unit.format_name == JSONL and first is not None:
        try:
            names = _record_columns(list(parse_json(first["text"][0].as_py())))
            return _with_partition(names, unit.lines[0].ranges[0].file.path, order)
        except (ValueError, TypeError):
            return None  # the worker that reads the file will report the error with the file's name
    return reader.count.columns
