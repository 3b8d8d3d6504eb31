"""Profiles and counts as plain JSON, so that the driver can read the workers' results without unpickling anything."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

import numpy as np

from linesmith.core.errors import DataError
from linesmith.evaluation.dataset_profile import DatasetProfile, FieldProfile
from linesmith.evaluation.schema_counts import CountPlan, SchemaCounts
from linesmith.evaluation.sketches import BottomKSample, DistinctCount, FrequentItems, QuantileSketch

_SKETCHES: dict[str, Any] = {kind.__name__: kind for kind in (QuantileSketch, DistinctCount, FrequentItems)}
_OBJECTS: dict[str, Any] = {kind.__name__: kind for kind in (BottomKSample, FieldProfile, DatasetProfile, SchemaCounts)}
_NUMBERS = ("int64", "uint64", "float64")


def to_json(value: Any) -> Any:
    """Return plain JSON for a profile or counts and everything in them; the plan of counts is left out.

    Args:
        value: a DatasetProfile, a SchemaCounts, or anything that they hold.

    Returns:
        What `from_json` reads.

    Raises:
        TypeError: the value is of another type.
    """
    name = type(value).__name__
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, np.ndarray):
        return {"array": value.dtype.name, "shape": value.shape, "bytes": _base64(value.tobytes())}
    if isinstance(value, dict):
        return {
            "pairs": [[to_json(key), to_json(item)] for key, item in value.items()],
            "counter": isinstance(value, Counter),
        }
    if name in _SKETCHES:
        return {"sketch": name, "bytes": _base64(value.__getstate__())}
    if name in _OBJECTS:
        return {"object": name, "state": {key: to_json(item) for key, item in vars(value).items() if key != "plan"}}
    raise TypeError(f"cannot convert a {name} to JSON")


def from_json(content: Any, plan: CountPlan | None = None) -> Any:
    """Return what `to_json` was given.

    Only the known classes are created, by name and without calling anything that the content names.

    Args:
        content: JSON that `to_json` returned.
        plan: plan of the counts in it; None where it holds none.

    Raises:
        DataError: the content is not what `to_json` returns, or counts come without their plan.
    """
    if isinstance(content, list):
        return [from_json(item, plan) for item in content]
    if not isinstance(content, dict):
        return content
    if content.get("array") in _NUMBERS:
        return np.frombuffer(base64.b64decode(content["bytes"]), content["array"]).reshape(content["shape"]).copy()
    if "pairs" in content:
        items = {from_json(key): from_json(item, plan) for key, item in content["pairs"]}
        return Counter(items) if content["counter"] else {key: _as_tuple(item) for key, item in items.items()}
    if content.get("sketch") in _SKETCHES:
        sketch = _SKETCHES[content["sketch"]].__new__(_SKETCHES[content["sketch"]])
        sketch.__setstate__(base64.b64decode(content["bytes"]))
        return sketch
    if content.get("object") in _OBJECTS:
        found = _OBJECTS[content["object"]].__new__(_OBJECTS[content["object"]])
        found.__dict__.update({key: from_json(item, plan) for key, item in content["state"].items()})
        if isinstance(found, SchemaCounts):
            if plan is None:
                raise DataError("LS201", None, "counts were read without their plan", "Run evaluate again.")
            found.plan = plan
        return found
    raise DataError("LS201", None, "the counts of the evaluation are damaged", "Run evaluate again.")


def _as_tuple(item: Any) -> Any:
    """Return lists as tuples: samples hold (item, count) and (text, kind), and JSON has no tuples."""
    return tuple(_as_tuple(part) for part in item) if isinstance(item, list) else item


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
