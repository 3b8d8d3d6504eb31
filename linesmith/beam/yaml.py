"""The transforms as Beam YAML takes them: all elements are rows, and settings of a run stand below `settings`.

`catalog.yaml` beside this module lists them for the `providers` of a pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import apache_beam as beam
from apache_beam.typehints.row_type import RowTypeConstraint

from linesmith.beam.generate import GenerateRecords, Ticks
from linesmith.beam.read import ReadRecords
from linesmith.beam.score import ScoreRecords
from linesmith.beam.stages import Tokenize, Train
from linesmith.core.errors import ParameterError

# Beam reads these annotations when a pipeline is built, and knows Optional alone.
OptionalText = Optional[str]  # noqa: UP045
OptionalNumber = Optional[int]  # noqa: UP045
OptionalMapping = Optional[Mapping[str, Any]]  # noqa: UP045


def read_records(pattern: str, format: OptionalText = None, settings: OptionalMapping = None) -> beam.PTransform:
    """Read the records of files as rows.

    Args:
        pattern: path, glob or bucket address.
        format: text, csv, jsonl, avro, parquet or iceberg; default what the files say.
        settings: such as field_delimiter, quoted and header.
    """
    return ReadRecords(pattern, format, **dict(settings or {}))


def generate_records(
    model: str,
    records: OptionalNumber = None,
    elements: OptionalText = None,
    fill: bool = False,
    seed: OptionalNumber = None,
    where: OptionalMapping = None,
    values: str = "portable",
    index_field: OptionalText = None,
    index_column: OptionalText = None,
    missing: str = "fail",
    settings: OptionalMapping = None,
) -> beam.PTransform:
    """Generate so many records, or one for each row of the input.

    Args:
        model: a run directory, an archive, or a bucket address.
        records: number of records, where there is no input.
        elements: what the input is: conditions (the default), seeds or numbers.
        fill: conditions may give any column, and none of the others is left empty.
        seed: default that of the training.
        where: values that every record has, by column.
        values: portable or logical.
        index_field: field of the input that holds the number of the element.
        index_column: a further column with the number of the record.
        missing: fail or skip.
        settings: other settings of generation, such as gen_temp.
    """
    if values == "python":
        raise ParameterError("LS101", "values 'python'", "elements of Beam YAML are rows", "Give portable or logical.")
    return GenerateRecords(
        model,
        records,
        elements=elements,  # type: ignore[arg-type]
        fill=fill,
        seed=seed,
        where=where,
        values=values,  # type: ignore[arg-type]
        index_field=index_field,
        index_column=index_column,
        missing=missing,
        **dict(settings or {}),
    )


generate_records._yaml_requires_inputs = False  # type: ignore[attr-defined]


def score_records(model: str, field: str = "log_likelihood") -> beam.PTransform:
    """Add the log-likelihood of each row under a model.

    Args:
        model: a run directory, an archive, or a bucket address.
        field: name of the field for it.
    """
    return _ScoredRows(model, field)


class _ScoredRows(beam.PTransform):
    """Rows → the same with one more field."""

    def __init__(self, model: str, field: str) -> None:
        super().__init__()
        self._score = ScoreRecords(model)
        self._field = field

    def expand(self, rows: beam.PCollection[Any]) -> beam.PCollection[Any]:
        """Score, and add the field."""
        known = rows.element_type
        if not isinstance(known, RowTypeConstraint):
            known = RowTypeConstraint.from_user_type(known)
        if known is None:
            raise ParameterError("LS101", "ScoreRecords", "the input has no schema", "Give rows.")
        scored = RowTypeConstraint.from_fields([*known._fields, (self._field, float)])
        add = beam.Map(_with_score, self._field).with_output_types(scored)
        return rows | self._score | "Add the field" >> add


def _with_score(scored: tuple[Any, float], field: str) -> beam.Row:
    row, score = scored
    return beam.Row(**row._asdict(), **{field: score})


def tokenize(output: str, elements: OptionalText = None, settings: OptionalMapping = None) -> beam.PTransform:
    """Make training data of the rows of the input, or of files.

    Args:
        output: the run directory, a path that all workers share or a bucket address.
        elements: where the rows are written first; default `output` with `-input` behind it.
        settings: of a run, such as vocab_size; input_data_path where there is no input.
    """
    return _as_row(Tokenize(output, elements=elements, **dict(settings or {})))


tokenize._yaml_requires_inputs = False  # type: ignore[attr-defined]


def train(output: str, settings: OptionalMapping = None) -> beam.PTransform:
    """Train on the training data of a run directory, when the input is complete.

    Args:
        output: the run directory.
        settings: of the training, such as epochs.
    """
    return _as_row(Train(output, **dict(settings or {})))


train._yaml_requires_inputs = False  # type: ignore[attr-defined]


def ticks(interval: float, start: float, stop: Optional[float] = None, per_tick: int = 1) -> beam.PTransform:  # noqa: UP045
    """Give numbers of records at the ticks of a clock, without end.

    Args:
        interval: seconds between two ticks.
        start: time of the first tick, in seconds since 1970.
        stop: no tick at this time or later.
        per_tick: numbers at each tick.
    """
    return _as_row(Ticks(interval, start, stop, per_tick), "number", int)


ticks._yaml_requires_inputs = False  # type: ignore[attr-defined]


def _as_row(step: beam.PTransform, field: str = "run_directory", kind: type = str) -> beam.PTransform:
    """Return a transform whose elements are rows of one field."""
    to_row = beam.Map(_row, field).with_output_types(RowTypeConstraint.from_fields([(field, kind)]))
    return step | "To rows" >> to_row


def _row(value: Any, field: str) -> beam.Row:
    return beam.Row(**{field: value})
