"""A discriminator: by how much more often real records are like a record than the model's own are.

Stored as `model/checkpoints/discriminator.npz`; `model.json` names its digest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from linesmith.core.artifacts.checkpoints import save_arrays
from linesmith.core.artifacts.files import sha256_file
from linesmith.core.artifacts.model_info import CHECKPOINTS_DIR, DISCRIMINATOR_FILE, ModelInfo
from linesmith.core.artifacts.stored_arrays import Headers, load_arrays
from linesmith.core.errors import DataError
from linesmith.model.discriminator.features import RecordFeatures
from linesmith.model.discriminator.trees import MAX_NODES, TYPES, UNIT, Scores, TreeSum
from linesmith.records.fields import FieldFormat

_QUANTILES = 2_001  # of the scores of the model's records that are kept
_RARE = 0.005  # share of the model's records whose ratio may be above the largest that is kept to
_LARGEST_SCORE = 500.0  # whose exponential is a number; no fitted one has more
_HALVINGS = 50  # of the interval that the largest ratio lies in


@dataclass(frozen=True)
class Discriminator:
    """Trees that tell real records from a model's own.

    Attributes:
        features: how a record is described.
        trees: their sum is the log of the ratio of the two densities.
        quantiles: of the scores of the model's own records, ascending.
    """

    features: RecordFeatures
    trees: TreeSum
    quantiles: Scores

    def log_ratios(self, texts: Sequence[str], fields: FieldFormat) -> Scores:
        """Return the log of the ratio for each record, [N]; 0 for one with another number of fields."""
        matrix, described = self.features.matrix(texts, fields)
        found = np.zeros(len(texts))
        found[described] = self.trees.scores(matrix[described])
        return found

    def log_gains(self, texts: Sequence[str], fields: FieldFormat, drafts: float) -> Scores:
        """Return by how much the log of the density of each record rises where the model's records are chosen, [N]."""
        bound = self.log_bound(drafts)
        return np.minimum(self.log_ratios(texts, fields) - bound, 0.0) - math.log(self.kept_share(drafts))

    def log_bound(self, drafts: float) -> float:
        """Return the log of the largest ratio that is kept to: records with a larger one are kept as those with this are.

        Args:
            drafts: records that the model may write, on average, for one that is kept; at least 1.
        """
        # A multiple of what scores are multiples of, so that their difference is exact.
        return round(log_bound(self.quantiles, drafts) / UNIT) * UNIT

    def kept_share(self, drafts: float) -> float:
        """Return the share of the model's records that is kept under `log_bound`."""
        return _kept(np.exp(self.quantiles), math.exp(self.log_bound(drafts)))


def log_bound(scores: Scores, drafts: float) -> float:
    """Return the log of the largest ratio that is kept to, so that keeping a record takes no more drafts than that.

    Args:
        scores: of a model's records.
        drafts: as for `Discriminator.log_bound`.
    """
    shift = float(scores.max())
    ratios = np.exp(scores - shift)
    low, high = float(ratios.min()), float(np.quantile(ratios, 1 - _RARE))
    if _kept(ratios, high) * drafts < 1:
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if _kept(ratios, middle) * drafts >= 1 else (low, middle)
        high = low
    return math.log(max(high, float(np.finfo(np.float64).tiny))) + shift


def _kept(ratios: Scores, largest: float) -> float:
    return float(np.minimum(ratios / largest, 1.0).mean()) if largest > 0 else 1.0


def score_quantiles(scores: Scores) -> Scores:
    """Return what `Discriminator.quantiles` keeps of scores."""
    return np.asarray(np.quantile(scores, np.linspace(0, 1, _QUANTILES)))


def save_discriminator(path: Path, discriminator: Discriminator) -> str:
    """Write a discriminator to a file; return its digest."""
    save_arrays(
        path, {**discriminator.trees.arrays(), "quantiles": discriminator.quantiles}, asdict(discriminator.features)
    )
    return sha256_file(path)


def load_discriminator(run_dir: str | Path, info: ModelInfo) -> Discriminator | None:
    """Read a model's discriminator; None where it has none.

    Args:
        run_dir: the run directory.
        info: description of the model.

    Raises:
        DataError: LS214, the file is missing, damaged, or not the one that the model describes.
    """
    if info.discriminator is None:
        return None
    path = Path(run_dir) / "model" / CHECKPOINTS_DIR / DISCRIMINATOR_FILE
    found = read_discriminator(path)
    if sha256_file(path) != info.discriminator:
        raise _damaged(path)
    return found


def read_discriminator(path: Path) -> Discriminator:
    """Read the file of a discriminator.

    Raises:
        DataError: LS214, the file is missing or damaged.
    """
    arrays, state = load_arrays(path, lambda headers: _check_headers(path, headers))
    try:
        features = _adapter().validate_python(state)
    except ValidationError:
        raise _damaged(path) from None
    trees = TreeSum.from_arrays(arrays, features.width) if features.is_sound() else None
    if trees is None or not (np.abs(arrays["quantiles"]) <= _LARGEST_SCORE).all():  # also where one is NaN
        raise _damaged(path)
    return Discriminator(features, trees, arrays["quantiles"])


def _check_headers(path: Path, headers: Headers) -> None:
    """Refuse other arrays than those of a discriminator, before they are allocated."""
    types = {**TYPES, "quantiles": np.float64}
    if headers.keys() != types.keys():
        raise _damaged(path)
    for name, header in headers.items():
        most = _QUANTILES if name == "quantiles" else MAX_NODES
        if header.dtype != types[name] or len(header.shape) != 1 or not 1 <= header.shape[0] <= most:
            raise _damaged(path)


def _damaged(path: Path) -> DataError:
    return DataError(
        "LS214",
        None,
        f"model file '{path}' is damaged, or not the one that the model describes",
        "Restore the run directory or train again with --overwrite.",
    )


@cache
def _adapter() -> TypeAdapter[RecordFeatures]:
    return TypeAdapter(RecordFeatures)
