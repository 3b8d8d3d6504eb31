"""Made-up records for tests of the evaluation: six fields with known dependence, and bad copies of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from linesmith.evaluation.closeness import EvaluationData
from linesmith.evaluation.dataset_profile import DatasetProfile
from linesmith.evaluation.leakage_candidates import choose_tracked_hashes
from linesmith.evaluation.schema import CATEGORY, infer_dataset_schema
from linesmith.evaluation.schema_counts import CountPlan, SchemaCounts

NAMES = ["city", "lat", "lon", "joined", "age", "code"]
_CITIES = ["Berlin", "Paris", "Rome", "Oslo", "Quito", "Lima"]


def people(count: int, seed: int) -> list[str]:
    """Return records: city, a place near it, a day that depends on the age, the age, and a code with the city's letter."""
    random = np.random.default_rng(seed)
    city = random.choice(len(_CITIES), count, p=[0.3, 0.25, 0.2, 0.1, 0.1, 0.05])
    lat = 10 * city - 20 + random.normal(0, 1, count)
    lon = 100 - 30 * city + random.normal(0, 2, count)
    age = random.integers(18, 90, count)
    day = np.datetime64("2020-01-01") + (age * 9 + random.integers(0, 60, count)).astype("timedelta64[D]")
    code = random.integers(0, 10**6, count)
    return [
        "\n".join([_CITIES[c], f"{a:.4f}", f"{o:.4f}", str(d), str(g), f"{_CITIES[c][0]}{k:06d}"])
        for c, a, o, d, g, k in zip(city, lat, lon, day, age, code, strict=True)
    ]


def shuffled_columns(records: list[str], seed: int) -> list[str]:
    """Shuffle each field on its own: every field keeps its values, no two fields keep their association."""
    random = np.random.default_rng(seed)
    columns = list(zip(*(record.split("\n") for record in records), strict=True))
    mixed = [random.permutation(np.array(column, object)) for column in columns]
    return ["\n".join(row) for row in zip(*mixed, strict=True)]


def noise(count: int, seed: int) -> list[str]:
    """Return records with the right number of fields, each uniform over far too wide a range."""
    random = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(random.choice(letters, 6)) for _ in range(count)]
    numbers = random.uniform(-1000, 1000, (count, 3))
    return [f"{w}\n{a:.4f}\n{b:.4f}\n2020-01-01\n{c:.0f}\n{w}" for w, (a, b, c) in zip(words, numbers, strict=True)]


def text(records: list[str]) -> pa.Array:
    return pa.array(records, pa.large_string())


def collect_evaluation_data_in_memory(
    sets: dict[str, list[str]], sample: int = 20_000, batch: int = 2000
) -> EvaluationData:
    """Run both passes as loops: the pipeline must give the same."""
    profiles, counts = {}, {}
    for name, records in sets.items():
        profiles[name] = DatasetProfile(sample)
        for start in range(0, len(records), batch):
            profiles[name].add(text(records[start : start + batch]), start)
    schema = infer_dataset_schema(profiles["training"], NAMES)
    tracked = choose_tracked_hashes(profiles, [n for n, one in enumerate(schema.fields) if one.role == CATEGORY])
    for name, records in sets.items():
        counts[name] = SchemaCounts(CountPlan(schema, tracked))
        for start in range(0, len(records), batch):
            counts[name].add(text(records[start : start + batch]))
    return EvaluationData(schema, profiles, counts)
