"""Judge made records by SDMetrics' quality report. Runs in SDV's own environment.

    python sdmetrics_score.py TRAIN HOLDOUT DELIMITER RESULT SYNTHETIC …

Writes the score of each file of records, which have no header, and that of the held out ones, all beside the training records.
"""

from __future__ import annotations

import csv
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from sdv.evaluation import evaluate_quality
from typed_table import read_table, sdv_metadata


def main() -> None:
    source, holdout, delimiter, result, *made = sys.argv[1:]
    warnings.simplefilter("ignore")
    real = read_table(source, delimiter)
    metadata = sdv_metadata(real)
    found = {"holdout": _score(real, read_table(holdout, delimiter), metadata)}
    for file in made:
        found[file] = _score(real, _like(real, file, delimiter), metadata)
    Path(result).write_text(json.dumps(found, indent=2))


def _score(real: pd.DataFrame, other: pd.DataFrame, metadata: Any) -> dict[str, float]:
    report = evaluate_quality({"table": real}, {"table": other}, metadata, verbose=False)
    parts = dict(report.get_properties().itertuples(index=False))
    return {"score": report.get_score(), **parts}


def _like(real: pd.DataFrame, file: str, delimiter: str) -> pd.DataFrame:
    """Read records with the types of a table; what a type cannot hold is missing."""
    with open(file, newline="", encoding="utf-8") as lines:
        rows = [
            row for row in csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE) if len(row) == real.shape[1]
        ]
    table = pd.DataFrame(rows, columns=real.columns, dtype=object).replace("", None)
    for name in real.columns:
        if pd.api.types.is_datetime64_any_dtype(real[name]):
            table[name] = pd.to_datetime(table[name], errors="coerce", utc=real[name].dt.tz is not None)
        elif real[name].dtype == bool:
            table[name] = table[name].map({"True": True, "False": False})
        elif pd.api.types.is_numeric_dtype(real[name]):
            table[name] = pd.to_numeric(table[name], errors="coerce")
    return table


if __name__ == "__main__":
    main()
