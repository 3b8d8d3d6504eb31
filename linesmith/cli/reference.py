"""Write docs/configuration.md from the settings themselves: `python -m linesmith.cli.reference`."""

from __future__ import annotations

import sys

from linesmith.cli.options import (
    PANELS,
    default_text,
    flag_fields,
    flags_of,
    is_bool,
    is_list,
    panel_of,
    value_placeholder,
)

_HEAD = """# Configuration

Every setting is a flag, a line in a `--config` file (YAML or JSON) and a keyword of `TensorFlowConfig`, under one name.
Flags override the file. 0 is a value everywhere. This page is made from the code by `python -m linesmith.cli.reference`.

"""
_FOOT = """
Python only: `epoch_callback`, called with an `EpochState` after each epoch.
"""


def configuration_markdown() -> str:
    """One table a stage: name, flag, kind, default, meaning."""
    rows: dict[str, list[str]] = {}
    for name, info in flag_fields().items():
        flag = flags_of(name)[0] + ("`, `--no-" + name.replace("_", "-") if is_bool(info) else "")
        kind = value_placeholder(info).replace("|", " or ") + (", repeatable" if is_list(info) else "")
        cells = (f"`{name}`", f"`{flag}`", kind, default_text(info) or "–", info.description or "")
        row = " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells)
        rows.setdefault(panel_of(name, info), []).append(f"| {row} |")
    text = _HEAD
    for panel in PANELS.values():
        table = ["| setting | flag | value | default | meaning |", "|---|---|---|---|---|", *rows[panel]]
        text += f"## {panel}\n\n" + "\n".join(table) + "\n\n"
    return text.rstrip("\n") + "\n" + _FOOT


if __name__ == "__main__":
    sys.stdout.write(configuration_markdown())
