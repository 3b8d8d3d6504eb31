"""The first pass over the input: fit a tokenizer, and count what is there. Every accepted record takes part, the holdout too.

The holdout must be encoded like the rest, so its characters have to be in the vocabulary; nothing else of it is learnt.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from linesmith.core.artifacts.files import read_json
from linesmith.records.input.input_ranges import Unit
from linesmith.transforms.collect_json import CollectJson, read_collected
from linesmith.transforms.count_words import CountWords
from linesmith.transforms.read_records import RangeCount, ReadRecords, ReadSettings
from linesmith.transforms.worker_errors import reraise_worker_errors

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.transforms.transform_graph import PreprocessingFn

_COUNTS = "range_counts.json"
_WORDS = "words.json"


def count_ranges(
    units: Iterable[Unit], settings: ReadSettings, options: PipelineOptions, scratch: Path
) -> list[RangeCount]:
    """What is in each range of the input, and nothing else."""
    with reraise_worker_errors(), beam.Pipeline(options=options) as pipeline:
        read = pipeline | "Read" >> ReadRecords(units, settings)
        _ = read.counts | "Counts" >> CollectJson(scratch / _COUNTS)
    return _counts(scratch)


def fit_characters(
    units: Iterable[Unit], settings: ReadSettings, options: PipelineOptions, scratch: Path, data: Path, markers: int
) -> list[RangeCount]:
    """Count characters with tf.Transform and save the graph that encodes with them."""
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
        _ = read.counts | "Counts" >> CollectJson(scratch / _COUNTS)
    counts = _counts(scratch)
    _place(scratch, data)
    return counts


def count_presence(
    units: Iterable[Unit], settings: ReadSettings, options: PipelineOptions, scratch: Path, key: bytes
) -> tuple[list[RangeCount], dict[int, int]]:
    """Counts by range, and in how many records each character outside ASCII occurs. The raw counts are deleted."""
    from linesmith.transforms.count_character_presence import CountCharacterPresence

    path = scratch / "presence.json"
    with reraise_worker_errors(), beam.Pipeline(options=options) as pipeline:
        read = pipeline | "Read" >> ReadRecords(units, settings)
        _ = read.batches | "Presence" >> CountCharacterPresence(key, path)
        _ = read.counts | "Counts" >> CollectJson(scratch / _COUNTS)
    counts = _counts(scratch)
    presence = dict(read_json(path, "the character counts"))
    path.unlink()
    return counts, presence


def count_words(
    units: Iterable[Unit], settings: ReadSettings, options: PipelineOptions, scratch: Path, cap: int
) -> tuple[list[RangeCount], int, list[tuple[str, int]]]:
    """Counts by range, the lowest level of the counted lines (0: all were), and words by descending count."""
    with reraise_worker_errors(), beam.Pipeline(options=options) as pipeline:
        read = pipeline | "Read" >> ReadRecords(units, settings)
        _ = read.batches | "Words" >> CountWords(cap, scratch / _WORDS)
        _ = read.counts | "Counts" >> CollectJson(scratch / _COUNTS)
    counts = _counts(scratch)
    words: dict[str, Any] = read_json(scratch / _WORDS, "the word counts")
    return counts, words["lowest"], [(word, count) for word, count in words["words"]]


def save_graph(graph: PreprocessingFn, options: PipelineOptions, scratch: Path, data: Path) -> None:
    """Save a graph that has nothing to analyse: one over a trained model, or over bytes. No data are read."""
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
    _place(scratch, data)


def _place(scratch: Path, data: Path) -> None:
    """Move the saved graph, by the names under which `TFTransformOutput(data)` finds it."""
    for part in (scratch / "graph").iterdir():
        shutil.move(str(part), str(data / part.name))


def _counts(scratch: Path) -> list[RangeCount]:
    counts = [RangeCount(**one) for one in read_collected(scratch / _COUNTS)]
    return sorted(counts, key=lambda count: (count.file, count.start))
