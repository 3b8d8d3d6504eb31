"""The tokenizer of a private run: public, or learnt at a charged cost. Never from raw records.

Markers before fields come from the names of the columns, which are configuration.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.config.privacy_checks import vocabulary_mode
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.tokenizers.byte_tokenizer import ByteTokenizer
from linesmith.model.tokenizers.field_format import FieldFormat
from linesmith.records.input.input_ranges import Unit

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from linesmith.model.tokenizers.base import Tokenizer
    from linesmith.transforms.read_records import RangeCount, ReadSettings


def fit_private(
    config: TensorFlowConfig, units: list[Unit], settings: ReadSettings, options: PipelineOptions, scratch: Path
) -> tuple[list[RangeCount], Tokenizer]:
    """What is in the input, for our eyes only, and a tokenizer, whose graph is saved in `scratch`/data.

    Raises:
        ParameterError: LS305, the public vocabulary cannot be used.
    """
    from linesmith.model.privacy.vocabulary import public_characters, public_sentencepieces
    from linesmith.model.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer
    from linesmith.transforms.fit_tokenizer import count_ranges, save_graph
    from linesmith.transforms.transform_graph import bytes_graph, sentencepiece_graph

    fields = FieldFormat.of(config, len(config.columns or ()))
    mode, public = vocabulary_mode(config), str(config.dp_public_vocabulary)
    if mode == "public_file" and public.endswith(".model"):
        model = public_sentencepieces(public)
        save_graph(sentencepiece_graph(model, fields.markers), options, scratch, scratch / "data")
        return count_ranges(units, settings, options, scratch), SentencePieceTokenizer(model, fields)
    if mode == "dp_characters":
        counts, characters = _learn(config, units, settings, options, scratch)
    else:
        characters = public_characters(public) if mode == "public_file" else []
        counts = count_ranges(units, settings, options, scratch)
    save_graph(bytes_graph(fields.markers, characters), options, scratch, scratch / "data")
    return counts, ByteTokenizer(fields, characters)


def _learn(
    config: TensorFlowConfig, units: list[Unit], settings: ReadSettings, options: PipelineOptions, scratch: Path
) -> tuple[list[RangeCount], list[int]]:
    from linesmith.model.privacy.secret_key import SecretKey
    from linesmith.model.privacy.vocabulary import noised_vocabulary
    from linesmith.transforms.fit_tokenizer import count_presence

    fixed = config.dp_unsafe_fixed_key
    key = SecretKey.fresh() if fixed is None else SecretKey.unsafe(fixed)
    # The choice of a record's characters needs a key that does not depend on the data, not a secret one.
    chooser = secrets.token_bytes(16) if fixed is None else bytes.fromhex(fixed.zfill(32))
    counts, presence = count_presence(units, settings, options, scratch, chooser)
    return counts, noised_vocabulary(presence, config.dp_vocabulary_noise, key)
