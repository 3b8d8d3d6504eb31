"""Surveys and tallies as plain JSON, so that a driver can read what workers counted without unpickling anything."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

import numpy as np

from linesmith.core.errors import DataError
from linesmith.evaluation.dataset_profile import FieldProfile, Survey
from linesmith.evaluation.schema_counts import CountPlan, SchemaCounts
from linesmith.evaluation.sketches import BottomKSample, DistinctCount, FrequentItems, Quantiles

_SKETCHES: dict[str, Any] = {kind.__name__: kind for kind in (Quantiles, DistinctCount, FrequentItems)}
_OBJECTS: dict[str, Any] = {kind.__name__: kind for kind in (BottomKSample, FieldProfile, Survey, SchemaCounts)}
_NUMBERS = ("int64", "uint64", "float64")


def pack(value: Any) -> Any:
    """Plain JSON of a survey or a tally and of everything in it; the plan of a tally is left out."""
    name = type(value).__name__
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [pack(item) for item in value]
    if isinstance(value, np.ndarray):
        return {"array": value.dtype.name, "shape": value.shape, "bytes": _text(value.tobytes())}
    if isinstance(value, dict):
        return {
            "pairs": [[pack(key), pack(item)] for key, item in value.items()],
            "counter": isinstance(value, Counter),
        }
    if name in _SKETCHES:
        return {"sketch": name, "bytes": _text(value.__getstate__())}
    if name in _OBJECTS:
        return {"object": name, "state": {key: pack(item) for key, item in vars(value).items() if key != "plan"}}
    raise TypeError(f"cannot pack a {name}")


def unpack(packed: Any, plan: CountPlan | None = None) -> Any:
    """What `pack` was given.

    Args:
        plan: the plan of the tallies in it.

    Raises:
        DataError: it holds anything else than `pack` writes.
    """
    if isinstance(packed, list):
        return [unpack(item, plan) for item in packed]
    if not isinstance(packed, dict):
        return packed
    if packed.get("array") in _NUMBERS:
        return np.frombuffer(base64.b64decode(packed["bytes"]), packed["array"]).reshape(packed["shape"]).copy()
    if "pairs" in packed:
        items = {unpack(key): unpack(item, plan) for key, item in packed["pairs"]}
        return Counter(items) if packed["counter"] else {key: _as_tuple(item) for key, item in items.items()}
    if packed.get("sketch") in _SKETCHES:
        sketch = _SKETCHES[packed["sketch"]].__new__(_SKETCHES[packed["sketch"]])
        sketch.__setstate__(base64.b64decode(packed["bytes"]))
        return sketch
    if packed.get("object") in _OBJECTS:
        found = _OBJECTS[packed["object"]].__new__(_OBJECTS[packed["object"]])
        found.__dict__.update({key: unpack(item, plan) for key, item in packed["state"].items()})
        if isinstance(found, SchemaCounts):
            if plan is None:
                raise DataError("LS201: a tally was read without its plan; run evaluate again.", code="LS201")
            found.plan = plan
        return found
    raise DataError("LS201: the counts of the evaluation are damaged; run evaluate again.", code="LS201")


def _as_tuple(item: Any) -> Any:
    """Samples keep (item, count) and (text, kind): tuples, which JSON does not know."""
    return tuple(_as_tuple(part) for part in item) if isinstance(item, list) else item


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
