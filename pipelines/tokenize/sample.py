"""Choose the rows to learn from where `sample_rows` asks for fewer than the input has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.config.tensorflow_config import TensorFlowConfig

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.records.input.input_ranges import InputUnit
    from linesmith.transforms.read_records import ReadSettings


def sample_input(
    config: TensorFlowConfig,
    units: Iterable[InputUnit],
    settings: ReadSettings,
    options: PipelineOptions,
    scratch: Path,
    notices: list[str],
) -> list[InputUnit]:
    """Return the units with the rows that are read; all rows where no sample is asked for, or it would have them all.

    Args:
        config: the settings.
        units: the input.
        settings: how it is read.
        options: pipeline options.
        scratch: directory for intermediate results.
        notices: a sentence for the user is appended.
    """
    units = list(units)
    if config.sample_rows is None:
        return units
    from linesmith.records.input.row_sample import sampled_ranges
    from linesmith.transforms.samples.find_sample import find_sample
    from linesmith.transforms.samples.places import line_places

    found = find_sample(sampled_ranges(units), config.sample_rows, line_places(settings), options, scratch)
    if found.rows == found.of:
        notices.append(f"--sample-rows {config.sample_rows}: the input has {found.of:,} rows, and all are used")
        return units
    notices.append(
        f"--sample-rows {config.sample_rows}: {found.rows:,} of {found.of:,} rows are used, a uniform sample"
    )
    return sampled_ranges(units, found.below)
