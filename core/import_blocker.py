"""Keep libraries from importing optional packages that Linesmith does not need from them.

If they are installed, Keras imports scikit-learn and matplotlib, for wrappers and galleries that nothing here uses, and Beam
imports pymongo, pandas and the clients of clouds. That takes three of the twelve seconds in which TensorFlow and Beam are loaded,
and two thirds of those for Beam alone.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# All that were hidden so far in this process: what it imported then is without them for good.
hidden_packages: set[str] = set()


@contextlib.contextmanager
def import_without(*packages: str) -> Iterator[None]:
    """Hide packages, or parts of them by dotted names, from imports within the block; not those that are loaded already."""
    hidden_packages.update(packages)
    finder = _BlockingFinder(packages)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def hide(*packages: str) -> None:
    """Hide packages from all later imports of this process; a second call for the same ones changes nothing."""
    finder = _BlockingFinder(packages)
    if finder not in sys.meta_path:
        hidden_packages.update(packages)
        sys.meta_path.insert(0, finder)


@dataclass(frozen=True)
class _BlockingFinder(MetaPathFinder):
    packages: tuple[str, ...]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if any(fullname == package or fullname.startswith(f"{package}.") for package in self.packages):
            raise ModuleNotFoundError(f"{fullname} is hidden by linesmith.core.import_blocker", name=fullname)
        return None
