"""The tokenizer of a private run: from a public file, or from counts of characters with charged noise.

Field markers are taken from the setting `columns`, so that they tell nothing about the records.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.config.privacy_checks import vocabulary_mode
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.tokenizers.byte_tokenizer import ByteTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.records.input.input_ranges import InputUnit

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.model.tokenizers.base import Tokenizer
    from linesmith.transforms.read_records import RangeCount, ReadSettings


def fit_private_tokenizer(
    config: TensorFlowConfig, units: list[InputUnit], settings: ReadSettings, options: PipelineOptions, scratch: Path
) -> tuple[list[RangeCount], Tokenizer]:
    """Count the input, and make a tokenizer that depends on public knowledge and charged releases only.

    Args:
        config: the settings: source of the vocabulary, names of the columns.
        units: the input, in units of work.
        settings: how records are read.
        options: pipeline options.
        scratch: a directory for intermediate files; the graph is saved in its `data` directory.

    Returns:
        The counts of each range of the input, which must not be released, and the tokenizer.

    Raises:
        ParameterError: LS313, the public vocabulary cannot be used.
        DataError: LS306, a ledger cannot be read or written.
    """
    from linesmith.model.privacy.vocabulary import public_characters, public_sentencepieces
    from linesmith.model.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer
    from linesmith.transforms.fit_tokenizer import count_ranges, save_graph
    from linesmith.transforms.transform_graph import bytes_graph, sentencepiece_graph

    fields = TokenFormat.from_config(config, len(config.learned_columns or ()), settings.records.form)
    mode, public = vocabulary_mode(config), str(config.dp_public_vocabulary)
    if mode == "public_file" and public.endswith(".model"):
        model = public_sentencepieces(public)
        save_graph(sentencepiece_graph(model, fields.markers), options, scratch, scratch / "data")
        return count_ranges(units, settings, options, scratch), SentencePieceTokenizer(model, fields)
    if mode == "dp_characters":
        counts, characters = _learn_characters(config, units, settings, options, scratch)
    else:
        characters = public_characters(public) if mode == "public_file" else []
        counts = count_ranges(units, settings, options, scratch)
    save_graph(bytes_graph(fields.markers, characters), options, scratch, scratch / "data")
    return counts, ByteTokenizer(fields, characters)


def _learn_characters(
    config: TensorFlowConfig, units: list[InputUnit], settings: ReadSettings, options: PipelineOptions, scratch: Path
) -> tuple[list[RangeCount], list[int]]:
    """Return the counts of each range, and the code points whose noised count of records is high enough."""
    from linesmith.model.privacy.secret_key import SecretKey
    from linesmith.model.privacy.vocabulary import noised_vocabulary
    from linesmith.pipelines.privacy_ledgers import charge_vocabulary
    from linesmith.transforms.fit_tokenizer import count_character_presence

    fixed = config.dp_unsafe_fixed_key
    key = SecretKey.fresh() if fixed is None else SecretKey.unsafe(fixed)
    # Which characters of a record are counted is chosen by this key. It must not depend on the data; it need not be secret.
    chooser = secrets.token_bytes(16) if fixed is None else bytes.fromhex(fixed.zfill(32))
    counts, presence = count_character_presence(units, settings, options, scratch, chooser)
    charge_vocabulary(config, scratch / "data")
    return counts, noised_vocabulary(presence, config.dp_vocabulary_noise, key)
