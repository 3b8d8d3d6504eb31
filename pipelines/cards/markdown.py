"""Markdown of a card: front matter that the Hugging Face hub reads, sections, tables, and texts that cannot break out of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


def front_matter(entries: Mapping[str, Any]) -> str:
    """Return YAML front matter, in the order given.

    Args:
        entries: plain values by name; those that are None or empty are left out.
    """
    kept = {name: value for name, value in entries.items() if value not in (None, [], {})}
    return "---\n" + yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=1000) + "---\n"


def plain(text: Any) -> str:
    r"""Return a text on one line that Markdown shows as it is.

    Example:
        >>> plain("a|b <c>")
        'a\\|b \\<c\\>'
    """
    return _SPECIAL.sub(r"\\\1", _CONTROL.sub(" ", str(text)))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; every cell is shown as plain text."""
    lines = [head, ["---"] * len(head), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def bullets(texts: Iterable[str]) -> str:
    """Return a list; its items are Markdown already."""
    return "\n".join(f"- {text}" for text in texts)


def card(entries: Mapping[str, Any], title: str, parts: Iterable[str]) -> str:
    """Return a whole card.

    Args:
        entries: of the front matter.
        title: heading of the card, plain text.
        parts: paragraphs, tables, lists and headings, as Markdown; empty ones are left out.
    """
    return front_matter(entries) + "\n" + "\n\n".join([f"# {plain(title)}", *filter(None, parts)]) + "\n"


def shown(value: Any) -> str:
    """Return a count with separators of thousands, a fraction with three digits, and other values as text."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
