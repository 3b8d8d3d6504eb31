"""Decide the shape of the records before a tokenizer is fitted: the number of fields, and which texts are shared out.

What is decided depends on the input and the settings only. With `dp` nothing is decided by looking at records: the number of
fields comes from settings or a header, and the split is by content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.config.setting_field import option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, LinesmithError, ParameterError
from linesmith.pipelines.tokenize.counts import check_counts
from linesmith.records.input.input_files import InputFile
from linesmith.records.input.input_ranges import InputUnit, replace_ranges
from linesmith.records.input.record_survey import is_frequent, most_common_count, usual_field_count

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.transforms.read_records import RangeCount, ReadSettings

_MOST_FIELDS = 10_000


@dataclass(frozen=True)
class FieldCountRule:
    """A number of fields that the user has given.

    Attributes:
        count: the number.
        setting: what gives it: `columns`, `schema_file` or `header`.
        option: as typed on the command line, for an error.
        found: what it says, for an error.
    """

    count: int
    setting: str
    option: str
    found: str


def skipped_line_notices(files: Sequence[InputFile]) -> list[str]:
    """Return what to tell about lines that precede header and records: of the first file that has some."""
    skipping = [file for file in files if file.skipped]
    if not skipping:
        return []
    lines = "; ".join(f"line {number}: {what}" for number, what in enumerate(skipping[0].skipped, 1))
    others = "" if len(skipping) == 1 else f", and lines of {len(skipping) - 1} more files"
    return [f"skipped of '{skipping[0].name}': {lines}{others}"]


def find_shape(
    config: TensorFlowConfig,
    units: list[InputUnit],
    settings: ReadSettings,
    options: PipelineOptions,
    scratch: Path,
    notices: list[str],
) -> tuple[list[InputUnit], ReadSettings]:
    """Decide how many fields a record has, and which texts may be frequent.

    Args:
        config: the settings.
        units: the input.
        settings: how it is read, whatever number of fields the records have.
        options: pipeline options.
        scratch: directory for intermediate results.
        notices: sentences for the user are appended.

    Returns:
        The units to read, those of the first `max_lines` records if there is such a limit, and how to read them.

    Raises:
        ParameterError: LS109, LS111, `columns` or the schema do not fit the records.
        DataError: LS230, the header does not fit the records; LS233, they have too many fields; as `check_counts`.
    """
    from linesmith.transforms.fit_tokenizer import survey_records
    from linesmith.transforms.read_records import take_first

    rule = _field_count_rule(config, units, settings)
    if rule is not None:
        _refuse_too_many(rule.count, rule.option)
    if config.dp:
        return units, settings if rule is None else replace(settings, field_count=rule.count)
    read = take_first(units, settings, config.max_lines) if config.max_lines else units
    counts, survey = survey_records(read, settings, options, scratch)
    check_counts(counts, config.max_reject_rate)
    field_count = None
    if config.field_delimiter is not None:
        _refuse_too_many(most_common_count(survey.field_counts), option_text("field_delimiter", config.field_delimiter))
        field_count = _decide_field_count(rule, survey.field_counts, config.field_delimiter, notices)
    records = survey.field_counts.total() if field_count is None else survey.field_counts[field_count]
    settings = replace(settings, field_count=field_count, frequent=survey.frequent.candidates(records))
    if config.max_lines and records < survey.field_counts.total():
        read = take_first(units, settings, config.max_lines)
    return read, settings


def _refuse_too_many(count: int, option: str) -> None:
    """Refuse records of more fields than a network of any use could learn.

    Raises:
        DataError: LS233.
    """
    if count > _MOST_FIELDS:
        raise DataError(
            "LS233",
            option,
            f"the records have {count:,} fields, and at most {_MOST_FIELDS:,} can be learned",
            "Give files with fewer columns, or another --field-delimiter.",
        )


def _field_count_rule(
    config: TensorFlowConfig, units: Sequence[InputUnit], settings: ReadSettings
) -> FieldCountRule | None:
    """Return the number of fields that columns, a schema or the first header gives; None if nothing does.

    Raises:
        ParameterError: LS109, `columns` and the schema differ; LS111, the schema cannot be read.
    """
    from linesmith.records.output.schema import read_schema

    if config.field_delimiter is None:
        return None
    schema = None
    if config.schema_file is not None and "://" not in config.schema_file:
        schema = len(read_schema(config.schema_file).names)
    names = config.learned_columns
    if names is not None:
        found = f"{len(names)} names"
        option = option_text("columns", config.columns)
        if schema is not None and schema != len(names):
            raise ParameterError(
                "LS109",
                option,
                f"{found}, but the schema of --schema-file has {schema} fields",
                "Give as many of the one as of the other.",
            )
        return FieldCountRule(len(names), "columns", option, found)
    if schema is not None:
        option = option_text("schema_file", config.schema_file)
        return FieldCountRule(schema, "schema_file", option, f"it has {schema} fields")
    return _header_rule(units, settings) if config.header else None


def _header_rule(units: Sequence[InputUnit], settings: ReadSettings) -> FieldCountRule | None:
    from linesmith.transforms.read_records import RangeReader

    for source in (source for unit in units for source in unit.ranges if source.starts_file):
        reader = RangeReader(replace(source, limit=1), settings)
        next(reader.batches(), None)
        names = reader.count.columns
        if names is not None:
            line = len(source.file.skipped) + 1
            named = "1 column" if len(names) == 1 else f"{len(names)} columns"
            found = f"line {line} of '{source.file.name}' names {named}"
            return FieldCountRule(len(names), "header", "--header", found)
    return None


def _decide_field_count(
    rule: FieldCountRule | None, field_counts: Mapping[int, int], delimiter: str, notices: list[str]
) -> int | None:
    """Return the number of fields that all records must have; None: they may differ.

    Raises:
        LinesmithError: more records have another number than the one that the user gave.
    """
    total, most = sum(field_counts.values()), most_common_count(field_counts)
    if max(field_counts) == 1:
        shown = "a tab" if delimiter == "\t" else f"'{delimiter}'"
        notices.append(f"the --field-delimiter {shown} occurs in no record: each record is one field")
    if rule is not None:
        if field_counts.get(rule.count, 0) < field_counts[most]:
            raise _misfit(rule, most, field_counts[most], total)
        return rule.count
    usual = usual_field_count(field_counts)
    if usual is None:
        notices.append(
            f"the records have {min(field_counts)} to {max(field_counts)} fields ({field_counts[most]:,} of {total:,} have "
            f"{most}): fields have no names, types or limits. Where one number is right, give --columns or --header, and "
            "records with another number are rejected"
        )
    elif field_counts[usual] < total:
        notices.append(
            f"{total - field_counts[usual]:,} of {total:,} records have another number of fields than the usual {usual} and "
            "are rejected (field_count)"
        )
    return usual


def _misfit(rule: FieldCountRule, most: int, records: int, total: int) -> LinesmithError:
    found = f"{rule.found}, but the records have {most} {'field' if most == 1 else 'fields'} ({records:,} of {total:,})"
    if rule.setting == "columns":
        return ParameterError("LS109", rule.option, found, "Give one name per field, in order.")
    if rule.setting == "schema_file":
        return ParameterError("LS111", rule.option, found, "Describe each field, in order.")
    return DataError(
        "LS230",
        rule.option,
        found,
        "Correct that line, remove what stands above it, or give --columns, one name per field, in order.",
    )


def share_out_frequent_texts(
    units: list[InputUnit], counts: Sequence[RangeCount], settings: ReadSettings, notices: list[str]
) -> tuple[list[InputUnit], ReadSettings]:
    """Return units and settings with which the occurrences of frequent texts are split instead of the texts.

    Args:
        units: the input.
        counts: counts of its ranges, read with these settings.
        settings: whose `frequent` holds all texts that may be frequent.
        notices: a sentence for the user is appended if there are any.
    """
    records = sum(count.accepted for count in counts)
    totals: Counter[int] = Counter()
    for text, number in (pair for count in counts for pair in count.frequent):
        totals[text] += number
    frequent = frozenset(text for text, number in totals.items() if is_frequent(number, records))
    settings = replace(settings, frequent=frequent)
    if not frequent:
        return units, settings
    by_range = {(count.file, count.start): count.frequent for count in counts}
    before: Counter[int] = Counter()
    ranges = []
    for source in (source for unit in units for source in unit.ranges):
        here = [(text, number) for text, number in by_range[source.file.name, source.start] if text in frequent]
        ranges.append(replace(source, frequent=tuple((text, before[text]) for text, _ in here)))
        before.update(dict(here))
    shared = sum(totals[text] for text in frequent)
    texts = "1 text makes" if len(frequent) == 1 else f"{len(frequent)} texts make"
    notices.append(
        f"{texts} up more than 1 % of the {records:,} records each ({shared:,} together): their occurrences, not the texts, are "
        "shared out among training, validation and holdout, and copies of them cannot be judged"
    )
    return replace_ranges(units, ranges), settings
