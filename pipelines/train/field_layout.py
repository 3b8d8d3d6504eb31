"""Whether the network of a training knows fields, and what it looks up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.files import read_json
from linesmith.core.config.field_parents import parents_text, resolve_parents
from linesmith.core.config.setting_field import option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.pipelines.public_columns import public_columns

if TYPE_CHECKING:
    from linesmith.model.fields.layout import FieldLayout
    from linesmith.model.tokenizers.base import Tokenizer


def choose_layout(config: TensorFlowConfig, training_data: Path, tokenizer: Tokenizer) -> FieldLayout | None:
    """Return what the network looks up beside its last token; None for a plain network.

    Args:
        config: the settings.
        training_data: of tokenize, with its statistics, which private training does not look at.
        tokenizer: of the training data.

    Raises:
        ParameterError: LS135, parents that cannot be.
    """
    from linesmith.core.artifacts.field_inputs import MAX_ROWS
    from linesmith.model.fields.choice import layout_of_field_count, layout_of_statistics

    if config.field_inputs == "off" or config.field_delimiter is None:
        return None
    if config.dp:  # nothing about the records' fields may come from the records
        columns = public_columns(config)
        parents = _parents(config, columns)
        layout = layout_of_field_count(len(columns or ()), tokenizer, config.seq_length, parents)
    else:
        statistics = read_statistics(training_data)
        columns = statistics.get("columns") if config.columns is None else config.learned_columns
        parents = _parents(config, public_columns(config) if columns is None else columns)
        layout = layout_of_statistics(statistics, tokenizer, length_cap(statistics), parents)
    known = 0 if layout is None else layout.fields
    if parents and (layout is None or max(parents) >= known or layout.inputs.extra_rows > MAX_ROWS):
        problem = (
            f"only {known} fields are told apart"
            if max(parents) >= known
            else f"more than {MAX_ROWS:,} rows are needed"
        )
        remedy = "Name fewer columns or parents, or put the columns first by --condition-on."
        raise ParameterError("LS135", option_text("parents", parents_text(config.column_parents)), problem, remedy)
    return layout


def _parents(config: TensorFlowConfig, columns: list[str] | None) -> dict[int, list[int]]:
    return resolve_parents(config.column_parents, columns, config.condition_on or (), config.dp)


def planned_rows(config: TensorFlowConfig, vocab_size: int, parents: bool = True) -> int:
    """Return the rows of the embeddings of a private network: its tokens, and what it looks up beside them.

    Args:
        config: the settings, with `dp`.
        vocab_size: number of token ids.
        parents: look up the parents that the settings give; otherwise those that would be chosen.
    """
    from linesmith.model.fields.choice import public_inputs
    from linesmith.model.tokenizers.token_format import TokenFormat

    columns = public_columns(config) or []
    if config.field_inputs == "off" or config.field_delimiter is None or len(columns) < 2:
        return vocab_size
    first = TokenFormat.from_config(config, len(columns)).reserved_count
    is_bytes = config.dp_vocabulary in (None, "bytes") and not config.wants_subword_vocabulary
    given = _parents(config, columns) if parents else {}
    inputs = public_inputs(len(columns), first, vocab_size, is_bytes, config.seq_length, parents=given)
    return vocab_size + inputs.extra_rows


def planned_parents(config: TensorFlowConfig) -> dict[str, str]:
    """Return what to tell about the parents that the settings give, and what they cost; nothing where they give none.

    Args:
        config: the settings.
    """
    from linesmith.model.fields.choice import MOST_ROWS_PER_PARENT

    if not config.column_parents:
        return {}
    looked_up = [parent for parents in config.column_parents.values() for parent in parents]
    rows = MOST_ROWS_PER_PARENT * len(set(looked_up) if config.dp else looked_up)
    return {
        "parents": "; ".join(f"{name}: {', '.join(of) or 'none'}" for name, of in config.column_parents.items()),
        "rows of these parents": f"at most {rows:,} of the table, {MOST_ROWS_PER_PARENT} each by the tokens of the parent: "
        f"{rows * config.embedding_dim:,} weights",
    }


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
