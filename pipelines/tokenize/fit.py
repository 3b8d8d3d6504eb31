"""The first pass of tokenize: count the input, and fit the tokenizer and the graph that encodes with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.config.privacy_checks import vocabulary_mode
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.tokenize.counts import check_counts
from linesmith.pipelines.tokenize.fit_private import fit_private_tokenizer
from linesmith.records.input.input_ranges import InputUnit

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.model.tokenizers.base import Tokenizer
    from linesmith.transforms.read_records import RangeCount, ReadSettings


def fit_tokenizer(
    config: TensorFlowConfig,
    units: list[InputUnit],
    settings: ReadSettings,
    options: PipelineOptions,
    scratch: Path,
    notices: list[str],
) -> tuple[list[RangeCount], Tokenizer]:
    """Fit the tokenizer that the settings ask for.

    Args:
        config: the settings: kind and size of the vocabulary, format of the fields, limit on rejects.
        units: the input, in units of work.
        settings: how records are read.
        options: pipeline options.
        scratch: a directory for intermediate files; the graph is saved in its `data` directory.
        notices: sentences for the user are appended.

    Returns:
        The counts of each range of the input, in order, and the tokenizer.

    Raises:
        DataError: an input file is damaged or holds no record, or too many lines were rejected.
        VocabSizeTooSmall: the characters of the data need a larger vocabulary.
    """
    if vocabulary_mode(config) != "raw":
        counts, tokenizer = fit_private_tokenizer(config, units, settings, options, scratch)
        check_counts(counts, config.max_reject_rate)
        return counts, tokenizer
    if config.vocab_size:
        return _fit_sentencepiece(config, units, settings, options, scratch, notices)
    return _fit_characters(config, units, settings, options, scratch)


def _fit_characters(
    config: TensorFlowConfig, units: list[InputUnit], settings: ReadSettings, options: PipelineOptions, scratch: Path
) -> tuple[list[RangeCount], Tokenizer]:
    from linesmith.model.tokenizers.char_tokenizer import CharTokenizer, code_points_of_vocabulary
    from linesmith.model.tokenizers.token_format import TokenFormat
    from linesmith.transforms.fit_tokenizer import count_ranges, fit_characters
    from linesmith.transforms.transform_graph import SavedGraph

    max_fields = len(config.learned_columns or ())
    if config.column_pattern is not None and not config.dp:
        # The ids of field markers come before those of characters, so their number is needed before characters are counted.
        counts = count_ranges(units, settings, options, scratch)
        check_counts(counts, config.max_reject_rate)
        max_fields = max(count.max_fields for count in counts)
    fields = TokenFormat.from_config(config, max_fields, settings.records.form)
    data = scratch / "data"
    counts = fit_characters(units, settings, options, scratch, data, fields.markers)
    check_counts(counts, config.max_reject_rate)
    return counts, CharTokenizer(code_points_of_vocabulary(SavedGraph(str(data)).vocabulary()), fields)


def _fit_sentencepiece(
    config: TensorFlowConfig,
    units: list[InputUnit],
    settings: ReadSettings,
    options: PipelineOptions,
    scratch: Path,
    notices: list[str],
) -> tuple[list[RangeCount], Tokenizer]:
    from linesmith.model.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer
    from linesmith.model.tokenizers.sentencepiece_training import train_sentencepiece
    from linesmith.model.tokenizers.token_format import TokenFormat
    from linesmith.transforms.fit_tokenizer import count_words, save_graph
    from linesmith.transforms.transform_graph import sentencepiece_graph

    counts, level, words = count_words(units, settings, options, scratch, config.pretrain_sentence_count)
    check_counts(counts, config.max_reject_rate)
    if level:  # memory was bounded by counting the words of a sample of the lines
        notices.append(
            f"the data have more distinct words than pretrain_sentence_count {config.pretrain_sentence_count}: "
            f"SentencePiece was trained on a uniform 1/{2**level} of the lines"
        )
    # With dp the number of fields comes from the settings, even where the pieces are learned from the records.
    max_fields = len(config.learned_columns or ()) if config.dp else max(count.max_fields for count in counts)
    fields = TokenFormat.from_config(config, max_fields, settings.records.form)
    model = train_sentencepiece(
        words,
        vocab_size=config.vocab_size,
        reserved_count=fields.reserved_count,
        model_type=config.sentencepiece_type,
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
