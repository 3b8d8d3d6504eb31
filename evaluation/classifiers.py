"""What classifiers find: can one tell real from synthetic records, and does what one learns from synthetic hold for real ones?

They work on bounded samples chosen by hash and use scikit-learn's gradient boosting: trees cope with category codes, missing
values and any scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linesmith.evaluation.closeness import COMPARED, EvaluationData
from linesmith.evaluation.columns import FieldColumn, RecordColumns
from linesmith.evaluation.schema import CATEGORY, DATETIME, FREE_TEXT, NUMBER, DatasetSchema, FieldSchema

ROWS = 4000  # records of each set
MIN_ROWS = 100
MIN_SKILL = 0.2  # a field that real records predict no better than this is no test of synthetic ones
_FOLDS = 3
_SEED = 0
Floats = npt.NDArray[np.float64]
FeatureMatrix = tuple[Floats, list[int]]  # features, and the number of the field that each column belongs to


def feature_matrix(records: Sequence[str], schema: DatasetSchema) -> FeatureMatrix:
    """Return the features of records as a matrix with one row per record.

    A category gives its code; a number or time its value and its length as text; a text its length, the shares of digits and
    capitals in it, and a code of its first two characters.

    Args:
        records: records with field breaks.
        schema: their fields.

    Returns:
        The matrix, and for each of its columns the number of the field. The row of a record with another number of fields
        is all NaN.
    """
    columns = RecordColumns(pa.array(records, pa.large_string()))
    rows = np.flatnonzero(columns.field_counts == schema.field_count)
    usable = RecordColumns(columns.text.take(pa.array(rows)))
    parts: list[Floats] = []
    owners: list[int] = []
    for number, field in enumerate(schema.fields):
        features = _field_features(usable.column(number), field)
        parts += features
        owners += [number] * len(features)
    matrix = np.full((len(records), len(owners)), np.nan)
    if len(rows) and parts:
        matrix[rows] = np.column_stack(parts)
    return matrix, owners


def _field_features(column: FieldColumn, field: FieldSchema) -> list[Floats]:
    lengths = column.lengths.astype(np.float64)
    if field.role == CATEGORY:
        return [field.category_codes(column).astype(np.float64)]
    if field.role in (NUMBER, DATETIME):
        return [column.numbers, lengths]
    if field.role != FREE_TEXT:
        return [lengths]
    texts = column.values.to_pylist()
    digits = np.array([sum(c.isdigit() for c in text) / max(len(text), 1) for text in texts])
    capitals = np.array([sum(c.isupper() for c in text) / max(len(text), 1) for text in texts])
    start = np.array([sum(ord(c) << 8 * (1 - i) for i, c in enumerate(text[:2])) for text in texts], float)
    return [lengths, digits, capitals, start]


def discriminator_auc(data: EvaluationData) -> dict[str, Any]:
    """Measure how well a classifier tells each compared set from the training records.

    Returns:
        `auc`, the cross-validated area under the ROC curve by set (0.5 is chance, None for too few records), and `rows`, the
        number of records of each side.
    """
    found: dict[str, Any] = {"auc": {}, "rows": {}}
    with _one_thread():
        for name in COMPARED:
            found["auc"][name], found["rows"][name] = _auc(data, name)
    return found


def _one_thread() -> AbstractContextManager[Any]:
    """Limit OpenMP to one thread: its threads wait for each other by spinning, which is slow where the cores are shared."""
    import sklearn.ensemble  # noqa: F401  (only libraries that are loaded already can be limited)
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="openmp")
    return limits


def _auc(data: EvaluationData, name: str) -> tuple[float | None, int]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    real, other = _sample(data, "training"), _sample(data, name)
    size = min(len(real), len(other))
    if size < MIN_ROWS:
        return None, size
    matrix, _ = feature_matrix([*real[:size], *other[:size]], data.schema)
    labels = np.repeat([0, 1], size)
    scores = np.zeros(len(labels))
    for fit, test in StratifiedKFold(_FOLDS, shuffle=True, random_state=_SEED).split(matrix, labels):
        model = HistGradientBoostingClassifier(max_iter=80, random_state=_SEED).fit(_fittable(matrix[fit]), labels[fit])
        scores[test] = model.predict_proba(matrix[test])[:, 1]
    return float(roc_auc_score(labels, scores)), size


def _fittable(features: Floats) -> Floats:
    """Return features with 0 in the columns that have no value in any row, in which scikit-learn finds no bins and fails."""
    return np.where(np.isnan(features).all(axis=0), 0.0, features)


def train_synthetic_test_real(data: EvaluationData, target: str | None = None) -> dict[str, Any] | None:
    """Learn to predict a field from the others on synthetic records, and test on real ones (TSTR).

    The same is done after learning from as many training records, which gives the best that can be expected.

    Args:
        data: both passes' results; the holdout records are the test set.
        target: name of the field; None chooses the one that real records predict best, among the first three categories and
            the first three numbers.

    Returns:
        `field`, its `score` after learning from `training` and from `synthetic` (1 is perfect, 0 a constant guess), the
        number of `rows`, and the `measure` in words; None where there are too few records or nothing can be predicted.
    """
    test, real, synthetic = (_sample(data, name) for name in ("holdout", "training", "synthetic"))
    size = min(len(real), len(synthetic))
    if size < MIN_ROWS or len(test) < MIN_ROWS // 2:
        return None
    on_test, on_real, on_synthetic = (
        feature_matrix(rows, data.schema) for rows in (test, real[:size], synthetic[:size])
    )
    best: tuple[float, int] | None = None
    with _one_thread():
        for number in _target_fields(data.schema, target):
            score = _skill(data.schema, number, on_real, on_test)
            if score is not None and (best is None or score > best[0]):
                best = score, number
        if best is None or best[0] < MIN_SKILL:
            return None
        skill, number = best
        scores = {"training": skill, "synthetic": _skill(data.schema, number, on_synthetic, on_test)}
    field = data.schema.fields[number]
    return {
        "field": field.name,
        "score": scores,
        "rows": {"learnt_from": size, "tested_on": len(test)},
        "measure": (
            "share of wrong answers of the commonest class that is avoided"
            if field.role == CATEGORY
            else "share of the median's absolute error that is avoided"
        ),
    }


def _target_fields(schema: DatasetSchema, target: str | None) -> list[int]:
    """Return the numbers of the fields to try as a target."""
    if target is not None:
        return [number for number, field in enumerate(schema.fields) if field.name == target]
    categories = [n for n, f in enumerate(schema.fields) if f.role == CATEGORY and 2 <= len(f.categories) <= 50]
    return categories[:3] + [n for n, f in enumerate(schema.fields) if f.role == NUMBER][:3]


def _skill(schema: DatasetSchema, number: int, learn: FeatureMatrix, test: FeatureMatrix) -> float | None:
    """Return the share of the error of the best constant guess that a model removes on the test rows.

    The error of a number is absolute (Koenker and Machado 1999's R¹ at the median): with squares, a handful of numbers with
    one digit too many would decide the result. Those are penalized by their share elsewhere: in the distance of their field,
    and by the classifier that tells sets apart.

    Returns:
        At most 1, negative where the model is worse than the guess; None where there is too little to learn from.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    owners = np.array(learn[1])
    target = int(np.flatnonzero(owners == number)[0])  # the first column of a field is its code or value
    others = owners != number
    (x, y), (x_test, y_test) = ((matrix[:, others], matrix[:, target]) for matrix in (learn[0], test[0]))
    known, known_test = np.isfinite(y), np.isfinite(y_test)
    x, y, x_test, y_test = x[known], y[known], x_test[known_test], y_test[known_test]
    if not others.any() or len(y) < MIN_ROWS // 2 or len(y_test) < MIN_ROWS // 4 or len(np.unique(y)) < 2:
        return None
    if schema.fields[number].role == CATEGORY:
        model = HistGradientBoostingClassifier(max_iter=40, random_state=_SEED, max_leaf_nodes=15).fit(_fittable(x), y)
        error = float((model.predict(x_test) != y_test).mean())
        guess = 1 - float(np.unique(y_test, return_counts=True)[1].max()) / len(y_test)
    else:
        model = HistGradientBoostingRegressor(loss="absolute_error", max_iter=60, random_state=_SEED).fit(
            _fittable(x), y
        )
        error = float(np.abs(y_test - model.predict(x_test)).mean())
        guess = float(np.abs(y_test - np.median(y_test)).mean())
    return None if guess == 0 else 1 - error / guess


def _sample(data: EvaluationData, name: str) -> list[str]:
    """Return a set's sampled records as they occur; none where the set is absent."""
    if name not in data.profiles:
        return []
    return [text for _, text, _ in data.profiles[name].row_sample.items()[:ROWS]]
