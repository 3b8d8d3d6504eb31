"""Plots of the report: SVG drawn by matplotlib and embedded in the page; no scripts, sharp in print, equal on every run."""

from __future__ import annotations

import base64
import datetime
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Color-blind readers can tell these apart, too.
COLORS = {"training": "#6e7781", "holdout": "#0072b2", "synthetic": "#d55e00"}
STYLES = {"training": "-", "holdout": "--", "synthetic": "-"}
_SIZE = (4.4, 2.5)


@contextmanager
def _drawing(size: tuple[float, float] = _SIZE) -> Iterator[tuple[Any, Any, list[str]]]:
    """Yield a figure, its axes, and a list that receives the drawn image as a data URL when the block ends."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings = {"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "linesmith", "font.family": "sans-serif",
                "font.sans-serif": ["DejaVu Sans"], "axes.spines.top": False, "axes.spines.right": False}  # fmt: skip
    drawn: list[str] = []
    with rc_context(settings):
        canvas = Figure(figsize=size, layout="constrained")
        yield canvas, canvas.add_subplot(), drawn
        stream = io.BytesIO()
        canvas.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    drawn.append("data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode("ascii"))


def _plain(text: str) -> str:
    """Escape dollar signs, between which matplotlib would typeset mathematics."""
    return text.replace("$", r"\$")


def field_plot(histogram: dict[str, Any]) -> str | None:
    """Draw the histogram of a field for all sets: bars for categories, steps for ranges; None where there are no values.

    Args:
        histogram: an entry of `field_histograms`.
    """
    if not histogram["shares"]:
        return None
    return _bars(histogram) if "labels" in histogram else _steps(histogram)


def _bars(histogram: dict[str, Any]) -> str:
    kept = [n for n in range(len(histogram["labels"])) if any(shares[n] > 0 for shares in histogram["shares"].values())]
    height = max(_SIZE[1], 0.5 + 0.3 * len(kept))
    with _drawing((_SIZE[0], height)) as (_, axes, drawn):
        width = 0.8 / len(histogram["shares"])
        for order, (name, shares) in enumerate(histogram["shares"].items()):
            at = [position + (order - (len(histogram["shares"]) - 1) / 2) * width for position in range(len(kept))]
            axes.barh(at, [shares[n] for n in kept], width, color=COLORS[name], label=name)
        axes.set_yticks(range(len(kept)), [_plain(histogram["labels"][n]) for n in kept])
        axes.invert_yaxis()
        axes.set_xlabel("share of records")
        axes.legend(frameon=False, fontsize=9)
    return drawn[0]


def _steps(histogram: dict[str, Any]) -> str:
    with _drawing() as (_, axes, drawn):
        edges: list[Any] = histogram["edges"]
        if histogram["role"] == "time":
            edges = [_datetime(edge) for edge in edges]
        for name, shares in histogram["shares"].items():
            fill = name == "training"
            axes.stairs(shares, edges, color=COLORS[name], fill=fill, alpha=0.45 if fill else 1, label=name,
                        linestyle=STYLES[name], linewidth=1.6)  # fmt: skip
        axes.set_ylabel("share of records")
        if histogram.get("unit"):
            axes.set_xlabel(histogram["unit"])
        if histogram["role"] == "time":
            axes.tick_params(axis="x", rotation=30)
        else:
            axes.locator_params(axis="x", nbins=5)
        axes.legend(frameon=False, fontsize=9)
    return drawn[0]


def _datetime(seconds: float) -> datetime.datetime:
    return datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)


def heat_map(names: Sequence[str], cells: dict[tuple[str, str], float | None]) -> str:
    """Draw a matrix of values from 0 to 1 for pairs of fields.

    Args:
        names: fields, in order.
        cells: value of each pair; a pair that is missing or None stays empty.
    """
    import numpy as np

    grid = np.full((len(names), len(names)), np.nan)
    for (first, second), value in cells.items():
        i, j = names.index(first), names.index(second)
        grid[i, j] = grid[j, i] = np.nan if value is None else value
    side = min(8.0, max(3.2, 1.8 + 0.36 * len(names)))
    with _drawing((side + 0.9, side)) as (canvas, axes, drawn):
        image = axes.imshow(grid, vmin=0, vmax=1, cmap="cividis", aspect="equal")
        size = 9 if len(names) <= 16 else 6
        labels = [_plain(name[:14]) for name in names]
        axes.set_xticks(range(len(names)), labels, rotation=60, ha="right", fontsize=size)
        axes.set_yticks(range(len(names)), labels, fontsize=size)
        if len(names) <= 9:
            for i, j in zip(*np.nonzero(np.isfinite(grid)), strict=True):
                shade = "white" if grid[i, j] < 0.55 else "black"
                axes.text(j, i, f"{grid[i, j]:.2f}", ha="center", va="center", color=shade, fontsize=8)
        canvas.colorbar(image, ax=axes, shrink=0.8)
    return drawn[0]


def training_curve(history: Sequence[dict[str, float | None]]) -> str | None:
    """Draw the losses by epoch and, for private training, the epsilon spent so far; None where the history has neither."""
    series = {name: _known(history, name) for name in ("loss", "val_loss", "epsilon")}
    if not any(series.values()):
        return None
    losses = {"loss": "training loss", "val_loss": "validation loss"}
    with _drawing((6.4, 3.0)) as (_, axes, drawn):
        for (name, label), color, style in zip(losses.items(), ("#57606a", "#0072b2"), ("-", "--"), strict=True):
            if series[name]:
                axes.plot(*zip(*series[name], strict=True), style, marker="o", markersize=3, color=color, label=label)
        axes.set_xlabel("epoch")
        if series["loss"] or series["val_loss"]:
            axes.set_ylabel("nats per token")
        if series["epsilon"]:
            other = axes.twinx() if series["loss"] or series["val_loss"] else axes
            other.plot(
                *zip(*series["epsilon"], strict=True),
                ":",
                marker="s",
                markersize=3,
                color="#d55e00",
                label="epsilon spent",
            )
            other.set_ylabel("epsilon")
            other.set_ylim(bottom=0)
            other.legend(frameon=False, fontsize=9, loc="lower right")
        if series["loss"] or series["val_loss"]:
            axes.legend(frameon=False, fontsize=9)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return drawn[0]


def _known(history: Sequence[dict[str, float | None]], name: str) -> list[tuple[float, float]]:
    return [(float(row["epoch"] or 0), value) for row in history if (value := row.get(name)) is not None]


def count_bars(counts: dict[str, int], label: str) -> str:
    """Draw horizontal bars of the ten largest counts, the largest first."""
    rows = sorted(counts.items(), key=lambda item: -item[1])[:10]
    with _drawing((6.4, 0.9 + 0.34 * len(rows))) as (_, axes, drawn):
        axes.barh([_plain(name[:40]) for name, _ in rows], [count for _, count in rows], color=COLORS["synthetic"])
        axes.invert_yaxis()
        axes.set_xlabel(label)
    return drawn[0]


def shared_runs_plot(runs: dict[str, Any]) -> str:
    """Draw how many synthetic records share runs of which length with training, and with as many holdout records."""
    with _drawing((6.4, 2.8)) as (_, axes, drawn):
        at = range(len(runs["lengths"]))
        for shift, name in ((-0.2, "training"), (0.2, "holdout")):
            axes.bar(
                [position + shift for position in at], runs[name], 0.4, color=COLORS[name], label=f"shared with {name}"
            )
        axes.set_xticks(list(at), [f"{length}+" if length else "< 4" for length in runs["lengths"]])
        axes.set_xlabel("longest shared run, bytes")
        axes.set_ylabel("synthetic records")
        axes.legend(frameon=False, fontsize=9)
    return drawn[0]
