"""Hooks of mkdocs: the pages at the root of the repository, and the files in examples/, are part of the site.

A page in docs/ links to them as on a code host, `../CONTRIBUTING.md`, `../examples/orders.csv`; here the links are
made to fit.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROOT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
_FILE_AS_TEXT = re.compile(r"\[(?:docs/)?(\w+)\.md\]\(")  # a link that shows a file's name
_LINK = re.compile(r"(\]\()((?!https?:|mailto:|#)[^)#\s]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add the files that lie outside docs/."""
    from mkdocs.structure.files import File  # a test of the links needs no mkdocs

    sources = {name: ROOT / name for name in ROOT_PAGES}
    sources |= {f"examples/{path.name}": path for path in sorted((ROOT / "examples").iterdir()) if path.is_file()}
    for name, path in sources.items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def source_of(path: str) -> Path:
    """Return the file of the repository that the site has at a path, which may not exist.

    Args:
        path: in the site, such as howto/../examples/orders.csv.
    """
    path = posixpath.normpath(path)
    return ROOT / path if path in ROOT_PAGES or path.startswith("examples/") else ROOT / "docs" / path


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Change links between docs/ and the rest of the repository, and give the table of settings the room that it needs."""
    markdown = _FILE_AS_TEXT.sub(r"[\1](", with_site_links(markdown, page.file.src_uri))
    if page.file.src_uri != "configuration.md":
        return markdown
    page.meta["hide"] = ["toc"]
    title, _, rest = markdown.partition("\n")
    return f'{title}\n\n<div class="settings" markdown="1">\n{rest}\n</div>\n'  # for site.css


def with_site_links(markdown: str, page: str) -> str:
    """Return a page with links as they are in the site, where docs/ and the root of the repository are one folder.

    Args:
        markdown: the page.
        page: where the page is in the site, such as howto/csv.md.

    Example:
        >>> with_site_links("[a](../../examples/orders.csv) [b](../input.md)", "howto/csv.md")
        '[a](../examples/orders.csv) [b](../input.md)'
        >>> with_site_links("[a](docs/errors.md)", "CONTRIBUTING.md")
        '[a](errors.md)'
    """
    folder = posixpath.dirname(page if page in ROOT_PAGES else posixpath.join("docs", page))

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[2]))
        return match[1] + posixpath.relpath(target.removeprefix("docs/"), posixpath.dirname(page) or ".")

    return _LINK.sub(link, markdown)
