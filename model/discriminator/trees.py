"""A sum of decision trees as plain arrays, whose scores are the same on every machine and for any number of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from linesmith.model.discriminator.native_trees import score_trees

UNIT = 1.0 / (1 << 16)  # scores are multiples of this, so their sum does not depend on its order
MAX_NODES = 1 << 20  # that are loaded
TYPES: dict[str, Any] = {
    "feature": np.int32,
    "threshold": np.float64,
    "missing_left": np.bool_,
    "left": np.int32,
    "right": np.int32,
    "value": np.int64,
    "roots": np.int32,
}
_ROWS = 1_000  # walked side by side
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TreeSum:
    """A sum of decision trees.

    A row of numbers goes from a root to a leaf: left where its number of `feature` is at most `threshold`, and where it is NaN
    and `missing_left` is set. Its score is the sum of its leaves' values.

    Attributes:
        feature: column that a node decides by, [nodes].
        threshold: [nodes].
        missing_left: [nodes].
        left, right: numbers of the next nodes; those of a leaf are its own, [nodes].
        value: of a leaf, in multiples of UNIT, [nodes].
        roots: node that a tree begins with, [trees].
    """

    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float64]
    missing_left: npt.NDArray[np.bool_]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: npt.NDArray[np.int64]
    roots: npt.NDArray[np.int32]

    def scores(self, matrix: npt.NDArray[np.float64]) -> Scores:
        """Return the score of each row of a matrix, [N]: in compiled code, else in NumPy, which gives the same."""
        return self.values(matrix) * UNIT

    def values(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return the sum of the leaves' values for each row of a matrix, [N]: the score as a multiple of `UNIT`."""
        rows = np.ascontiguousarray(matrix, np.float64)
        found = score_trees(rows, self.arrays())
        return self.walk(rows) if found is None else found

    def walk(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return the same as `values`, computed in NumPy."""
        parts = [self._walk(matrix[start : start + _ROWS]) for start in range(0, len(matrix), _ROWS)]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _walk(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        rows = np.arange(len(matrix))[:, None]
        node = np.repeat(self.roots[None, :], len(matrix), axis=0)
        while True:
            number = matrix[rows, self.feature[node]]
            goes_left = np.where(np.isnan(number), self.missing_left[node], number <= self.threshold[node])
            following = np.where(goes_left, self.left[node], self.right[node])
            if np.array_equal(following, node):
                return np.asarray(self.value[node].sum(axis=1))
            node = following

    def joined(self, other: TreeSum) -> TreeSum:
        """Return the trees of both, whose score is the sum of theirs."""
        shift = np.int32(len(self.feature))
        moved = replace(other, left=other.left + shift, right=other.right + shift, roots=other.roots + shift)
        return TreeSum(**{name: np.concatenate([getattr(self, name), getattr(moved, name)]) for name in TYPES})

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by name, to be stored."""
        return {name: getattr(self, name) for name in TYPES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], width: int) -> TreeSum | None:
        """Make trees of stored arrays.

        Args:
            arrays: by name, of the types and dimensions of `TYPES`.
            width: number of columns of a matrix.

        Returns:
            None where a walk would leave the nodes or the matrix, or not end.
        """
        made, nodes = cls(**{name: arrays[name] for name in TYPES}), len(arrays["feature"])
        if any(len(arrays[name]) != nodes for name in TYPES if name != "roots") or not nodes or not len(made.roots):
            return None
        own = np.arange(nodes)
        is_leaf = (made.left == own) & (made.right == own)
        # A node stands before those that follow it, so every walk ends.
        goes_on = (made.left > own) & (made.right > own) & (made.left < nodes) & (made.right < nodes)
        sound = (is_leaf | goes_on) & (made.feature >= 0) & (made.feature < width)
        return made if sound.all() and made.roots.min() >= 0 and made.roots.max() < nodes else None


def trees_of_classifier(classifier: Any) -> TreeSum | None:
    """Return the trees of a fitted `HistGradientBoostingClassifier` of two classes, whose sum is its decision function.

    Args:
        classifier: without categorical features.

    Returns:
        None where this version of scikit-learn holds them in another way: it has no public way to them.
    """
    try:
        trees = [predictors[0].nodes for predictors in classifier._predictors]
        baseline = float(np.ravel(classifier._baseline_prediction)[0])
        parts = [_arrays_of_tree(tree, start) for tree, start in zip(trees, _starts(trees), strict=True)]
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
    # The leaf that every row has.
    first = {
        "feature": 0,
        "threshold": 0.0,
        "missing_left": True,
        "left": 0,
        "right": 0,
        "value": round(baseline / UNIT),
    }
    arrays = {
        name: np.concatenate([[first[name]], *(part[name] for part in parts)]).astype(TYPES[name]) for name in first
    }
    return TreeSum(**arrays, roots=np.array([0, *_starts(trees)], np.int32))


def _starts(trees: Iterable[npt.NDArray[Any]]) -> list[int]:
    """Return the number of each tree's first node; a leaf stands before them all."""
    starts = [1]
    for tree in trees:
        starts.append(starts[-1] + len(tree))
    return starts[:-1]


def _arrays_of_tree(nodes: npt.NDArray[Any], start: int) -> dict[str, npt.NDArray[Any]]:
    own, leaf = np.arange(start, start + len(nodes)), nodes["is_leaf"].astype(np.bool_)
    if nodes["is_categorical"].any():
        raise ValueError("categorical")
    return {
        "feature": np.where(leaf, 0, nodes["feature_idx"]),
        "threshold": np.where(leaf, 0.0, nodes["num_threshold"]),
        "missing_left": nodes["missing_go_to_left"].astype(np.bool_),
        "left": np.where(leaf, own, start + nodes["left"].astype(np.int64)),
        "right": np.where(leaf, own, start + nodes["right"].astype(np.int64)),
        "value": np.where(leaf, np.rint(nodes["value"] / UNIT), 0).astype(np.int64),
    }
