"""What a learner finds: can it tell real from synthetic, and does what it learns from synthetic records hold for real ones?

On bounded samples chosen by hash, with scikit-learn's gradient boosting (trees cope with codes, gaps and scales).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linesmith.evaluation.closeness import Evidence
from linesmith.evaluation.columns import Columns
from linesmith.evaluation.schema import CATEGORY, DATETIME, FREE_TEXT, NUMBER, Schema

ROWS = 4000  # of each set
MIN_ROWS = 100
MIN_SKILL = 0.2  # what real records predict no better than this is no test of synthetic ones
_FOLDS = 3
_SEED = 0


def features(records: Sequence[str], schema: Schema) -> tuple[npt.NDArray[np.float64], list[int]]:
    """A row of numbers a record, and which field each belongs to; records with another number of fields are all NaN.

    A category gives its code, a number or time its value and the digits it is written with, text its length, the shares of
    digits and capitals in it, and a code of its first two characters.
    """
    columns = Columns(pa.array(records, pa.large_string()))
    rows = np.flatnonzero(columns.counts == schema.field_count)
    right = Columns(columns.text.take(pa.array(rows)))
    parts: list[npt.NDArray[np.float64]] = []
    owners: list[int] = []
    for number, one in enumerate(schema.fields):
        column = right.column(number)
        if one.role == CATEGORY:
            own = [one.fine(column).astype(np.float64)]
        elif one.role in (NUMBER, DATETIME):
            own = [column.numbers, column.lengths.astype(np.float64)]
        else:
            own = [column.lengths.astype(np.float64)]
        if one.role == FREE_TEXT:
            texts = column.values.to_pylist()
            own.append(np.array([sum(c.isdigit() for c in text) / max(len(text), 1) for text in texts]))
            own.append(np.array([sum(c.isupper() for c in text) / max(len(text), 1) for text in texts]))
            own.append(np.array([sum(ord(c) << 8 * (1 - i) for i, c in enumerate(text[:2])) for text in texts], float))
        parts += own
        owners += [number] * len(own)
    table = np.full((len(records), len(owners)), np.nan)
    if len(rows) and parts:
        table[rows] = np.column_stack(parts)
    return table, owners


def tell_apart(evidence: Evidence) -> dict[str, Any]:
    """Area under the curve of a classifier that tells a set from the training records, cross-validated; 0.5 is by chance."""
    found: dict[str, Any] = {"auc": {}, "rows": {}}
    with _one_thread():
        for name in ("synthetic", "holdout"):
            found["auc"][name], found["rows"][name] = _auc(evidence, name)
    return found


def _one_thread() -> Any:
    """Threads that wait for each other by spinning take many times as long where another process has the core."""
    import sklearn.ensemble  # noqa: F401  (only libraries that are loaded already can be limited)
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="openmp")


def _auc(evidence: Evidence, name: str) -> tuple[float | None, int]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    real, other = _rows(evidence, "training"), _rows(evidence, name)
    size = min(len(real), len(other))
    if size < MIN_ROWS:
        return None, size
    table, _ = features([*real[:size], *other[:size]], evidence.schema)
    labels = np.repeat([0, 1], size)
    scores = np.zeros(len(labels))
    for fit, test in StratifiedKFold(_FOLDS, shuffle=True, random_state=_SEED).split(table, labels):
        model = HistGradientBoostingClassifier(max_iter=80, random_state=_SEED).fit(table[fit], labels[fit])
        scores[test] = model.predict_proba(table[test])[:, 1]
    return float(roc_auc_score(labels, scores)), size


def usefulness(evidence: Evidence, target: str | None = None) -> dict[str, Any] | None:
    """Learn a field from the others on synthetic records, test on real ones; the same after learning on training records.

    Args:
        target: name of the field; None chooses what real records predict best of the first three categories and numbers.

    Returns:
        Scores above a guess (1 is perfect, 0 a guess), or None where there are too few records or nothing can be predicted.
    """
    test = _rows(evidence, "holdout")
    real, made = _rows(evidence, "training"), _rows(evidence, "synthetic")
    size = min(len(real), len(made))
    if size < MIN_ROWS or len(test) < MIN_ROWS // 2:
        return None
    tables = {name: features(rows, evidence.schema)
              for name, rows in (("test", test), ("training", real[:size]), ("synthetic", made[:size]))}  # fmt: skip
    best: dict[str, Any] | None = None
    for number in _candidates(evidence.schema, target):
        with _one_thread():
            score = _predict(evidence.schema, number, tables["training"], tables["test"])
        if score is not None and (best is None or score > best["score"]["training"]):
            best = {"field": number, "score": {"training": score}}
    if best is None or best["score"]["training"] < MIN_SKILL:
        return None
    number = best["field"]
    with _one_thread():
        best["score"]["synthetic"] = _predict(evidence.schema, number, tables["synthetic"], tables["test"])
    best["field"] = evidence.schema.fields[number].name
    best["rows"] = {"learnt_from": size, "tested_on": len(test)}
    best["measure"] = (
        "share of wrong answers of the commonest class that is avoided"
        if evidence.schema.fields[number].role == CATEGORY
        else "share of the median's absolute error that is avoided"
    )
    return best


def _candidates(schema: Schema, target: str | None) -> list[int]:
    if target is not None:
        return [number for number, one in enumerate(schema.fields) if one.name == target]
    categories = [n for n, one in enumerate(schema.fields) if one.role == CATEGORY and 2 <= len(one.categories) <= 50]
    return categories[:3] + [n for n, one in enumerate(schema.fields) if one.role == NUMBER][:3]


Table = tuple[npt.NDArray[np.float64], list[int]]


def _predict(schema: Schema, number: int, learn: Table, test: Table) -> float | None:
    """Skill on the test rows: share of the error of the best constant guess that is removed; None where it cannot be learnt.

    The error of a number is absolute (Koenker and Machado 1999's R¹ at the median): learnt with squares, a handful of numbers
    with a digit too many would decide the figure. They are charged by their share: in fields, and in telling apart.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    owners = np.array(learn[1])
    at = int(np.flatnonzero(owners == number)[0])
    others = owners != number
    (x, y), (x_test, y_test) = ((t[:, others], t[:, at]) for t in (learn[0], test[0]))
    known, known_test = np.isfinite(y), np.isfinite(y_test)
    x, y, x_test, y_test = x[known], y[known], x_test[known_test], y_test[known_test]
    if not others.any() or len(y) < MIN_ROWS // 2 or len(y_test) < MIN_ROWS // 4 or len(np.unique(y)) < 2:
        return None
    if schema.fields[number].role == CATEGORY:
        model = HistGradientBoostingClassifier(max_iter=40, random_state=_SEED, max_leaf_nodes=15).fit(x, y)
        wrong = float((model.predict(x_test) != y_test).mean())
        guess = 1 - float(np.unique(y_test, return_counts=True)[1].max()) / len(y_test)
    else:
        model = HistGradientBoostingRegressor(loss="absolute_error", max_iter=60, random_state=_SEED).fit(x, y)
        wrong = float(np.abs(y_test - model.predict(x_test)).mean())
        guess = float(np.abs(y_test - np.median(y_test)).mean())
    return None if guess == 0 else 1 - wrong / guess


def _rows(evidence: Evidence, name: str) -> list[str]:
    if name not in evidence.surveys:
        return []
    return [text for _, text, _ in evidence.surveys[name].rows.items()[:ROWS]]
