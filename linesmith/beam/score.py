"""Log-likelihood of records under a model, for each element of a PCollection."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.utils.timestamp import Timestamp

from linesmith.api.frames import columns_like, row_texts
from linesmith.api.model import Model
from linesmith.beam.elements import element_fields
from linesmith.beam.metrics import SCORE, count
from linesmith.beam.models import LoadedModel, ModelPlace
from linesmith.beam.rows import field_names
from linesmith.core.errors import DataError
from linesmith.core.library_logging import quiet_calls
from linesmith.records.fields import FieldFormat
from linesmith.records.input.value_text import plain_text
from linesmith.records.output.layout import TEXT_COLUMN
from linesmith.records.roles.stored_roles import read_roles
from linesmith.records.sources.arrow_types import arrow_type

if TYPE_CHECKING:
    import pyarrow as pa

    from linesmith.model.sampling.text_losses import TextLosses

_BATCH_RECORDS = 1024


class ScoreRecords(beam.PTransform):
    """Score records → pairs of the record, as it came, and its log-likelihood in nats.

    Records are lines as the model learned them, rows or mappings by column, such as those of `ReadRecords` and `GenerateRecords`;
    further columns are ignored. The log-likelihood of a record that the model cannot write is −∞ (metric `records_impossible`).

    Args:
        model: a run directory, an archive, the bucket address of one of them, or a `linesmith.Model`.

    Raises:
        DataError: there is no usable model; on workers LS232, an element is no record of it.
    """

    def __init__(self, model: str | os.PathLike[str] | Model) -> None:
        super().__init__()
        self._place = ModelPlace.of(model)
        self._place.load()  # refused here, and not on a worker

    def expand(self, records: beam.PCollection[Any]) -> beam.PCollection[tuple[Any, float]]:
        """Score each element."""
        scored = RunInference(ScoreHandler(self._place)).with_output_types(
            beam.typehints.Tuple[records.element_type or Any, float]
        )
        return records | "Score" >> scored


@dataclass
class Scorer:
    """What a worker keeps of a model.

    Attributes:
        texts: records as the model writes them.
        losses: of texts.
    """

    texts: RecordTexts
    losses: TextLosses


class ScoreHandler(ModelHandler[Any, tuple[Any, float], Scorer]):
    """Handler that pairs each record with its log-likelihood.

    Args:
        place: the model.
    """

    def __init__(self, place: ModelPlace) -> None:
        super().__init__()
        self._place = place

    @quiet_calls()
    def load_model(self) -> Scorer:
        """Load the network."""
        from linesmith.model.sampling.text_losses import TextLosses
        from linesmith.model.tokenizers import tokenizer_from_model_dir

        loaded = self._place.load()
        directory = loaded.model.directory
        return Scorer(RecordTexts(loaded), TextLosses(directory, tokenizer_from_model_dir(directory)))

    def run_inference(
        self, batch: Sequence[Any], model: Scorer, inference_args: dict[str, Any] | None = None
    ) -> Iterator[tuple[Any, float]]:
        """Yield each record with its log-likelihood.

        Raises:
            DataError: LS232, an element is no record of the model.
        """
        means, tokens = model.losses.means(model.texts.of(batch))
        scores = -(means * tokens)
        impossible = int(np.isneginf(scores).sum())
        count(SCORE, {"records_scored": len(batch) - impossible, "records_impossible": impossible})
        yield from zip(batch, scores.tolist(), strict=True)

    def get_metrics_namespace(self) -> str:
        """Return the namespace of the metrics."""
        return SCORE

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Return the size of batches."""
        return {"min_batch_size": _BATCH_RECORDS, "max_batch_size": _BATCH_RECORDS}


class RecordTexts:
    """Elements as the texts that a model learned.

    Args:
        loaded: the model.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        settings = loaded.model.settings
        self._loaded = loaded
        self._table = loaded.learned_table
        self._fields = FieldFormat(settings.field_delimiter, settings.quoted)
        self._roles = read_roles(loaded.model.directory / "model")
        self._columns = loaded.learned_columns

    def of(self, batch: Sequence[Any]) -> list[str]:
        """Return the text of each element.

        Raises:
            DataError: LS232, one is no record of the model.
        """
        rows = [element_fields(element) for element in batch]
        lines = [self._line(element) for element, row in zip(batch, rows, strict=True) if row is None]
        if lines and self._roles is not None:
            lines = self._roles.learned_texts(lines, self._fields)
        given = [self._by_column(_flat(row)) for row in rows if row is not None]
        texts = iter(self._table_texts(given) if self._table is not None else map(self._row_text, given))
        plain = iter(lines)
        return [next(plain) if row is None else next(texts) for row in rows]

    def _line(self, element: Any) -> str:
        if not isinstance(element, str) or "\n" in element or "\r" in element:
            raise _record_error(f"a {type(element).__name__}, or a text with a line end")
        return element

    def _by_column(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the values of a row by the model's names, for which rows have others where they are no identifiers."""
        columns = self._columns or [TEXT_COLUMN]
        known = {}
        for column, field in zip(columns, field_names(columns), strict=True):
            name = column if column in row else field
            outer = column.rpartition(".")[0]  # a struct that is missing as a whole
            if name not in row and not (outer in row and row[outer] is None):
                raise _record_error(f"a row without column {column!r}")
            known[column] = row.get(name)
        return known

    def _row_text(self, row: dict[str, Any]) -> str:
        if self._columns is None:
            return self._line(row[TEXT_COLUMN])
        texts = [plain_text(_python_value(value)) for value in row.values()]
        if any("\n" in text or "\r" in text for text in texts):
            raise _record_error("a row with a line end in a value")
        return self._fields.join(texts)

    def _table_texts(self, rows: list[dict[str, Any]]) -> list[str]:
        import pyarrow as pa

        if self._table is None or not rows:
            return []
        try:
            columns = {
                column.name: _array([row[column.name] for row in rows], arrow_type(column))
                for column in self._table.columns
            }
            table = pa.table(columns)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            raise _record_error("a row with a value of another type than its column") from None
        return list(row_texts(self._table, columns_like(self._table, table)))


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a row with dotted names for the fields of its rows."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        inner = element_fields(value)
        flat |= {f"{prefix}{name}": value} if inner is None else _flat(inner, f"{prefix}{name}.")
    return flat


def _python_value(value: Any) -> Any:
    return value.to_utc_datetime(has_tz=True) if isinstance(value, Timestamp) else value


def _array(values: list[Any], arrow: pa.DataType) -> pa.Array:
    """Return values as an array of a type; dates, times and decimals may be text."""
    import pyarrow as pa

    plain = arrow.value_type if pa.types.is_dictionary(arrow) else arrow
    values = [_python_value(value) for value in values]
    if any(isinstance(value, str) for value in values) and not _is_text(plain):
        if pa.types.is_time(plain):
            return pa.array([None if value is None else dt.time.fromisoformat(value) for value in values], plain)
        return pa.array(values, pa.string()).cast(plain)
    return pa.array(values, plain)


def _is_text(arrow: pa.DataType) -> bool:
    from pyarrow import types

    return types.is_string(arrow) or types.is_large_string(arrow) or hasattr(arrow, "value_field")


def _record_error(found: str) -> DataError:
    return DataError("LS232", "records", found, "Give lines, or rows with the columns that the model learned.")
