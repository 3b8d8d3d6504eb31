"""Write a small PCollection into one JSON file that the driver reads. Counts come back from any runner this way."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.errors import DataError
from linesmith.transforms.storage import objects as storage
from linesmith.transforms.storage.addresses import is_bucket


class CollectJson(beam.PTransform):
    """PCollection of dataclasses or plain JSON → one JSON file with a list of them, in no particular order.

    All elements are held in memory: it is meant for hundreds, not for millions.

    Args:
        path: the file or object to write.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self._path = str(path)

    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        """Write the elements."""
        return elements | "List" >> beam.combiners.ToList() | "Write" >> beam.Map(_write, self._path)


def _write(elements: list[Any], path: str) -> None:
    plain = [
        asdict(element) if is_dataclass(element) and not isinstance(element, type) else element for element in elements
    ]
    if is_bucket(path):
        with tempfile.TemporaryDirectory() as folder:
            write_json(Path(folder) / "collected.json", plain)
            storage.put(Path(folder) / "collected.json", path)
    else:
        write_json(path, plain)


def read_collected(path: Path) -> list[Any]:
    """Read what a finished pipeline collected.

    Raises:
        DataError: LS402, the file is not there, because workers do not share the driver's file system.
    """
    if not path.is_file():
        raise DataError(
            "LS402",
            None,
            f"the pipeline ended but its results are not in '{path.parent}': its workers do not share this file system",
            "Give an --output on a file system that driver and workers mount at the same place.",
        )
    collected: list[Any] = read_json(path, "a result of the pipeline", limited=False)
    return collected
