"""Fit a discriminator: gradient boosting on real records and the model's own, ended where it stops to help on unseen ones.

Then the shares of single fields and of pairs are corrected among the records that it keeps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from linesmith.model.discriminator.discriminator import Discriminator, score_quantiles
from linesmith.model.discriminator.features import Matrix, RecordFeatures, choose_features
from linesmith.model.discriminator.partitions import build_partitions, choose_columns
from linesmith.model.discriminator.reweighting import fit_log_factors
from linesmith.model.discriminator.trees import UNIT, Scores, TreeSum, trees_of_classifier
from linesmith.records.fields import FieldFormat

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

LEAST_RECORDS = 1_000  # real ones; of fewer, trees learn the records and not what they are like
_SHARE_UNSEEN = 0.2  # of each side, by which the number of trees is chosen
_TREES = 200
_LEARNING_RATE = 0.1
_LEAVES = 63
_LEAST_PER_LEAF = 20
_L2 = 5.0
_SHARE_OF_COLUMNS = 0.4  # that a split may choose from
_RECORDS_PER_CELL = 50  # real ones, at least on average
# By how many real records it counts that a record of the model keeps its weight; chosen by unseen records (docs/training.md).
_STRENGTH = 4.0
_LEAST_ERRORS = 3.0  # standard errors by which unseen real records must gain


class NoDiscriminatorError(Exception):
    """There can be no discriminator; the text says why."""


def fit_discriminator(
    real: Sequence[str], synthetic: Sequence[str], fields: FieldFormat, seed: int, asked: Sequence[int] = ()
) -> Discriminator:
    """Learn to tell a model's records from real ones.

    Args:
        real: real records; by the last fifth of them the number of trees is chosen, so the model should not have learned those.
        synthetic: the model's records, none of which anybody gets.
        fields: how records are split.
        seed: of what is drawn.
        asked: fields that records may be asked for.

    Raises:
        NoDiscriminatorError: there are too few records, unseen ones are not told apart, or scikit-learn is missing or unknown.
    """
    try:
        import sklearn.ensemble  # noqa: F401  (only libraries that are loaded already can be limited)
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError:
        raise NoDiscriminatorError(
            "scikit-learn is not installed; pip install 'linesmith[train]' installs it"
        ) from None
    features = choose_features(real, fields)
    if features is None:
        raise NoDiscriminatorError("most records have another number of fields than the others")
    described = {
        "real records": _described(features.matrix(real, fields)),
        "records of the model": _described(features.matrix(synthetic, fields)),
    }
    for whose, side in described.items():
        if len(side) < LEAST_RECORDS:
            raise NoDiscriminatorError(f"{len(side):,} {whose} are too few, {LEAST_RECORDS:,} are needed")
    of_real, of_synthetic = described.values()
    learned_real, unseen_real = _parted(of_real)
    learned_synthetic, unseen_synthetic = _parted(of_synthetic)
    # In one thread sums have one order, so the same records give the same trees.
    with threadpool_limits(1, user_api="openmp"):
        first = _classifier(learned_real, learned_synthetic, _TREES, seed)
        count = _number_of_trees(first, unseen_real, unseen_synthetic)
        # Real records are rare and all are learned; of those of the model some must stay unseen, to know their scores.
        classifier = _classifier(of_real, learned_synthetic, count, seed)
    trees = trees_of_classifier(classifier)
    if trees is None or not _agree(trees, classifier, unseen_synthetic):
        raise NoDiscriminatorError("this version of scikit-learn is not known to Linesmith")
    # A record cannot be kept more often than always. What that loses shows in single fields and pairs, and is given back there.
    trees = _corrected(features, trees, of_real, learned_synthetic, asked)
    return Discriminator(features, trees, score_quantiles(trees.scores(unseen_synthetic)))


def _corrected(
    features: RecordFeatures, trees: TreeSum, real: Matrix, synthetic: Matrix, asked: Sequence[int]
) -> TreeSum:
    """Return trees with which kept records have the shares of the real ones in cells of single fields and of pairs."""
    columns = choose_columns(features, synthetic, asked)
    if not columns:
        return trees
    partitions = build_partitions(columns, synthetic, max(1, int(math.log2(len(real) / _RECORDS_PER_CELL))))
    cells = partitions.cells(synthetic)
    shares, own = (
        np.bincount(some.ravel(), minlength=partitions.cell_count) / len(some)
        for some in (partitions.cells(real), cells)
    )
    # The variance of a share, for which the model's own is as good an estimate where few real records are.
    factors = fit_log_factors(cells, trees.scores(synthetic), shares, _STRENGTH * (shares + own) / 2)
    return trees.joined(partitions.with_values(np.rint(factors / UNIT).astype(np.int64)))


def _agree(trees: TreeSum, classifier: HistGradientBoostingClassifier, matrix: Matrix) -> bool:
    """Return whether trees have the scores of the classifier that they were taken from, but for their rounding."""
    return bool(np.allclose(trees.scores(matrix), classifier.decision_function(matrix), atol=len(trees.roots) * UNIT))


def _described(found: tuple[Matrix, npt.NDArray[np.bool_]]) -> Matrix:
    matrix, described = found
    return matrix[described]


def _parted(side: Matrix) -> tuple[Matrix, Matrix]:
    """Return the rows that are learned, and those that are not seen meanwhile."""
    learned = int(len(side) * (1 - _SHARE_UNSEEN))
    return side[:learned], side[learned:]


def _number_of_trees(classifier: HistGradientBoostingClassifier, real: Matrix, synthetic: Matrix) -> int:
    """Return the number of trees that raises the likelihood of unseen real records most.

    Raises:
        NoDiscriminatorError: none does surely.
    """
    best: tuple[float, int] = (0.0, 0)
    scores = [classifier.staged_decision_function(side) for side in (real, synthetic)]
    for number, (of_real, of_synthetic) in enumerate(zip(*scores, strict=True), 1):
        gain, error = _gain(of_real, of_synthetic)
        if gain > max(best[0], _LEAST_ERRORS * error):
            best = gain, number
    if not best[1]:
        raise NoDiscriminatorError("unseen real records could not be told from those of the model")
    return best[1]


def _gain(real: Scores, synthetic: Scores) -> tuple[float, float]:
    """Return by how much a real record's log-likelihood rises where the model's records count by their ratio, and its error."""
    ratios = np.exp(synthetic)
    gain = real.mean() - np.log(ratios.mean())
    error = np.sqrt(real.var() / len(real) + ratios.var() / ratios.mean() ** 2 / len(ratios))
    return float(gain), float(error)


def _classifier(real: Matrix, synthetic: Matrix, trees: int, seed: int) -> HistGradientBoostingClassifier:
    from sklearn.ensemble import HistGradientBoostingClassifier

    matrix = np.concatenate([synthetic, real])
    # Of a column without any number scikit-learn makes no bins.
    matrix = np.where(np.isnan(matrix).all(axis=0), 0.0, matrix)
    labels = np.repeat([0, 1], [len(synthetic), len(real)])
    weights = np.repeat([len(real) / len(synthetic), 1.0], [len(synthetic), len(real)])  # both sides count the same
    classifier = HistGradientBoostingClassifier(
        max_iter=trees,
        learning_rate=_LEARNING_RATE,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=_LEAST_PER_LEAF,
        l2_regularization=_L2,
        max_features=_SHARE_OF_COLUMNS,
        early_stopping=False,
        random_state=seed % (1 << 32),
    )
    classifier.fit(matrix, labels, sample_weight=weights)
    return classifier
