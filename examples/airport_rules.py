"""A validator: any function of a record's text. It raises, or returns False, for a record that cannot be right."""


def airport(line: str) -> None:
    """Six fields, the last three of them an elevation and a pair of coordinates."""
    _name, _city, country, elevation, latitude, longitude = line.split("|")
    if len(country) != 2:
        raise ValueError("the country is no two-letter code")
    float(elevation)
    if abs(float(latitude)) > 90 or abs(float(longitude)) > 180:
        raise ValueError("the place is not on Earth")
