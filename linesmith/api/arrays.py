"""Arrays of numbers with rows and columns, as scikit-learn's estimators take them, as tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from linesmith.core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def array_table(data: Any) -> pd.DataFrame | None:
    """Return an array as a table with columns x0, x1, …; None for any other object.

    Raises:
        DataError: LS232, LS207: an array that is no table of plain values.
    """
    if hasattr(data, "tocsr"):
        raise DataError("LS232", "X", "a sparse matrix", "Give a dense one: X.toarray().")
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(data, numpy.ndarray) or (data.ndim == 1 and data.dtype.kind in "OU"):
        return None  # an array of texts is lines
    if data.ndim != 2:
        found = f"an array of {data.ndim} dimensions. Reshape your data: a table has 2"
        raise DataError("LS232", "X", found, "X.reshape(-1, 1) has one column.")
    if data.dtype.kind == "c":
        raise DataError("LS232", "X", "Complex data not supported", "Give its real and its imaginary part as columns.")
    rows, columns = data.shape
    if not columns or not rows:
        found = f"0 feature(s) (shape=({rows}, 0)) while a minimum of 1 is required" if rows else "0 sample(s)"
        raise DataError("LS232", "X", found, "Give rows and columns.")
    import pandas as pd

    table = pd.DataFrame(data, columns=[f"x{number}" for number in range(columns)])
    return table.infer_objects() if data.dtype.kind == "O" else table
