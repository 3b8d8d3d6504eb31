"""Fit the discriminator of a private model: from its own records, and from counts of the training records with noise.

A model that is trained under noise gets even single fields slightly wrong. How many records lie in which part of the data can be
measured far more precisely for the same privacy; from that, and from the model's own records, follows by how much more often
real records are like a record than the model's. The choice of what is measured reads nothing but the model's own records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from linesmith.model.discriminator.discriminator import Discriminator, score_quantiles
from linesmith.model.discriminator.features import choose_features
from linesmith.model.discriminator.fitting import LEAST_RECORDS, NoDiscriminatorError
from linesmith.model.discriminator.partitions import MOST_PARTITIONS, build_partitions, choose_columns
from linesmith.model.discriminator.reweighting import fit_log_factors
from linesmith.model.discriminator.trees import UNIT
from linesmith.model.privacy.cell_counts import CellCounter
from linesmith.records.fields import FieldFormat

_RECORDS_PER_STDDEV = 4.0  # that a cell has at least on average, in standard deviations of the noise on its count
_STRENGTH = 0.1  # by how many real records it counts that a record of the model keeps its weight: few, as noise made it
_MOST_DEPTH = 10  # so many times a cell is parted at most
_SHARE_UNSEEN = 0.2  # of the model's records, of which only the scores are looked at


def is_worth_noise(noise_multiplier: float, units: int, records_per_unit: int) -> bool:
    """Return whether there are so many records that counts of them say something under this noise.

    Args:
        noise_multiplier: of the counts.
        units: N, the number of records or users on the training side.
        records_per_unit: the most records of a unit that are counted.
    """
    stddev = noise_multiplier * records_per_unit * math.sqrt(MOST_PARTITIONS)
    return units >= max(LEAST_RECORDS, 2 * _RECORDS_PER_STDDEV * stddev)


def fit_private_discriminator(
    drawn: Sequence[str], fields: FieldFormat, counter: CellCounter, asked: Sequence[int] = ()
) -> Discriminator:
    """Learn what tells a private model's records from real ones.

    Args:
        drawn: the model's records, none of which anybody gets.
        fields: how records are split.
        counter: counts the real records, once.
        asked: fields that records may be asked for.

    Raises:
        NoDiscriminatorError: the model's records do not allow one; nothing was counted.
    """
    features = choose_features(drawn, fields)
    if features is None:
        raise NoDiscriminatorError("most of the model's records have another number of fields than the others")
    matrix, described = features.matrix(drawn, fields)
    matrix = matrix[described]
    if len(matrix) < LEAST_RECORDS:
        raise NoDiscriminatorError(f"{len(matrix):,} records of the model are too few, {LEAST_RECORDS:,} are needed")
    learned, unseen = np.split(matrix, [int(len(matrix) * (1 - _SHARE_UNSEEN))])
    columns = choose_columns(features, learned, asked)
    if not columns:
        raise NoDiscriminatorError("the model's records are all alike")
    stddev = counter.stddev(len(columns))
    partitions = build_partitions(columns, learned, _depth(counter.units, stddev))
    counts = counter.count(partitions, features, fields)
    total = max(float(counts.sum()) / len(partitions), 1.0)
    # Of the noise, and of half of what a count would differ by if as many other records had been drawn.
    variances = (stddev**2 + np.maximum(counts, 0) / 2) / total**2
    cells = partitions.cells(learned)
    factors = fit_log_factors(cells, np.zeros(len(cells)), counts / total, _STRENGTH * total * variances)
    trees = partitions.with_values(np.rint(factors / UNIT).astype(np.int64))
    return Discriminator(features, trees, score_quantiles(trees.scores(unseen)))


def _depth(units: int, stddev: float) -> int:
    """Return how often a cell is parted, so that its count is well above the noise."""
    if stddev == 0:
        return _MOST_DEPTH
    return max(1, min(_MOST_DEPTH, int(math.log2(max(2.0, units / (_RECORDS_PER_STDDEV * stddev))))))
