"""Find out what the columns of a source need, over all of its rows, on any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from linesmith.records.input.input_ranges import InputUnit
from linesmith.records.sources.column_facts import SourceFacts
from linesmith.records.sources.jsonl_rows import JsonFacts
from linesmith.records.table_format import TableFormat
from linesmith.transforms.collect_json import CollectJson, read_collected
from linesmith.transforms.source_lines import add_facts, add_json_facts
from linesmith.transforms.worker_errors import reraise_worker_errors

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


def survey_source(
    units: Iterable[InputUnit], table: TableFormat, options: PipelineOptions, scratch: Path
) -> SourceFacts:
    """Return the facts of all rows.

    Args:
        units: the input.
        table: its columns by their schema alone.
        options: of the pipeline.
        scratch: directory for intermediate results, which driver and workers share.

    Raises:
        DataError: LS206, a file is damaged.
    """
    facts = SourceFacts.empty(table)
    for found in _collected(
        units, partial(_survey_unit, table=table), options, scratch
    ):  # in any order: merging gives the same
        facts.merge(SourceFacts.from_json(found))
    return facts


def survey_json(
    units: Iterable[InputUnit], options: PipelineOptions, scratch: Path, cut: frozenset[str] = frozenset()
) -> JsonFacts:
    """Return the facts of all rows of JSON Lines.

    Args:
        units: the input.
        options: of the pipeline.
        scratch: directory for intermediate results, which driver and workers share.
        cut: names of places of which the kinds of values are noted, and nothing else.

    Raises:
        DataError: LS206, a file is damaged.
    """
    facts = JsonFacts()
    found_units = _collected(units, partial(_survey_json_unit, cut=cut), options, scratch)
    for found in sorted(found_units, key=lambda found: found["unit"]):  # keys are kept in the order of the input
        facts.merge(JsonFacts.from_json(found["facts"]))
    return facts


def _collected(
    units: Iterable[InputUnit], survey: Callable[[InputUnit], Any], options: PipelineOptions, scratch: Path
) -> Iterable[Any]:
    """Return what a function finds in each unit, in any order."""
    path = scratch / "source_facts.json"
    with reraise_worker_errors(), beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | "Units" >> beam.Create(list(units), reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Survey" >> beam.Map(survey)
            | "Facts" >> CollectJson(path)
        )
    return read_collected(path)


def _survey_json_unit(unit: InputUnit, cut: frozenset[str]) -> dict[str, Any]:
    facts = JsonFacts()
    for source in unit.ranges:
        add_json_facts(facts, source, cut)
    return {"unit": unit.index, "facts": facts.as_json()}


def _survey_unit(unit: InputUnit, table: TableFormat) -> list[dict[str, Any]]:
    facts = SourceFacts.empty(table)
    for source in unit.ranges:
        add_facts(facts, source, table)
    return facts.as_json()
