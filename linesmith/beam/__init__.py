"""Transforms for anybody's own Beam pipelines: what the commands do, as steps with rows between them.

Example:
    >>> import apache_beam as beam
    >>> import linesmith.beam
    >>> def build(pipeline):
    ...     rows = pipeline | linesmith.beam.GenerateRecords("run", records=1_000_000)
    ...     _ = rows | beam.io.WriteToParquet("lake/rides")
"""

from __future__ import annotations

from pathlib import Path

from linesmith.beam.generate import GenerateRecords, Ticks
from linesmith.beam.handlers import LinesmithModelHandler
from linesmith.beam.read import ReadRecords
from linesmith.beam.score import ScoreRecords
from linesmith.beam.stages import Tokenize, Train
from linesmith.runners import pipeline_options

YAML_CATALOG = Path(__file__).with_name("catalog.yaml")

__all__ = [
    "YAML_CATALOG",
    "GenerateRecords",
    "LinesmithModelHandler",
    "ReadRecords",
    "ScoreRecords",
    "Ticks",
    "Tokenize",
    "Train",
    "pipeline_options",
]
