"""Print a summary of what a stage did."""

from __future__ import annotations

from rich.console import Console

from linesmith.core.addresses import redact_text
from linesmith.pipelines.stage_report import StageReport


def show_report(console: Console, report: StageReport) -> None:
    """Print stage, time, peak memory, counts and output paths, then the notices for the user."""
    memory = f", {human_bytes(report.peak_memory_bytes)} at most" if report.peak_memory_bytes else ""
    console.print(f"[bold]{report.stage}[/bold]: {report.seconds:,.1f} s{memory}")
    if report.counts:
        counts = ", ".join(f"{name.replace('_', ' ')} {human_count(n)}" for name, n in report.counts.items())
        console.print(f"  {counts}", markup=False)
    for name, path in report.outputs.items():
        console.print(f"  {name}: {redact_text(path)}", markup=False)
    for notice in report.notices:
        console.print(f"  note: {redact_text(notice)}", markup=False)


def human_count(value: float | str) -> str:
    """Return a number with thousands separators, a fraction with three digits, and text unchanged.

    Example:
        >>> human_count(28000), human_count(0.97125), human_count("val_loss")
        ('28,000', '0.971', 'val_loss')
    """
    if isinstance(value, bool | str):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"


def human_bytes(count: float) -> str:
    """Return a number of bytes in the largest fitting unit, up to GiB.

    Example:
        >>> human_bytes(512), human_bytes(3 * 2**30)
        ('512 B', '3.0 GiB')
    """
    units = ("B", "KiB", "MiB", "GiB")
    power = 0
    while count >= 1024 and power < len(units) - 1:
        count, power = count / 1024, power + 1
    return f"{count:.0f} B" if power == 0 else f"{count:.1f} {units[power]}"
