"""Validator of the demo's airports; `linesmith demo` uses it as `--line-validator linesmith.demo_rules:airport`."""

from __future__ import annotations

from functools import cache

DELIMITER = "|"
COLUMNS = ("name", "city", "country", "elevation", "latitude", "longitude")


def airport(line: str) -> None:
    """Accept a record that could be an airport.

    Args:
        line: the record, with `DELIMITER` between its fields.

    Raises:
        ValueError: the number of fields, a coordinate, the elevation or the country code is impossible.
    """
    fields = line.split(DELIMITER)
    if len(fields) != len(COLUMNS):
        raise ValueError(f"{len(fields)} fields instead of {len(COLUMNS)}")
    name, _, country, elevation, latitude, longitude = fields
    if not name.strip():
        raise ValueError("no name")
    if country not in country_codes():
        raise ValueError("unknown country code")
    _check_range("elevation", elevation, -1500, 30000)
    _check_range("latitude", latitude, -90, 90)
    _check_range("longitude", longitude, -180, 180)


@cache
def country_codes() -> frozenset[str]:
    """Return the ISO 3166 alpha-2 codes in the whole public table, not only in the part used for training."""
    import airportsdata

    return frozenset(row["country"] for row in airportsdata.load().values())


def _check_range(name: str, text: str, least: float, most: float) -> None:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{name} is not a number") from None
    if not least <= number <= most:
        raise ValueError(f"{name} is out of range")
