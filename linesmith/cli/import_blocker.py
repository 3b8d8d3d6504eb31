"""Libraries that others would load for no other reason than that they are installed.

Keras loads scikit-learn and matplotlib where it finds them, for wrappers and galleries that nothing here uses, and Beam
pymongo: three of the twelve seconds in which TensorFlow and Beam are loaded.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


@contextlib.contextmanager
def import_without(*packages: str) -> Iterator[None]:
    """While the block imports, these packages are not to be found, unless they are loaded already; afterwards they are."""
    finder = _Absent(packages)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Absent(MetaPathFinder):
    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in self._packages:
            raise ModuleNotFoundError(f"{fullname} is left out here", name=fullname)
        return None
