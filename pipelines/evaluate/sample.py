"""Compare a uniform sample of a very large output, and say so in the report.

Training and holdout records are read whole: a copy is found where both sides of it are, so sampling these would hide leaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.pipelines.evaluate.input_units import EvaluationSets

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.transforms.read_evaluation_sets import EvaluationInputUnit
    from linesmith.transforms.samples.find_sample import SampleSize

_SAMPLED = "synthetic"


def sample_synthetic(sets: EvaluationSets, rows: int, options: PipelineOptions, scratch: Path) -> SampleSize | None:
    """Leave a sample of the synthetic records to be read; return its size, or None where there are no more than that.

    Args:
        sets: the sets; the units of the synthetic one are replaced.
        rows: records to compare.
        options: of the pipelines that find the sample.
        scratch: directory for intermediate results, which driver and workers share.
    """
    from linesmith.transforms.read_evaluation_sets import unit_places
    from linesmith.transforms.samples.find_sample import find_sample

    units = [unit for unit in sets.units if unit.set_name == _SAMPLED]
    if not units:
        return None
    found = find_sample(_with_sample(units), rows, unit_places, options, scratch)
    if found.rows == found.of:
        return None
    others = [unit for unit in sets.units if unit.set_name != _SAMPLED]
    sets.units = others + _with_sample(units, found.below)
    return found


def _with_sample(units: Sequence[EvaluationInputUnit], below: int | None = None) -> list[EvaluationInputUnit]:
    """Return units of which only the rows with a hash lower than `below` are read; None: all."""
    from linesmith.records.input.row_sample import ALL_ROWS, RowSample, sampled_ranges

    limit = ALL_ROWS if below is None else below
    lines = iter(sampled_ranges([unit.lines[0] for unit in units if unit.lines is not None], limit))
    files: dict[str, int] = {}
    return [
        replace(unit, sample=RowSample(files.setdefault(unit.path, len(files)), unit.part, limit))
        if unit.lines is None
        else replace(unit, lines=(next(lines), unit.lines[1]))
        for unit in units
    ]


def describe_sample(body: dict[str, Any], sample: SampleSize) -> None:
    """Say in the content of a report that its synthetic records are a sample.

    Args:
        body: the content; its sets and its verdict are extended.
        sample: size of the sample.
    """
    body["sets"][_SAMPLED]["sample_of"] = sample.of
    if body["verdict"]["privacy"] != "leak":
        body["verdict"]["privacy_reasons"].append(
            f"Only {sample.rows:,} of {sample.of:,} synthetic records were compared: copies among the others are not found."
        )


def sample_note(sets: dict[str, Any]) -> str | None:
    """Return the sentence on the sample; None where all synthetic records were compared.

    Args:
        sets: `sets` of a report.
    """
    size = sets.get(_SAMPLED, {})
    if "sample_of" not in size:
        return None
    return (
        f"The synthetic records are a uniform sample of {size['records']:,} of {size['sample_of']:,}, by a hash of their places "
        "(--sample-rows): figures of closeness are estimates of those of the whole output, and each copy of a training record is "
        "found only if it is in the sample."
    )
