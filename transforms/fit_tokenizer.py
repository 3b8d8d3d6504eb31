"""The first pass over the input: fit a tokenizer, and count what is there.

Every accepted record takes part, including the holdout: it must be encoded like the rest, so its characters have to be in
the vocabulary. Nothing else is learned from it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from linesmith.core.artifacts.files import read_json
from linesmith.records.input.input_ranges import InputUnit
from linesmith.records.input.record_survey import RecordSurvey
from linesmith.transforms.collect_json import CollectJson, read_collected
from linesmith.transforms.combine_batches import CombineToJson, count_character_presence_fn, count_words_fn, survey_fn
from linesmith.transforms.read_records import RangeCount, ReadRecords, ReadSettings
from linesmith.transforms.worker_errors import reraise_worker_errors

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.model.tokenizers.word_counts import WordCounts
    from linesmith.transforms.transform_graph import PreprocessingFn

_COUNTS_FILE = "range_counts.json"


def count_ranges(
    units: Iterable[InputUnit],
    settings: ReadSettings,
    options: PipelineOptions,
    scratch: Path,
    combine: beam.PTransform | None = None,
) -> list[RangeCount]:
    """Run a pipeline over the input, and return the counts of each of its ranges.

    Args:
        units: the input.
        settings: how it is read.
        options: of the pipeline.
        scratch: directory for intermediate results, which driver and workers share.
        combine: applied to the batches of records as well; it writes its result itself.

    Returns:
        Counts in order of file and first byte.
    """
    with reraise_worker_errors(), beam.Pipeline(options=options) as pipeline:
        read = pipeline | "Read" >> ReadRecords(units, settings)
        _ = read.counts | "Counts" >> CollectJson(scratch / _COUNTS_FILE)
        if combine is not None:
            _ = read.batches | "Combine" >> combine
    return _read_counts(scratch)


def count_character_presence(
    units: Iterable[InputUnit], settings: ReadSettings, options: PipelineOptions, scratch: Path, key: bytes
) -> tuple[list[RangeCount], dict[int, int]]:
    """Return the counts of each range, and the number of records in which each character outside ASCII occurs.

    The file with the raw counts of characters is deleted.
    """
    path = scratch / "presence.json"
    combine = CombineToJson(count_character_presence_fn(key), _presence_json, path)
    counts = count_ranges(units, settings, options, scratch, combine)
    presence = dict(read_json(path, "the character counts", limited=False))
    path.unlink()
    return counts, presence


def _presence_json(counts: dict[int, int]) -> list[tuple[int, int]]:
    return sorted(counts.items())


def survey_records(
    units: Iterable[InputUnit], settings: ReadSettings, options: PipelineOptions, scratch: Path
) -> tuple[list[RangeCount], RecordSurvey]:
    """Return the counts of each range, and what the records have in common."""
    path = scratch / "survey.json"
    counts = count_ranges(units, settings, options, scratch, CombineToJson(survey_fn(), RecordSurvey.as_json, path))
    return counts, RecordSurvey.from_json(read_json(path, "the survey of the records", limited=False))


def count_words(
    units: Iterable[InputUnit], settings: ReadSettings, options: PipelineOptions, scratch: Path, cap: int
) -> tuple[list[RangeCount], int, list[tuple[str, int]]]:
    """Return the counts of each range, the lowest level of the counted lines (0: all lines), and words by descending count."""
    path = scratch / "words.json"
    counts = count_ranges(units, settings, options, scratch, CombineToJson(count_words_fn(cap), _words_json, path))
    words: dict[str, Any] = read_json(path, "the word counts", limited=False)
    return counts, words["lowest"], [(word, count) for word, count in words["words"]]


def _words_json(counts: WordCounts) -> dict[str, Any]:
    return {"lowest": counts.min_level, "words": counts.sorted_counts()}


def fit_characters(
    units: Iterable[InputUnit],
    settings: ReadSettings,
    options: PipelineOptions,
    scratch: Path,
    data: Path,
    markers: int,
) -> list[RangeCount]:
    """Count characters with tf.Transform, and save the graph that encodes with them in `data`."""
    import tensorflow_transform.beam as tft_beam

    from linesmith.transforms.transform_graph import adapter_config, characters_graph, to_arrow

    with (
        reraise_worker_errors(),
        beam.Pipeline(options=options) as pipeline,
        tft_beam.Context(temp_dir=str(scratch / "tft")),
    ):
        read = pipeline | "Read" >> ReadRecords(units, settings)
        texts = read.batches | "Text" >> beam.Map(to_arrow)
        transform = (texts, adapter_config()) | tft_beam.AnalyzeDataset(characters_graph(markers))
        _ = transform | tft_beam.WriteTransformFn(str(scratch / "graph"))
        _ = read.counts | "Counts" >> CollectJson(scratch / _COUNTS_FILE)
    counts = _read_counts(scratch)
    _move_graph(scratch, data)
    return counts


def save_graph(graph: PreprocessingFn, options: PipelineOptions, scratch: Path, data: Path) -> None:
    """Save a graph that has nothing to analyze, over a trained model or over bytes, in `data`. No input is read."""
    import tensorflow_transform.beam as tft_beam

    from linesmith.transforms.transform_graph import adapter_config

    with (
        reraise_worker_errors(),
        beam.Pipeline(options=options) as pipeline,
        tft_beam.Context(temp_dir=str(scratch / "tft")),
    ):
        nothing = pipeline | "Nothing" >> beam.Create([])
        transform = (nothing, adapter_config()) | tft_beam.AnalyzeDataset(graph)
        _ = transform | tft_beam.WriteTransformFn(str(scratch / "graph"))
    _move_graph(scratch, data)


def _move_graph(scratch: Path, data: Path) -> None:
    """Move the saved graph to the file names under which `TFTransformOutput(data)` finds it."""
    for part in (scratch / "graph").iterdir():
        shutil.move(str(part), str(data / part.name))


def _read_counts(scratch: Path) -> list[RangeCount]:
    counts = [RangeCount(**count) for count in read_collected(scratch / _COUNTS_FILE)]
    return sorted(counts, key=lambda count: (count.file, count.start))
