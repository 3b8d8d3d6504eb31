"""Settings of differential privacy: those that affect the claim, and not those that only affect speed.

`dp: true` alone is enough: epsilon 8 at delta 1e-6, a public vocabulary of bytes, noise found by calibration.
`linesmith.core.config.privacy_checks` refuses combinations that cannot work, before anything is read.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from linesmith.core.config.setting_field import setting

DEFAULT_TARGET_EPSILON = 8.0  # epsilon, where neither noise nor target is set
Vocabulary = Literal["bytes", "dp_characters", "public_file", "raw"]
Validation = Literal["budget", "public_file", "noised"]


class PrivacySettings(BaseModel):
    """Differential privacy: one record (one line), or one user, is protected against being added or removed."""

    dp: bool = setting(
        "train", False, "Train with differential privacy; the unit is one record, or one user with privacy_key_field."
    )
    privacy_key_field: str | None = setting(
        "tokenize",
        None,
        "Protect users instead of records: the number (from 0) or the name in columns of the field that says whose record "
        "it is. Records without it are rejected.",
        min_length=1,
    )
    dp_records_per_user: int = setting(
        "train",
        1,
        "With privacy_key_field: train on at most this many records per user, each clipped to the norm divided by this number.",
        ge=1,
    )
    dp_target_epsilon: float | None = setting(
        "train",
        None,
        "Find the noise that keeps the whole run within this epsilon; 8 where neither it nor the noise is set.",
        gt=0,
    )
    dp_max_epsilon: float | None = setting(
        "train", None, "Ceiling: training ends before the step that would exceed it, whatever epochs says.", gt=0
    )
    dp_delta: float = setting(
        "train", 1e-6, "Delta of the whole claim; must be below 1 divided by the number of records.", gt=0, lt=1
    )
    dp_noise_multiplier: float | None = setting(
        "train", None, "Noise divided by the clipping norm, instead of a target. 0: no privacy at all.", ge=0
    )
    dp_l2_norm_clip: float | None = setting(
        "train",
        None,
        "Largest gradient norm of one record, whose loss is divided by seq_length; where adaptive clipping begins; unset: 10 "
        "divided by seq_length.",
        gt=0,
    )
    dp_batch_size: int | None = setting(
        "train",
        None,
        "Records expected in a step's Poisson sample (batch_size is only what is computed at once); unset: where the noise "
        "is given, batch_size if that is given, too, or 64; otherwise what makes about 350 steps of the run, at least 256.",
        ge=1,
    )
    dp_optimizer: Literal["adam", "sgd"] = setting("train", "adam", "Optimizer to which the noised gradient is given.")
    dp_adaptive_clip: bool = setting(
        "train", False, "Move the clipping norm to a quantile of the records' gradient norms, at a charged cost."
    )
    dp_clip_quantile: float = setting("train", 0.5, "The quantile that adaptive clipping aims at.", gt=0, lt=1)
    dp_validation: Validation = setting(
        "train",
        "budget",
        "What early stopping and the choice of the best epoch use. budget: nothing, training ends with its steps. "
        "public_file: the loss on dp_public_validation, free. noised: the loss on the validation records, noised and charged.",
    )
    dp_public_validation: str | None = setting(
        "train",
        None,
        "For public_file: a public text, one record per line, in the format of the records.",
        path="small",
    )
    dp_validation_noise: float | None = setting(
        "train",
        None,
        "For noised: noise of one evaluation divided by dp_validation_loss_clip; unset: the least noise with which all "
        "evaluations cost no more than training.",
        gt=0,
    )
    dp_validation_loss_clip: float = setting(
        "train", 4.0, "For noised: upper limit of one record's loss, in nats per token.", gt=0
    )
    dp_vocabulary: Vocabulary | None = setting(
        "tokenize",
        None,
        "bytes: public, free (the default with dp). dp_characters: bytes and those characters outside ASCII that many records "
        "have, learned at a charged cost. public_file: bytes and the characters of dp_public_vocabulary, free. raw: learned "
        "from the data, not covered by the claim.",
    )
    dp_public_vocabulary: str | None = setting(
        "tokenize",
        None,
        "For public_file: a public text that holds the characters to expect, or a SentencePiece .model.",
        path="small",
    )
    dp_vocabulary_noise: float = setting(
        "tokenize", 8.0, "Noise multiplier of dp_characters: less noise finds rarer characters, at a higher cost.", ge=0
    )
    dp_discriminator_noise: float | None = setting(
        "train",
        None,
        "Noise multiplier of the counts of records that the discriminator is learned from; unset: that of a quarter of what "
        "the steps cost, as squares of their ratios of signal to noise.",
        gt=0,
    )
    dp_unsafe_fixed_key: str | None = setting(
        "train",
        None,
        "For tests only: draw samples and noise from this key of up to 32 hex digits. The claim does not hold for anyone who "
        "knows it.",
        pattern="^[0-9a-fA-F]{1,32}$",
    )
    privacy_ledger: str | None = setting(
        "run",
        None,
        "A file that adds up what all trainings on the same data have spent; needs dataset_name.",
        path="written",
    )
    dataset_name: str | None = setting("run", None, "The data's name in the privacy ledger.", min_length=1)

    @property
    def target_epsilon(self) -> float | None:
        """Epsilon to which the noise is calibrated; None where the noise is given."""
        if self.dp_noise_multiplier is not None:
            return None
        return DEFAULT_TARGET_EPSILON if self.dp_target_epsilon is None else self.dp_target_epsilon
