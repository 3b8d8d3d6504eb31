"""Cells into which records fall by the numbers that describe them, about as many of a model's own records into each.

They are chosen by the model's records alone, so choosing them costs no privacy after private training.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from linesmith.model.discriminator.features import Matrix, RecordFeatures
from linesmith.model.discriminator.trees import TYPES, TreeSum

MOST_PARTITIONS = 64
_QUANTILES = 10  # parts of a column, by which two columns are judged to go together
_CLOSE = 0.9  # rank correlation of two columns of which the second is described by its difference from the first
_TURNS = 4  # of a column that is asked for before another has its turns
_LEAST_SHARE = 0.02  # of a cell's records that each part of it must have
_LEAST_RECORDS = 40  # of the model's in a cell that is parted further
Columns = tuple[int, ...]
Cells = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Partitions:
    """Several ways to part all records into cells.

    Attributes:
        trees: one for each partition; the value of a leaf is the number of its cell, over all partitions.
        cell_count: number of all cells.
    """

    trees: TreeSum
    cell_count: int

    def __len__(self) -> int:
        return len(self.trees.roots)

    def cells(self, matrix: Matrix) -> Cells:
        """Return the cell of each record in each partition, [N, partitions]."""
        rows = np.ascontiguousarray(matrix, np.float64)
        trees = (replace(self.trees, roots=self.trees.roots[n : n + 1]) for n in range(len(self)))
        return np.stack([tree.values(rows) for tree in trees], axis=1)

    def with_values(self, values: npt.NDArray[np.int64]) -> TreeSum:
        """Return trees that give a record the sum of its cells' values, which are in multiples of `UNIT`, [cell_count]."""
        return replace(self.trees, value=values[self.trees.value])


def choose_columns(features: RecordFeatures, matrix: Matrix, asked: Sequence[int] = ()) -> list[Columns]:
    """Choose by which columns records are parted: single ones, and the pairs of different fields that go together most.

    A column that is nearly the same as an earlier one, as the end of a ride is near its start, is described by the difference.

    Args:
        features: what the columns are.
        matrix: of the model's records, [N, features.width].
        asked: fields that records may be asked for: each of their values has cells of its own, parted by every other column.

    Returns:
        At most `MOST_PARTITIONS`; none where no column varies. A column stands there as often as it has its turn.
    """
    close = {
        features.own_width + number: pair
        for number, pair in enumerate(features.differences)
        if _rank_correlation(matrix[:, pair]) >= _CLOSE
    }
    described_by_difference = {later for _, later in close.values()}
    varying = [column for column in range(features.width) if _varies(matrix[:, column])]
    own = [column for column in varying if column < features.own_width and column not in described_by_difference]
    paired = [column for column in own if column in features.paired_columns] + [c for c in close if c in varying]
    field_of = features.field_of_column | {difference: -difference for difference in close}
    codes = {column: _codes(matrix[:, column]) for column in paired}
    pairs = [pair for pair in itertools.combinations(paired, 2) if field_of[pair[0]] != field_of[pair[1]]]
    pairs.sort(key=lambda pair: -_mutual_information(codes[pair[0]], codes[pair[1]]))
    singles = list(dict.fromkeys([*own, *paired]))
    given = [column for column in paired if field_of[column] in asked]
    conditions = [
        (column,) * _TURNS + (other,) * _TURNS
        for column in given
        for other in singles
        if field_of.get(other) != field_of[column]
    ]
    return [*[(column,) for column in singles], *conditions, *pairs][:MOST_PARTITIONS]


def build_partitions(chosen: list[Columns], matrix: Matrix, depth: int) -> Partitions:
    """Part records by columns: each cell at the median of the next column, again and again.

    Args:
        chosen: the columns of each partition, at least one.
        matrix: of the model's records, [N, width].
        depth: that a cell is parted at most; there are at most 2^depth cells to a partition.
    """
    builder = _TreeBuilder(matrix)
    roots = [builder.add_tree(columns, depth) for columns in chosen]
    arrays = {name: np.array(builder.nodes[name], TYPES[name]) for name in builder.nodes}
    return Partitions(TreeSum(**arrays, roots=np.array(roots, np.int32)), builder.cell_count)


class _TreeBuilder:
    """Nodes of several trees, as `TreeSum` holds them."""

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        self.nodes: dict[str, list[float]] = {name: [] for name in TYPES if name != "roots"}
        self.cell_count = 0

    def add_tree(self, columns: Columns, depth: int) -> int:
        """Add the tree of a partition; return its root."""
        return self._add(np.arange(len(self._matrix)), columns, depth)

    def _add(self, rows: Cells, columns: Columns, depth: int) -> int:
        """Add a node for these rows, and those that follow it; `columns` are in the order in which they have their turn."""
        own = len(self.nodes["feature"])
        leaf = {"feature": 0, "threshold": 0.0, "missing_left": True, "left": own, "right": own, "value": 0}
        for name, value in leaf.items():
            self.nodes[name].append(value)
        if depth > 0 and len(rows) >= _LEAST_RECORDS:
            for turn, column in enumerate(columns):
                threshold = _middle(self._matrix[rows, column])
                if threshold is not None:
                    numbers = self._matrix[rows, column]
                    goes_left = np.isnan(numbers) | (numbers <= threshold)
                    others = (*columns[turn + 1 :], *columns[: turn + 1])
                    self.nodes["feature"][own], self.nodes["threshold"][own] = column, threshold
                    self.nodes["left"][own] = self._add(rows[goes_left], others, depth - 1)
                    self.nodes["right"][own] = self._add(rows[~goes_left], others, depth - 1)
                    return own
        self.nodes["value"][own] = self.cell_count
        self.cell_count += 1
        return own


def _middle(numbers: npt.NDArray[np.float64]) -> float | None:
    """Return the number that parts numbers most evenly, with the missing ones among the small; None where nothing does.

    Minus infinity parts the missing ones from all others.
    """
    values, counts = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
    candidates = np.concatenate([[-np.inf], values[:-1]])
    left = (np.isnan(numbers).sum() + np.cumsum([0, *counts[:-1]])) / max(len(numbers), 1)
    best = int(np.abs(left - 0.5).argmin())
    return float(candidates[best]) if _LEAST_SHARE <= left[best] <= 1 - _LEAST_SHARE else None


def _varies(numbers: npt.NDArray[np.float64]) -> bool:
    return _middle(numbers) is not None


def _codes(numbers: npt.NDArray[np.float64]) -> Cells:
    """Return the part of a column that each number lies in, of about as many each; the missing are a part of their own."""
    bounds = np.unique(np.nanquantile(numbers, np.linspace(0, 1, _QUANTILES + 1)[1:-1]))
    return np.where(np.isnan(numbers), len(bounds) + 1, np.searchsorted(bounds, numbers, side="left"))


def _mutual_information(one: Cells, other: Cells) -> float:
    table = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(table, (one, other), 1 / len(one))
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True)
    filled = table > 0
    return float((table[filled] * np.log(table[filled] / expected[filled])).sum())


def _rank_correlation(pair: Matrix) -> float:
    """Return Spearman's rank correlation of two columns, [N, 2]; 0 where one does not vary."""
    from scipy.stats import rankdata

    known = pair[~np.isnan(pair).any(axis=1)]
    if len(known) < 2 or (known == known[0]).all(axis=0).any():
        return 0.0
    return float(np.corrcoef(rankdata(known, axis=0), rowvar=False)[0, 1])
