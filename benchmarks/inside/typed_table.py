"""Read a CSV file as its users would, with a type per column, and write made rows in the spelling of the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd


def read_table(file: str, delimiter: str) -> pd.DataFrame:
    """Read a CSV file with a header: numbers as numbers, ISO dates and times as datetimes, empty fields as missing."""
    table = pd.read_csv(file, sep=delimiter, keep_default_na=False, na_values=[""])
    for name in table.columns:
        if not pd.api.types.is_numeric_dtype(table[name]):
            try:
                table[name] = pd.to_datetime(table[name], format="ISO8601")
            except (ValueError, TypeError):
                continue
    return table


def write_rows(made: pd.DataFrame, like: pd.DataFrame, source: str, delimiter: str, target: str, count: int) -> float:
    """Write rows without a header and return the share of them that has a field per column.

    Args:
        made: rows.
        like: what `read_table` returned of the source.
        source: the source, which says how many digits a number has, and how a date is spelled.
        delimiter: between two fields.
        target: file to write.
        count: most rows to write.
    """
    texts = pd.read_csv(source, sep=delimiter, dtype=str, keep_default_na=False)
    spelled = pd.DataFrame({name: _spelled(made[name], like[name], texts[name]) for name in like.columns})
    lines = [delimiter.join(row) for row in spelled.itertuples(index=False)]
    valid = [line for line in lines if line.count(delimiter) == len(like.columns) - 1 and "\n" not in line]
    Path(target).write_text("".join(line + "\n" for line in valid[:count]), encoding="utf-8")
    return len(valid) / max(len(lines), 1)


def _spelled(made: pd.Series[Any], like: pd.Series[Any], texts: pd.Series[str]) -> pd.Series[str]:
    missing = made.isna()
    if pd.api.types.is_datetime64_any_dtype(like):
        longest = int(texts.str.len().max())
        spelled = pd.to_datetime(made).dt.strftime(
            "%Y-%m-%dT%H:%M:%SZ" if "T" in texts.iloc[0] else "%Y-%m-%d %H:%M:%S"
        )
        spelled = spelled.str[:longest] if longest < 19 else spelled
    elif pd.api.types.is_numeric_dtype(like) and like.dtype != bool:
        digits = max((len(text.partition(".")[2]) for text in texts), default=0)
        numbers = pd.to_numeric(made, errors="coerce").astype(float)
        spelled = numbers.map(lambda number: repr(round(number, digits)) if digits else f"{number:.0f}")
    else:
        spelled = made.astype(str)
    return spelled.where(~missing, "").fillna("")


def sdv_metadata(table: pd.DataFrame) -> Any:
    """Describe a table for SDV: what it takes for an identifier or personal data, and would invent anew, is learned, too."""
    from sdv.metadata import Metadata

    metadata = Metadata.detect_from_dataframes({"table": table})
    metadata.remove_primary_key("table")
    for name, column in metadata.tables["table"].columns.items():
        if column["sdtype"] not in ("numerical", "categorical", "datetime", "boolean"):
            sdtype = "numerical" if pd.api.types.is_numeric_dtype(table[name]) else "categorical"
            metadata.update_column(column_name=name, table_name="table", sdtype=sdtype)
    return metadata
