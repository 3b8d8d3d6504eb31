"""A data frame with fourteen kinds of columns."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd


def fourteen_kinds(rows: int) -> pd.DataFrame:
    """Return a data frame of `rows` rows; the same for the same number."""
    draw = np.random.default_rng(1)
    numbers = range(rows)
    return pd.DataFrame(
        {
            "id": [f"id{number}" for number in numbers],
            "count": draw.integers(0, 100, rows).astype("int32"),
            "maybe": pd.array([None if n % 7 == 0 else n % 5 for n in numbers], dtype="Int64"),
            "ratio": np.where(draw.random(rows) < 0.1, np.nan, draw.normal(size=rows).round(1)),
            "price": [Decimal(int(cents)).scaleb(-2) for cents in draw.integers(100, 999, rows)],
            "yes": draw.random(rows) < 0.5,
            "maybe yes": pd.array([None if n % 9 == 0 else n % 2 == 0 for n in numbers], dtype="boolean"),
            "day": [dt.date(2020, 1, 1 + n % 28) for n in numbers],
            "instant": pd.date_range("2020-01-01", periods=rows, freq="h", tz="Europe/Rome"),
            "clock": [dt.time(n % 24, 30) for n in numbers],
            "kind": pd.Categorical([["a", "b", None][n % 3] for n in numbers], categories=["b", "a", "c, d"]),
            "note": [["a,b", 'q"x"', "l\nm", "😀", "", None][n % 6] for n in numbers],
            "nothing": [None] * rows,
            "constant": ["k"] * rows,
        }
    )
