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
    from linesmith.model.fields.choice import layout_of_statistics

    if config.field_inputs == "off" or config.field_delimiter is None or config.dp:
        return None
    statistics = read_statistics(training_data)
    return layout_of_statistics(statistics, tokenizer, length_cap(statistics))


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
