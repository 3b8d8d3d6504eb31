"""The model of a run, asked what it has kept of the records that it learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linesmith.evaluation.closeness import Evidence


def measure_run_memorization(config: TensorFlowConfig, run: RunDirectory, evidence: Evidence) -> dict[str, Any] | None:
    """`measure_memorization` with the model of a run; None without a holdout that says anything.

    Args:
        config: that of the trained model.

    Raises:
        DataError: the model is missing or damaged.
    """
    from linesmith.evaluation.model_memorization import measure_memorization
    from linesmith.model.privacy.audit.scores import token_losses, trained_network
    from linesmith.model.tokenizers import load_tokenizer

    tokenizer, network = load_tokenizer(run.tokenizer), trained_network(run.root, config)

    def losses(texts: Sequence[str]) -> Any:
        lines = [_line(text, config) for text in texts]
        return token_losses(network, tokenizer, lines, config.seq_length)[0]

    return measure_memorization(evidence, losses)


def _line(text: str, config: TensorFlowConfig) -> str:
    """A record with field breaks as the line it was, but for quotes that were not needed."""
    from linesmith.records.fields import FIELD_BREAK, join_fields

    if config.field_delimiter is None:
        return text
    return join_fields(text.split(FIELD_BREAK), config.field_delimiter, config.quoted)
