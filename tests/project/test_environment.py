"""The locked packages are ones that pip installs on this Python, too: uv, which resolves them, ignores upper bounds on Python."""

from __future__ import annotations

import platform
from importlib.metadata import distributions

from packaging.specifiers import SpecifierSet


def test_every_installed_package_admits_this_python() -> None:
    refused = {
        distribution.name: bound
        for distribution in distributions()
        if (bound := distribution.metadata.get("Requires-Python"))
        and platform.python_version() not in SpecifierSet(bound)
    }
    assert not refused
