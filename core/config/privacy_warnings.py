"""Warnings about private runs that work but are probably not meant."""

from __future__ import annotations

from linesmith.core.config.privacy_checks import vocabulary_mode
from linesmith.core.config.setting_field import option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import coded_message

_WIDE_CLIP = 1.0  # a clipping norm above this clips nothing
_LOW_NOISE = 0.3  # a noise multiplier below this gives an epsilon in the dozens within an epoch or two


def privacy_warnings(config: TensorFlowConfig) -> list[str]:
    """Return warnings about settings of a private run that work but are probably not meant."""
    warnings = []
    noise = config.dp_noise_multiplier
    if config.dp and noise is not None and noise < _LOW_NOISE:
        warnings.append(
            f"dp_noise_multiplier {noise:g} gives no meaningful protection: a single epoch already spends an epsilon of "
            "dozens or hundreds. Leave it out, or set dp_target_epsilon (8 or less)."
        )
    clip = config.dp_l2_norm_clip
    if config.dp and clip is not None and clip > _WIDE_CLIP and not config.dp_adaptive_clip:
        warnings.append(
            f"dp_l2_norm_clip {clip:g} is several times a record's gradient norm (usually 10 to 100 divided by seq_length, "
            "as its loss is): nothing is clipped, and there is as many times more noise than needed. Leave it out: it is 10 "
            "divided by seq_length then."
        )
    if config.dp and vocabulary_mode(config) == "raw":
        warnings.append(
            "the vocabulary is learned from the raw records: the privacy claim does not cover what it reveals"
        )
    if config.dp and config.dp_unsafe_fixed_key is not None:
        warnings.append(
            "dp_unsafe_fixed_key is set: whoever knows the key can undo the noise; publish nothing of this run"
        )
    return warnings


def row_warnings(config: TensorFlowConfig, longer: float | None) -> list[str]:
    """Return a warning if most records are longer than a row. It does not reveal how long records are.

    Args:
        config: settings of a private run.
        longer: share of the records that have more tokens than a row, 0 to 1; None: unknown.
    """
    if longer is None or longer <= 0.5:
        return []
    return [
        coded_message(
            "LS308",
            option_text("seq_length", config.seq_length),
            "shorter than most records: they are cut there, no end is learned, and no generated record can be longer",
            "Raise it, or divide the records.",
        )
    ]
