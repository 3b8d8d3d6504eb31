"""Tell somebody who gave no delimiter that the records look like rows of a table: learned as free text, they come out poorly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from linesmith.core.config.input_format import TEXT
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.records.fields import FieldFormat
from linesmith.records.input.input_ranges import InputUnit

if TYPE_CHECKING:
    from linesmith.transforms.read_records import ReadSettings

_SAMPLED_RECORDS = 1_000
_FEWEST_RECORDS = 20
_USUAL_SHARE = 0.99  # of the records, with the same number of fields
# The fewest fields of a row, since a comma or a bar in each line of a text is no rarity.
_FEWEST_FIELDS = {"\t": 2, ";": 3, "|": 3, ",": 3}


def note_likely_delimiter(
    config: TensorFlowConfig, units: Sequence[InputUnit], settings: ReadSettings, notices: list[str]
) -> None:
    """Append a sentence for the user where lines of text without a delimiter look like rows.

    With `dp` no record is looked at.

    Args:
        config: the settings.
        units: the input.
        settings: how it is read.
        notices: sentences for the user.
    """
    if config.dp or config.input_format != TEXT or config.field_delimiter is not None:
        return
    from linesmith.transforms.read_records import RangeReader

    records: list[str] = []
    for source in (source for unit in units for source in unit.ranges):
        limit = _SAMPLED_RECORDS - len(records)
        if limit <= 0:
            break
        limit = limit if source.limit is None else min(limit, source.limit)
        for _ in RangeReader(replace(source, limit=limit), settings, on_record=records.append).batches():
            pass
    found = likely_delimiter(records)
    if found is None:
        return
    delimiter, count = found
    shown = "\\t" if delimiter == "\t" else delimiter
    notices.append(
        f"most records have {count} fields with '{shown}' between them, and are learned as free text. To learn a table, give "
        f"--field-delimiter '{shown}', with --header if the first line names the columns, and --quoted if fields stand in quotes"
    )


def likely_delimiter(records: Sequence[str]) -> tuple[str, int] | None:
    """Return what separates the fields of most records, and how many fields they have; None where nothing does.

    Args:
        records: some lines.

    Example:
        >>> likely_delimiter(["1,2,x"] * 30), likely_delimiter(["Well, well, well."] * 10 + ["No."] * 20)
        ((',', 3), None)
        >>> likely_delimiter(['a;"b;c";d', "1;2;3"] * 15)
        (';', 3)
    """
    if len(records) < _FEWEST_RECORDS:
        return None
    found = []
    for delimiter, fewest in _FEWEST_FIELDS.items():
        fields = FieldFormat(delimiter, quoted=True)
        counts = Counter(len(fields.split_or_none(record) or ()) for record in records)
        count, times = counts.most_common(1)[0]
        if count >= fewest and times >= _USUAL_SHARE * len(records):
            found.append((count, delimiter))
    return None if not found else (max(found)[1], max(found)[0])
