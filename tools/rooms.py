"""Draw the rooms of the product from the import contracts in pyproject.toml: `python -m tools.rooms`, for docs/architecture.md.

The picture is text, so that it is readable in an editor and in a diff. A test compares it with the page.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: begin (python -m tools.rooms) -->", "<!-- rooms: end -->"


def layers() -> list[list[str]]:
    """Return the rooms, highest layer first; rooms of one layer do not import each other."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (rooms,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return [[name.strip() for name in layer.split("|")] for layer in rooms]


def purpose(room: str) -> str:
    """Return the first sentence of a room's docstring."""
    source = (ROOT / Path(*room.split(".")) / "__init__.py").read_text("utf-8")
    text = ast.get_docstring(ast.parse(source)) or ""
    return " ".join(text.partition("\n\n")[0].split()).split(". ")[0].rstrip(".")


def sub_rooms(room: str) -> list[str]:
    """Return the names of the packages directly below a room."""
    folder = ROOT / Path(*room.split("."))
    return sorted(path.parent.name for path in folder.glob("*/__init__.py"))


def picture() -> str:
    """Return one line per room, from the highest layer down, as a fenced block of text."""
    lines = ["```text"]
    for number, layer in enumerate(layers()):
        if number:
            lines.append("        │ imports")
            lines.append("        ▼")
        for room in layer:
            below = sub_rooms(room)
            lines.append(f"{room:<24} {purpose(room)}")
            if below:
                lines.append(f"{'':<24} └ {', '.join(below)}")
    return "\n".join([*lines, "```"])


def page_with_picture(page: str) -> str:
    """Return the text of the page with the picture between its two markers renewed."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{picture()}\n{END}{after}"


def main() -> int:
    """Renew the picture in docs/architecture.md."""
    PAGE.write_text(page_with_picture(PAGE.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
