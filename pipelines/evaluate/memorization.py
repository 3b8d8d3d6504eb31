"""Measure what the model of a run has memorized about its training records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.setting_field import default_of
from linesmith.core.config.tensorflow_config import TensorFlowConfig, fields
from linesmith.records.fields import FIELD_BREAK, FieldFormat

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
    from linesmith.model.discriminator.discriminator import load_discriminator
    from linesmith.model.sampling.text_losses import TextLosses
    from linesmith.model.tokenizers import load_tokenizer

    model = TextLosses(run.root, load_tokenizer(run.tokenizer))
    discriminator = load_discriminator(run.root, read_model_info(run.root))
    split = FieldFormat(config.field_delimiter, config.quoted)
    drafts = default_of(fields()["gen_drafts"])

    def losses(texts: Sequence[str]) -> Any:
        lines = [_line(text, split) for text in texts]
        means, counts = model.means(lines, config.seq_length)
        # What the discriminator keeps of a record is a part of what the model has kept of it.
        return means if discriminator is None else means - discriminator.log_gains(lines, split, drafts) / counts

    return measure_memorization(data, losses)


def _line(text: str, split: FieldFormat) -> str:
    """Return a record with field breaks as the line it was read from, without quotes that were not needed."""
    return text if split.delimiter is None else split.join(text.split(FIELD_BREAK))
