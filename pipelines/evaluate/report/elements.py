"""Building blocks of a page: elements whose text is always escaped, tables, figures, and formatted numbers."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from importlib import resources
from typing import Any
from xml.etree import ElementTree

Element = ElementTree.Element
Child = Element | str | None
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_UNMEASURED = "–"


def h(tag: str, *children: Child | Sequence[Child], **attributes: str | None) -> Element:
    """Return an HTML element.

    Text is escaped when the page is written; control characters are replaced by a box.

    Args:
        tag: name of the element.
        children: elements, text, None (ignored), or sequences of these.
        attributes: `class_` becomes `class`, and an underscore inside a name a hyphen; None leaves an attribute out.

    Example:
        >>> ElementTree.tostring(h("p", "a < b", class_="x"), encoding="unicode", method="html")
        '<p class="x">a &lt; b</p>'
    """
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value is not None}
    element = ElementTree.Element(tag, named)
    for child in _flat(children):
        if isinstance(child, str):
            text = _CONTROL.sub("\u25a1", child)
            if len(element):
                element[-1].tail = (element[-1].tail or "") + text
            else:
                element.text = (element.text or "") + text
        elif child is not None:
            element.append(child)
    return element


def _flat(children: Any) -> list[Child]:
    found: list[Child] = []
    for child in children:
        found += _flat(child) if isinstance(child, list | tuple) else [child]
    return found


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Child]], numeric: Sequence[int] = ()) -> Element:
    """Return a table. On a narrow screen each row of more than two columns becomes a block, its cells with their titles.

    Args:
        caption: title of the table.
        head: titles of the columns.
        rows: cells of each row.
        numeric: indices of the columns whose values are aligned to the right.
    """
    styles = ["n" if number in numeric else None for number in range(len(head))]
    return h(
        "div",
        h(
            "table",
            h("caption", caption),
            h(
                "thead",
                h("tr", [h("th", text, scope="col", class_=style) for text, style in zip(head, styles, strict=True)]),
            ),
            h(
                "tbody",
                [
                    h(
                        "tr",
                        [
                            h("td", cell, class_=style, data_label=text)
                            for cell, style, text in zip(row, styles, head, strict=True)
                        ],
                    )
                    for row in rows
                ],
            ),
            class_="rows" if len(head) > 2 else None,
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def figure(source: str, alt: str, caption: Child | Sequence[Child], kind: str | None = None) -> Element:
    """Return an image with a caption; `alt` describes it to readers who cannot see it.

    Args:
        source: the image, as a data URL.
        alt: what the image shows.
        caption: text below it.
        kind: 'map' for an image whose shades are values, which dark mode must not invert.
    """
    return h("figure", h("img", src=source, alt=alt), h("figcaption", caption), class_=kind)


def section(key: str, title: str, *children: Child | Sequence[Child]) -> Element:
    """Return a section of the page that links can point to as `#key`."""
    return h("section", h("h2", title, id=f"{key}-title"), *children, id=key, aria_labelledby=f"{key}-title")


def number(value: float | None, digits: int = 3) -> str:
    """Format a number; None becomes a dash.

    Args:
        value: a number, or None.
        digits: decimals of a number between −1000 and 1000; a larger one gets separators of thousands instead.

    Example:
        >>> number(0.12345), number(12345), number(None), number(1e-9)
        ('0.123', '12,345', '–', '1e-09')
    """
    if value is None:
        return _UNMEASURED
    if isinstance(value, int) or (abs(value) >= 1000 and float(value).is_integer()):
        return f"{int(value):,}"
    if value and digits > 2 and abs(value) < 10**-digits:
        return f"{value:.2g}"
    return f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:,.0f}"


def percent(value: float | None, digits: int = 2) -> str:
    """Format a share as a percentage; None becomes a dash."""
    return _UNMEASURED if value is None else f"{value:.{digits}%}"


def page(title: str, body: Sequence[Child]) -> str:
    """Return a complete page as HTML; it is self-contained and makes no requests."""
    template = string.Template(
        resources.files("linesmith.pipelines.evaluate.report").joinpath("page.html").read_text("utf-8")
    )
    content = "".join(markup(part) for part in body if isinstance(part, Element))
    return template.substitute(title=_escaped(title), body=content)


def markup(element: Element) -> str:
    """Return an element as HTML."""
    return ElementTree.tostring(element, encoding="unicode", method="html")


def stale_note() -> Element:
    """Return the note on top of a report whose records have been replaced."""
    text = "This report is of earlier records: others were generated here since. Run linesmith evaluate for a new one."
    return h("p", h("strong", text), class_="banner", role="note")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
