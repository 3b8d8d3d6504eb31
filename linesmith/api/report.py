"""The result of `Model.evaluate`: how close and how safe the records are, for a notebook, a script and a browser."""

from __future__ import annotations

import html
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, repr=False)
class Report:
    """How close synthetic records are to real ones, and how safe. In a notebook it shows the whole page.

    Attributes:
        figures: everything that was measured, as `report.json` holds it.
        page: the page, as HTML. It quotes real records.
    """

    figures: Mapping[str, Any]
    page: str

    @property
    def closeness(self) -> float | None:
        """Score from 0 to 1 of the resemblance to the real records; None if it was not measured."""
        value: float | None = self.figures["scores"]["closeness"]["value"]
        return value

    @property
    def privacy(self) -> float | None:
        """Score from 0 to 1 of the leaks that the tests did not find; None if it was not measured."""
        value: float | None = self.figures["scores"]["privacy"]["value"]
        return value

    @property
    def verdict(self) -> dict[str, str]:
        """The words for both scores: `closeness` and `privacy`."""
        return {name: str(self.figures["verdict"][name]) for name in ("closeness", "privacy")}

    def save(self, path: str | Path) -> Path:
        """Write the page to a file, with the figures as JSON beside it, and return its path.

        Args:
            path: of the page, which should end in .html; an existing file is replaced.
        """
        from linesmith.core.artifacts.files import write_bytes, write_json

        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, self.page.encode("utf-8", "backslashreplace"))
        write_json(target.with_suffix(".json"), dict(self.figures))
        return target

    def _repr_html_(self) -> str:
        # A frame keeps the styles of the page from those of the notebook; it runs no script.
        style = "box-sizing:border-box;width:100%;height:40rem;border:1px solid #d0d7de"
        return f'<iframe srcdoc="{html.escape(self.page)}" sandbox style="{style}"></iframe>'

    def __repr__(self) -> str:
        def shown(value: float | None) -> str:
            return "not measured" if value is None else f"{value:.3f}"

        verdict = self.verdict
        return (
            f"<linesmith.Report: closeness {shown(self.closeness)} ({verdict['closeness']}), "
            f"privacy {shown(self.privacy)} ({verdict['privacy']})>"
        )


def read_report(directory: Path) -> Report:
    """Read the report that the evaluate stage wrote."""
    from linesmith.core.artifacts.files import read_json
    from linesmith.pipelines.evaluate.refresh import PAGE_FILE, REPORT_FILE

    figures = read_json(directory / REPORT_FILE, "the report", limited=False)
    return Report(figures, (directory / PAGE_FILE).read_text("utf-8"))


def link_run(source: Path, target: Path, private: bool) -> None:
    """Make a run directory that shares model and training data with another, and has output and report of its own.

    Args:
        source: the other run directory.
        target: an empty directory.
        private: whether the model has differential privacy.
    """
    from linesmith.core.artifacts.history import HISTORY_FILE
    from linesmith.core.artifacts.params import PARAMS_FILE
    from linesmith.core.artifacts.run_directory import RunDirectory

    old, new = RunDirectory(source.absolute(), private), RunDirectory(target, private)
    new.raw.mkdir(exist_ok=True)
    for name in ("tokenizer", "model", "training_data"):
        getattr(new, name).symlink_to(getattr(old, name), target_is_directory=True)
    for name in (PARAMS_FILE, HISTORY_FILE):
        if (old.root / name).is_file():
            shutil.copyfile(old.root / name, new.root / name)
