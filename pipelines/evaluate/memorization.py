"""Measure what the model of a run has memorized about its training records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linesmith.evaluation.closeness import EvaluationData


def measure_run_memorization(
    config: TensorFlowConfig, run: RunDirectory, data: EvaluationData
) -> dict[str, Any] | None:
    """Run `measure_memorization` with the model of a run.

    Args:
        config: configuration of the trained model.
        run: the run directory.
        data: results of the two passes over its sets.

    Returns:
        Plain JSON, or None where a real set has too few records.

    Raises:
        DataError: the model is missing or damaged.
    """
    from linesmith.evaluation.model_memorization import measure_memorization
    from linesmith.model.sampling.text_losses import TextLosses
    from linesmith.model.tokenizers import load_tokenizer

    model = TextLosses(run.root, load_tokenizer(run.tokenizer))

    def losses(texts: Sequence[str]) -> Any:
        lines = [_line(text, config) for text in texts]
        return model.means(lines, config.seq_length)[0]

    return measure_memorization(data, losses)


def _line(text: str, config: TensorFlowConfig) -> str:
    """Return a record with field breaks as the line it was read from, without quotes that were not needed."""
    from linesmith.records.fields import FIELD_BREAK, FieldFormat

    if config.field_delimiter is None:
        return text
    return FieldFormat(config.field_delimiter, config.quoted).join(text.split(FIELD_BREAK))
