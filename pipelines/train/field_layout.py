"""Whether the network of a training knows fields, and what it looks up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.files import read_json
from linesmith.core.config.tensorflow_config import TensorFlowConfig

if TYPE_CHECKING:
    from linesmith.model.fields.layout import FieldLayout
    from linesmith.model.tokenizers.base import Tokenizer


def choose_layout(config: TensorFlowConfig, training_data: Path, tokenizer: Tokenizer) -> FieldLayout | None:
    """Return what the network looks up beside its last token; None for a plain network.

    Args:
        config: the settings.
        training_data: of tokenize, with its statistics, which private training does not look at.
        tokenizer: of the training data.
    """
    from linesmith.model.fields.choice import layout_of_field_count, layout_of_statistics

    if config.field_inputs == "off" or config.field_delimiter is None:
        return None
    if config.dp:  # nothing about the records' fields may come from the records
        return layout_of_field_count(public_field_count(config), tokenizer, config.seq_length)
    statistics = read_statistics(training_data)
    return layout_of_statistics(statistics, tokenizer, length_cap(statistics))


def public_field_count(config: TensorFlowConfig) -> int:
    """Return the number of fields that the settings give, by columns or schema; 0 where they give none.

    Args:
        config: the settings.

    Raises:
        ParameterError: the schema cannot be read.
    """
    if config.columns is not None:
        return len(config.columns)
    if config.schema_file is None:
        return 0
    from linesmith.records.output.schema import read_schema

    return len(read_schema(config.schema_file).names)


def planned_rows(config: TensorFlowConfig, vocab_size: int) -> int:
    """Return the rows of the embeddings of a private network: its tokens, and what it looks up beside them.

    Args:
        config: the settings, with `dp`.
        vocab_size: number of token ids.
    """
    from linesmith.model.fields.choice import public_inputs
    from linesmith.model.tokenizers.token_format import TokenFormat

    count = public_field_count(config)
    if config.field_inputs == "off" or config.field_delimiter is None or count < 2:
        return vocab_size
    first = TokenFormat.from_config(config, count).reserved_count
    is_bytes = config.dp_vocabulary in (None, "bytes") and not config.wants_subword_vocabulary
    return vocab_size + public_inputs(count, first, vocab_size, is_bytes, config.seq_length).extra_rows


def read_statistics(training_data: Path) -> dict[str, Any]:
    """Read what tokenize counted of the fields.

    Args:
        training_data: of tokenize.

    Raises:
        DataError: the file is missing or damaged.
    """
    found: dict[str, Any] = read_json(training_data / "statistics.json", "the statistics of the training data")
    return found


def length_cap(statistics: dict[str, Any]) -> int:
    """Return the length of the longest record that generation may write, in tokens.

    Args:
        statistics: from `read_statistics`.
    """
    longest = int(statistics["length_tokens"]["max"])
    # A quarter more than the longest record: valid records are rarely cut, and every sampled record ends.
    return longest + longest // 4 + 8
