"""Our import names are plain words; another package of the same name may stand before them on the path."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOMS = ("model", "pipelines", "transforms", "runners")


def check_rooms(house: Path, rooms: tuple[str, ...] = ROOMS) -> None:
    """See, without importing any, that each room is the one beside `linesmith`.

    Raises:
        ImportError: a room is missing, or another package or module shadows it.
    """
    for room in rooms:
        spec = importlib.util.find_spec(room)
        if spec is None:
            raise ImportError(
                f"Linesmith's package '{room}' is missing beside {house / 'linesmith'}; install it again: "
                "pip install --force-reinstall linesmith"
            )
        places = list(spec.submodule_search_locations or ())
        if not any(Path(place).resolve() == (house / room).resolve() for place in places):
            found = spec.origin or ", ".join(places) or "a namespace package"
            raise ImportError(
                f"'{room}' at {found} shadows Linesmith's package '{room}' at {house / room}. Rename or uninstall the other "
                "one, take its folder off PYTHONPATH, or start Python in another directory; a virtual environment of its "
                "own keeps Linesmith apart."
            )
