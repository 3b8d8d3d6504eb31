"""What makes an airport of the demo valid. `linesmith demo` names it as `--line-validator linesmith.demo_rules:airport`."""

from __future__ import annotations

from functools import cache

DELIMITER = "|"
COLUMNS = ("name", "city", "country", "elevation", "latitude", "longitude")


def airport(line: str) -> None:
    """Accept a record that could be an airport.

    Raises:
        ValueError: the count of fields, a coordinate, the elevation or the country code cannot be right.
    """
    fields = line.split(DELIMITER)
    if len(fields) != len(COLUMNS):
        raise ValueError(f"{len(fields)} fields instead of {len(COLUMNS)}")
    name, _, country, elevation, latitude, longitude = fields
    if not name.strip():
        raise ValueError("no name")
    if country not in country_codes():
        raise ValueError("unknown country code")
    _within("elevation", elevation, -1500, 30000)
    _within("latitude", latitude, -90, 90)
    _within("longitude", longitude, -180, 180)


@cache
def country_codes() -> frozenset[str]:
    """The ISO 3166 alpha-2 codes that occur in the whole public table, not only in the part that is learnt from."""
    import airportsdata

    return frozenset(row["country"] for row in airportsdata.load().values())


def _within(name: str, text: str, least: float, most: float) -> None:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{name} is no number") from None
    if not least <= number <= most:
        raise ValueError(f"{name} is out of range")
