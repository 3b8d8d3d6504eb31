"""Extension of griffe, which mkdocstrings reads the code with: a section `Example:` of a docstring is shown as code."""

from __future__ import annotations

from typing import Any

import griffe


class DocstringExamples(griffe.Extension):
    """Name the sections `Examples:`, the only name by which griffe knows them."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section of one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
