"""Encode files of start strings into a store with one pair of files per source, so that sources are read in parallel.

Errors that a user can fix come back as results: a runner would retry them in vain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from linesmith.core.errors import ParameterError

if TYPE_CHECKING:
    from linesmith.model.generation.requests.conditions import ConditionSettings
    from linesmith.model.sampling.sample_types import SamplerOptions
    from linesmith.model.tokenizers.loading import AnyTokenizer


@dataclass(frozen=True)
class StartStringSettings:
    """What is needed to encode start strings.

    Attributes:
        run_dir: run directory with the tokenizer.
        column: column of tables to read; None: `start_string`, or the only column.
        field_count: most fields that a start string may begin; None: any number.
        store: directory to write to, which all workers share.
        conditions: the sources hold partial records: what may be given, and the masks; None: they hold start strings.
    """

    run_dir: str
    column: str | None
    field_count: int | None
    store: str
    conditions: tuple[ConditionSettings, SamplerOptions] | None = None


@dataclass(frozen=True)
class StartStringFile:
    """A source file, and its number in the store."""

    number: int
    path: str


@dataclass(frozen=True)
class StartStringCount:
    """How many start strings a source holds, or what is wrong with it.

    The last three are those of `ConditionCounts`.
    """

    number: int
    count: int = 0
    error: str | None = None
    unseen: dict[str, int] = field(default_factory=dict)
    replaced: dict[str, int] = field(default_factory=dict)
    unchecked: dict[str, int] = field(default_factory=dict)


@dataclass
class EncodeStartStrings(beam.PTransform):
    """`PCollection[StartStringFile]` → encoded start strings in the store, and a list of StartStringCount in `results`."""

    settings: StartStringSettings
    results: Path

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, files: beam.PCollection[StartStringFile]) -> beam.PCollection:
        """Encode the files and collect their counts."""
        from linesmith.transforms.collect_json import CollectJson

        return (
            files
            | "Spread" >> beam.Reshuffle()
            | "Encode" >> beam.ParDo(_EncodeStartStringsFn(self.settings))
            | "Counts" >> CollectJson(self.results)
        )


class _EncodeStartStringsFn(beam.DoFn):
    """DoFn that encodes source files; the tokenizer is loaded once per worker."""

    def __init__(self, settings: StartStringSettings) -> None:
        super().__init__()
        self._settings = settings
        self._tokenizer: AnyTokenizer

    def setup(self) -> None:
        from linesmith.model.tokenizers import tokenizer_from_model_dir

        self._tokenizer = tokenizer_from_model_dir(self._settings.run_dir)

    def process(self, file: StartStringFile) -> Iterable[StartStringCount]:
        yield encode_start_string_file(file, self._settings, self._tokenizer)


def encode_start_string_file(file: StartStringFile, settings: StartStringSettings, tokenizer: Any) -> StartStringCount:
    """Encode one source into the store; an error of the source is returned in the count."""
    if settings.conditions is not None:
        return _encode_partial_records(file, settings, tokenizer)
    from linesmith.model.generation.requests.start_string_encoding import iter_encoded_start_strings
    from linesmith.model.generation.requests.start_string_files import (
        START_STRINGS_FILE_OPTION,
        iter_start_strings,
        open_local,
    )
    from linesmith.model.generation.requests.start_string_store import write_start_strings
    from linesmith.transforms.find_inputs import open_raw

    try:
        texts = iter_start_strings(file.path, settings.column, open_raw if "://" in file.path else open_local)
        encoded = iter_encoded_start_strings(
            texts, tokenizer, f"{START_STRINGS_FILE_OPTION} '{file.path}'", settings.field_count
        )
        return StartStringCount(file.number, write_start_strings(settings.store, file.number, encoded))
    except ParameterError as error:
        return StartStringCount(file.number, error=str(error))


def _encode_partial_records(file: StartStringFile, settings: StartStringSettings, tokenizer: Any) -> StartStringCount:
    """Encode one source of partial records into the store."""
    from linesmith.core.artifacts.model_info import read_model_info
    from linesmith.core.config.setting_field import option_text
    from linesmith.model.generation.requests.conditions import ConditionEncoder
    from linesmith.model.generation.requests.partial_records import iter_partial_records
    from linesmith.model.generation.requests.start_string_files import open_local
    from linesmith.model.generation.requests.start_string_store import write_start_strings
    from linesmith.model.sampling.masks import token_automaton
    from linesmith.transforms.find_inputs import open_raw

    if settings.conditions is None:
        raise ValueError("the source holds no partial records")
    conditions, options = settings.conditions
    name = "impute" if conditions.fill else "where_file"
    conditions = replace(conditions, option=option_text(name, file.path))
    try:
        automaton = token_automaton(tokenizer, read_model_info(settings.run_dir), options)
        encoder = ConditionEncoder(conditions, tokenizer, automaton)
        opener = open_raw if "://" in file.path else open_local
        delimiter = tokenizer.field_delimiter
        table = conditions.checks.table
        rows = iter_partial_records(file.path, conditions.option, conditions.allowed, delimiter, opener, table)
        count = write_start_strings(settings.store, file.number, encoder.encode_rows(rows))
        found = encoder.counts
        counts = (dict(found.unseen), dict(found.replaced), dict(found.unchecked))
        return StartStringCount(file.number, count, None, *counts)
    except ParameterError as error:
        return StartStringCount(file.number, error=str(error))


def match_start_string_files(
    pattern: str, option: str | None = None, error: Callable[[str, str, str], ParameterError] | None = None
) -> list[str]:
    """Return the files that a path, a glob or a bucket address names, sorted by name.

    Args:
        pattern: the path, glob or address.
        option: the option that gave it, for messages; None: that of start strings.
        error: makes the error for none; None: LS108.

    Raises:
        ParameterError: LS108 or that of `error`, there are none.
    """
    from linesmith.model.generation.requests.start_string_files import (
        START_STRINGS_FILE_OPTION,
        find_start_string_files,
    )
    from linesmith.transforms.find_inputs import match_files

    option = START_STRINGS_FILE_OPTION if option is None else option
    return find_start_string_files(pattern, partial(match_files, option=option), option, error)
