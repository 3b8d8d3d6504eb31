"""A validator is any function of a record's text that raises, or returns False, for an invalid record."""


def airport(line: str) -> None:
    """Accept six fields of which the last three are an elevation and a pair of coordinates."""
    _name, _city, country, elevation, latitude, longitude = line.split("|")
    if len(country) != 2:
        raise ValueError("the country is not a two-letter code")
    float(elevation)
    if abs(float(latitude)) > 90 or abs(float(longitude)) > 180:
        raise ValueError("the place is not on Earth")
