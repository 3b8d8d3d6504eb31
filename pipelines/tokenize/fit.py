"""The first half of tokenize: a tokenizer and its graph from the whole input, or a reason why there can be none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.config.privacy_checks import vocabulary_mode
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.pipelines.tokenize.fit_private import fit_private
from linesmith.records.input.input_ranges import Unit

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.model.tokenizers.base import Tokenizer
    from linesmith.transforms.read_records import RangeCount, ReadSettings


def fit(
    config: TensorFlowConfig,
    units: list[Unit],
    settings: ReadSettings,
    options: PipelineOptions,
    scratch: Path,
    notices: list[str],
) -> tuple[list[RangeCount], Tokenizer]:
    """Fit the tokenizer that the configuration asks for.

    Args:
        scratch: the graph is saved to its `data` directory.
        notices: sentences for the user are appended.

    Returns:
        What is in each range of the input, in order, and the tokenizer.

    Raises:
        DataError: an input is damaged, holds no record, or too many lines were rejected.
        VocabSizeTooSmall: the characters of the data need more.
    """
    if vocabulary_mode(config) != "raw":
        counts, tokenizer = fit_private(config, units, settings, options, scratch)
        _check_counts(config, counts)
        return counts, tokenizer
    if config.vocab_size:
        return _fit_sentencepiece(config, units, settings, options, scratch, notices)
    return _fit_characters(config, units, settings, options, scratch)


def _fit_characters(
    config: TensorFlowConfig, units: list[Unit], settings: ReadSettings, options: PipelineOptions, scratch: Path
) -> tuple[list[RangeCount], Tokenizer]:
    from linesmith.model.tokenizers.char_tokenizer import CharTokenizer, code_points_of_vocabulary
    from linesmith.model.tokenizers.field_format import FieldFormat
    from linesmith.transforms.fit_tokenizer import count_ranges, fit_characters
    from linesmith.transforms.transform_graph import SavedGraph

    max_fields = 0
    if config.column_pattern is not None:
        # Marker ids come before the characters, so their number must be known before characters are counted.
        counts = count_ranges(units, settings, options, scratch)
        _check_counts(config, counts)
        max_fields = max(count.max_fields for count in counts)
    fields = FieldFormat.of(config, max_fields)
    data = scratch / "data"
    counts = fit_characters(units, settings, options, scratch, data, fields.markers)
    _check_counts(config, counts)
    return counts, CharTokenizer(code_points_of_vocabulary(SavedGraph(str(data)).vocabulary()), fields)


def _fit_sentencepiece(
    config: TensorFlowConfig,
    units: list[Unit],
    settings: ReadSettings,
    options: PipelineOptions,
    scratch: Path,
    notices: list[str],
) -> tuple[list[RangeCount], Tokenizer]:
    from linesmith.model.tokenizers.field_format import FieldFormat
    from linesmith.model.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer
    from linesmith.model.tokenizers.sentencepiece_training import train_sentencepiece
    from linesmith.transforms.fit_tokenizer import count_words, save_graph
    from linesmith.transforms.transform_graph import sentencepiece_graph

    counts, lowest, words = count_words(units, settings, options, scratch, config.pretrain_sentence_count)
    _check_counts(config, counts)
    if lowest:
        notices.append(
            f"the data have more distinct words than pretrain_sentence_count {config.pretrain_sentence_count}: "
            f"SentencePiece was trained on a uniform 1/{2**lowest} of the lines"
        )
    fields = FieldFormat.of(config, max(count.max_fields for count in counts))
    model = train_sentencepiece(
        words,
        vocab_size=config.vocab_size,
        reserved=fields.reserved,
        kind=config.sentencepiece_type,
        character_coverage=config.character_coverage,
    )
    tokenizer = SentencePieceTokenizer(model, fields)
    if tokenizer.total_vocab_size < config.vocab_size:
        notices.append(
            f"vocab_size is lowered from {config.vocab_size} to {tokenizer.total_vocab_size}: "
            "the data have no more pieces worth a token"
        )
    save_graph(sentencepiece_graph(model, fields.markers), options, scratch, scratch / "data")
    return counts, tokenizer


def _check_counts(config: TensorFlowConfig, counts: list[RangeCount]) -> None:
    """Refuse what cannot be trained on, before more is spent on it."""
    from linesmith.records.input.input_files import damaged_file_error
    from linesmith.transforms.read_records import total_rejected

    for count in counts:
        if count.damaged:
            raise damaged_file_error(count.file, "packed")
    accepted = sum(count.accepted for count in counts)
    reasons = total_rejected(counts)
    rejected = sum(reasons.values())
    told = ", ".join(f"{reason} {number}" for reason, number in reasons.items()) or "none"
    where = next((f" first in '{count.file}';" for count in counts if count.rejected), "")
    if not accepted:
        raise DataError(
            f"LS207: --input holds no record: of {rejected} lines all were rejected ({told});{where} look at "
            "--encoding and --max-line-len.",
            code="LS207",
        )
    if rejected > config.max_reject_rate * (accepted + rejected):
        raise DataError(
            f"LS207: {rejected} of {accepted + rejected} lines of --input were rejected ({told});{where} more than "
            f"--max-reject-rate {config.max_reject_rate:g} allows. Mend the input or allow more.",
            code="LS207",
        )
