"""Checks of privacy settings that contradict each other, and warnings about settings that work. Nothing here reads data."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from typing import Any

from linesmith.core.config.input_format import check_private_source
from linesmith.core.config.setting_field import option_text
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError

# tensorflow-privacy is for Python below 3.12; from there on `linesmith.model.privacy.gaussian_sum_query` takes its place.
_LIBRARIES: tuple[str, ...] = ("dp_accounting", "tensorflow_privacy", "tensorflow_probability")
if sys.version_info >= (3, 12):
    _LIBRARIES = ("dp_accounting",)
# Settings of tokenize that the claim depends on.
_CLAIMED = (
    "dp_vocabulary",
    "dp_public_vocabulary",
    "dp_vocabulary_noise",
    "max_lines",
    "sample_rows",
    "privacy_key_field",
)
# They make oneDNN round float32 factors, so that the norm that is clipped is not the norm of the gradient that is summed.
_NARROWING = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE", "TF_SET_ONEDNN_FPMATH_MODE")


def check_privacy_settings(config: TensorFlowConfig) -> None:
    """Refuse a private run whose claim would not hold; without `dp`, only a ledger without the name of the data.

    Raises:
        ParameterError: LS301 settings that contradict each other, LS305 a vocabulary that is not public, LS312 a user field
            that is not there, LS316 a ledger without a name for the data, LS310 an environment in which norms would not be exact.
    """
    if config.privacy_ledger is not None and config.dataset_name is None:
        raise ParameterError(
            "LS316",
            option_text("privacy_ledger", config.privacy_ledger),
            "adds up trainings by the name of their data, which is not given",
            "Give --dataset-name.",
        )
    if not config.dp:
        return
    if config.dp_noise_multiplier is not None and config.dp_target_epsilon is not None:
        raise ParameterError(
            "LS301",
            f"--dp-noise-multiplier {config.dp_noise_multiplier:g} and --dp-target-epsilon {config.dp_target_epsilon:g}",
            "each of them decides the noise",
            "Give one of them. A target with --dp-max-epsilon is possible.",
        )
    if config.max_lines:
        raise ParameterError(
            "LS301",
            option_text("max_lines", config.max_lines),
            "cannot be used with --dp: one record more pushes another one out, so two records change",
            "Leave it out, or subsample the input by a hash of each line.",
        )
    if config.sample_rows is not None:
        raise ParameterError(
            "LS301",
            option_text("sample_rows", config.sample_rows),
            "cannot be used with --dp: which rows make up the sample depends on how many there are and where they stand, so one "
            "record more changes many others of the sample, and the claim is about one",
            "Leave it out: each step of private training samples the records by itself. To read fewer, keep the lines of which a "
            "hash is low enough, with a limit that does not depend on the data.",
        )
    if config.max_training_time_seconds is not None:
        raise ParameterError(
            "LS301",
            option_text("max_training_time_seconds", config.max_training_time_seconds),
            "cannot be used with --dp: how many steps fit into a time depends on the records, and that number is released",
            "Give --epochs instead; plan estimates how long they take on this machine.",
        )
    if config.show_samples:
        raise ParameterError(
            "LS301",
            option_text("show_samples", config.show_samples),
            "cannot be used with --dp: while a private training runs it shows steps and the epsilon spent, and nothing that it "
            "learned",
            "Leave it out; generate shows records once the privacy statement is written.",
        )
    if config.dp_discriminator_noise is not None and not config.discriminator:
        raise ParameterError(
            "LS301",
            option_text("dp_discriminator_noise", config.dp_discriminator_noise),
            "is the noise of counts that a discriminator is learned from, and --no-discriminator says that there is none",
            "Leave one of them out.",
        )
    check_private_source(config)
    if config.column_pattern is not None and not config.columns:
        raise ParameterError(
            "LS301",
            option_text("column_pattern", config.column_pattern),
            "cannot be used alone with --dp: how many fields the records have is not public",
            "Give --columns, from which the markers are made.",
        )
    if (config.dp_vocabulary == "public_file") != (config.dp_public_vocabulary is not None):
        raise ParameterError(
            "LS305",
            None,
            f"--dp-vocabulary is {config.dp_vocabulary} and --dp-public-vocabulary is {config.dp_public_vocabulary!r}",
            "Give both --dp-vocabulary public_file and --dp-public-vocabulary FILE, or neither.",
        )
    if config.dp_vocabulary is None and config.wants_subword_vocabulary:
        raise ParameterError(
            "LS305",
            option_text("vocab_size", config.vocab_size),
            "would learn pieces from private records",
            "Leave it out (bytes: public, free), or accept a vocabulary that the claim does not cover with "
            "--dp-vocabulary raw.",
        )
    _check_users(config)
    _check_validation(config)
    _check_products()


def _check_products() -> None:
    for name in _NARROWING:
        value = os.environ.get(name, "")
        if value.upper() not in ("", "STRICT"):
            raise ParameterError(
                "LS310",
                f"{name}={value}",
                "makes float32 products less precise, and with --dp a record's norm would not be what it is clipped by",
                "Unset it; bfloat16 is used where it is exact (--matmul-precision).",
            )


def _check_users(config: TensorFlowConfig) -> None:
    number = user_field_index(config)
    if number is None:
        if config.dp_records_per_user != 1:
            raise ParameterError(
                "LS301",
                option_text("dp_records_per_user", config.dp_records_per_user),
                "needs to know whose a record is",
                "Give --privacy-key-field.",
            )
        return
    if config.field_delimiter is None:
        raise ParameterError(
            "LS301",
            option_text("privacy_key_field", config.privacy_key_field),
            "a record without fields does not say whose it is",
            "Give --field-delimiter.",
        )
    if config.columns is not None and number >= len(config.columns):
        raise ParameterError(
            "LS312",
            option_text("privacy_key_field", number),
            f"not one of the {len(config.columns)} columns, which are numbered from 0",
            f"Give a number below {len(config.columns)} or the name of a column.",
        )
    if vocabulary_mode(config) == "dp_characters":
        raise ParameterError(
            "LS301",
            "--dp-vocabulary dp_characters",
            "cannot be used with --privacy-key-field: each record votes for some characters, and a user with many records "
            "would vote for more",
            "Use bytes or public_file.",
        )
    if config.dp_adaptive_clip and config.dp_records_per_user > 1:
        raise ParameterError(
            "LS301",
            f"--dp-adaptive-clip with --dp-records-per-user {config.dp_records_per_user}",
            "adaptive clipping compares with the number of records in a sample, which is not public",
            "Leave one of them out.",
        )


def _check_validation(config: TensorFlowConfig) -> None:
    mode = config.dp_validation
    if (mode == "public_file") != (config.dp_public_validation is not None):
        raise ParameterError(
            "LS301",
            None,
            f"--dp-validation is {mode} and --dp-public-validation is {config.dp_public_validation!r}",
            "Give both --dp-validation public_file and --dp-public-validation FILE, or neither.",
        )
    if mode == "noised" and not config.validation_split:
        raise ParameterError(
            "LS301",
            "--dp-validation noised",
            "measures the validation records, and there are none",
            "Leave --no-validation-split out.",
        )
    if mode == "noised" and (config.best_model_metric or "val_loss") == "val_accuracy":
        raise ParameterError(
            "LS301",
            "--dp-validation noised",
            "measures val_loss only, and --best-model-metric is val_accuracy",
            "Give --best-model-metric val_loss.",
        )


def user_field_index(config: TensorFlowConfig) -> int | None:
    """Return the number, from 0, of the field that names the user; None where single records are protected.

    Raises:
        ParameterError: LS312, it is neither a number nor one of the columns.
    """
    field = config.privacy_key_field
    if not config.dp or field is None:
        return None
    if field.isdecimal():
        return int(field)
    if field in (config.columns or ()):
        return (config.columns or []).index(field)
    raise ParameterError(
        "LS312",
        option_text("privacy_key_field", field),
        f"neither a field's number, from 0, nor one of --columns ({', '.join(config.columns or ()) or 'none are given'})",
        "Give one of them.",
    )


def check_libraries(config: TensorFlowConfig) -> None:
    """Refuse private training where its libraries are not installed.

    Raises:
        ParameterError: LS106, the extra is not installed.
    """
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None] if config.dp else []
    if missing:
        raise ParameterError(
            "LS106",
            "--dp",
            f"differential privacy needs {', '.join(missing)}, which is not installed",
            "Install it: pip install 'linesmith[dp]'. Nothing was read.",
        )


def check_replicas(private: bool, replicas: int) -> None:
    """Refuse private training on several devices, each of which would clip, sample and add noise on its own.

    Raises:
        ParameterError: LS307, there is more than one replica.
    """
    if private and replicas > 1:
        raise ParameterError(
            "LS307",
            "--dp",
            f"trains on one device, and there are {replicas} replicas, each of which would clip, sample and add noise on its own",
            "Give --devices 1, or make a single one visible, for example CUDA_VISIBLE_DEVICES=0.",
        )


def check_training_data(config: TensorFlowConfig, tokenized_with: Mapping[str, Any]) -> None:
    """Refuse training data that were tokenized with other settings than the privacy statement would say.

    Args:
        config: settings of the training, from which the statement is written.
        tokenized_with: the settings in the manifest of the training data.

    Raises:
        DataError: LS215, they differ in a setting on which the claim depends.
    """
    now = config.as_dict() if config.dp else {}
    for name in _CLAIMED if config.dp else ():
        if tokenized_with.get(name) != now[name]:
            raise DataError(
                "LS215",
                option_text(name, now[name]),
                f"the training data were tokenized with {name} {tokenized_with.get(name)!r}, and the privacy statement "
                f"would say {now[name]!r}",
                "Give the same value, or tokenize again with --overwrite.",
            )


def check_unit_count(config: TensorFlowConfig, units: int) -> None:
    """Refuse settings that the number of training records, or of their users, does not allow.

    Raises:
        ParameterError: LS303, the expected batch is larger than the data; LS304, delta is not below 1 / `units`.
    """
    what = "training records" if user_field_index(config) is None else "users with training records"
    if config.dp_batch_size is not None and config.dp_batch_size > units:
        raise ParameterError(
            "LS303",
            option_text("dp_batch_size", config.dp_batch_size),
            f"more than the {units} {what}",
            f"Give at most {units}, or leave it out.",
        )
    if config.dp_delta * units >= 1:
        raise ParameterError(
            "LS304",
            option_text("dp_delta", config.dp_delta),
            f"not below 1/{units}, one over the {what}: publishing one of them at random would already satisfy it",
            f"Give at most {0.1 / units:.1g}.",
        )


def vocabulary_mode(config: TensorFlowConfig) -> str:
    """Return the source of the vocabulary: 'bytes', 'dp_characters', 'public_file' or 'raw'; always 'raw' without `dp`."""
    if not config.dp:
        return "raw"
    return config.dp_vocabulary if config.dp_vocabulary is not None else "bytes"
