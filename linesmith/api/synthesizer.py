"""An estimator in the manner of scikit-learn, which need not be installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from linesmith.api.arrays import array_table
from linesmith.api.fitting import fit
from linesmith.api.inputs import Data
from linesmith.core.config.setting_field import shortened
from linesmith.core.config.tensorflow_config import fields, nearest_setting
from linesmith.core.errors import DataError, ParameterError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from linesmith.api.model import Model
    from linesmith.api.report import Report

_OWN = ("minutes", "output", "progress")


class Synthesizer:
    """Estimator that learns records with `fit` and writes new ones with `sample`.

    Parameters are those of `linesmith.fit`, and are checked when it is called. Only those that were given are parameters, so that
    defaults may depend on others. `sklearn.base.clone`, pipelines' `set_params` and `check_is_fitted` work. An array of numbers
    with rows and columns is taken as a table with columns x0, x1, …, and `sample` returns an array.

    Args:
        minutes: as for `linesmith.fit`.
        output: as for `linesmith.fit`.
        progress: as for `linesmith.fit`.
        settings: as for `linesmith.fit`.

    Attributes:
        model_: the model, after `fit`.
        feature_names_in_: names of the columns, where they have names; after `fit`.
        n_features_in_: number of columns, where there are columns; after `fit`.

    Example:
        >>> synthesizer = Synthesizer(epochs=3)
        >>> synthesizer.set_params(minutes=2)
        Synthesizer(epochs=3, minutes=2)
    """

    model_: Model
    _array_dtype: np.dtype[Any] | None
    feature_names_in_: npt.NDArray[np.object_]
    n_features_in_: int

    def __init__(
        self,
        *,
        minutes: float | None = None,
        output: str | os.PathLike[str] | None = None,
        progress: bool | None = None,
        **settings: Any,
    ) -> None:
        self._params: dict[str, Any] = {}
        self._defaults = {"minutes": None, "output": None, "progress": None}
        self._set({"minutes": minutes, "output": output, "progress": progress, **settings})

    def _set(self, params: Mapping[str, Any]) -> None:
        for name in params:
            if name not in _OWN and name not in fields():
                near = nearest_setting(name)
                hint = f"The nearest known one is '{near}'." if near else "See linesmith.TensorFlowConfig."
                raise ParameterError("LS101", None, f"unknown parameter '{shortened(name)}' of Synthesizer", hint)
        for name, value in params.items():
            if name in self._defaults and value is self._defaults[name]:
                self._params.pop(name, None)
            else:
                self._params[name] = value

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters that were given, and `minutes`, `output` and `progress`.

        Args:
            deep: has no effect; scikit-learn passes it.
        """
        return {**self._defaults, **self._params}

    def set_params(self, **params: Any) -> Self:
        """Change parameters, and return this object.

        Raises:
            ParameterError: LS101, a name is unknown.
        """
        self._set(params)
        return self

    def fit(self, X: Data, y: None = None) -> Self:
        """Train a model.

        Args:
            X: as `linesmith.fit` takes its data.
            y: has no effect; scikit-learn passes it.

        Raises:
            ParameterError, DataError: as `linesmith.fit`.
        """
        table = array_table(X)
        self.model_ = fit(X if table is None else table, **self.get_params())
        self._array_dtype = None if table is None else getattr(X, "dtype", None)
        for name in ("feature_names_in_", "n_features_in_"):  # of an earlier fit
            vars(self).pop(name, None)
        columns = self.model_.columns
        if columns is not None:
            import numpy as np

            self.n_features_in_ = len(columns)
            if table is None:
                self.feature_names_in_ = np.array(columns, dtype=object)
        return self

    def sample(self, n_samples: int = 1, **arguments: Any) -> Any:
        """Return new records; see `Model.sample` for the other arguments.

        Args:
            n_samples: number of records.
            arguments: `where`, `seed` and settings of generation.
        """
        records = self._fitted.sample(n_samples, **arguments)
        return records if self._array_dtype is None else records.to_numpy(self._array_dtype)

    def stream(self, start: int = 0, **arguments: Any) -> Iterator[Any]:
        """Yield records without end; arguments as for `Model.stream`."""
        return self._fitted.stream(start, **arguments)

    def score_samples(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the log-likelihood of each record, as `Model.score`."""
        return self._fitted.score(self._records(X))

    def score(self, X: Any, y: None = None) -> float:
        """Return the mean log-likelihood of records; larger is better.

        Args:
            X: the records.
            y: has no effect.
        """
        return float(self.score_samples(X).mean())

    def evaluate(self, holdout: Any = None, **arguments: Any) -> Report:
        """Return a report; arguments as for `Model.evaluate`."""
        return self._fitted.evaluate(None if holdout is None else self._records(holdout), **arguments)

    @property
    def _fitted(self) -> Model:
        if not self.__sklearn_is_fitted__():
            raise _not_fitted_error()
        return self.model_

    def _records(self, data: Any) -> Any:
        """Return records as the model takes them.

        Raises:
            DataError: LS232, an array has another number of columns.
        """
        if self._fitted is None or self._array_dtype is None:
            return data
        table = array_table(data)
        if table is None:
            return data
        if len(table.columns) != self.n_features_in_:
            found = f"X has {len(table.columns)} features, but Synthesizer is expecting {self.n_features_in_} features as input"
            raise DataError("LS232", "X", found, "Give the columns that it was fitted to.")
        return table

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags  # whoever asks for them has scikit-learn

        inputs = InputTags(string=True, categorical=True, allow_nan=True)
        return Tags(estimator_type=None, target_tags=TargetTags(required=False), input_tags=inputs)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in sorted(self._params.items()))
        return f"Synthesizer({given})"


def _not_fitted_error() -> DataError:
    """Return an error that scikit-learn's users can catch as its own, where scikit-learn is loaded."""
    exceptions = sys.modules.get("sklearn.exceptions")
    other: type[Exception] = AttributeError if exceptions is None else exceptions.NotFittedError
    error_class: type[DataError] = type("NotFittedError", (DataError, other), {})
    return error_class("LS201", None, "this Synthesizer is not fitted yet", "Call fit first.")
