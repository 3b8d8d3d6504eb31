"""Which privacy settings cannot work together, and which work but should be known. Nothing here reads data."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Any

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError

_LIBRARIES = ("dp_accounting", "tensorflow_privacy", "tensorflow_probability")
# Settings of tokenize that the claim depends on.
_CLAIMED = ("dp_vocabulary", "dp_public_vocabulary", "dp_vocabulary_noise", "max_lines", "privacy_key_field")
# They make oneDNN multiply float32 numbers as narrower ones: norms would no longer be those of what is summed.
_NARROWING = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE", "TF_SET_ONEDNN_FPMATH_MODE")
WIDE_CLIP = 1.0  # a clipping norm above this clips nothing
LOW_NOISE = 0.3  # a noise multiplier below this gives an epsilon in the dozens within an epoch or two


def check_privacy_settings(config: TensorFlowConfig) -> None:
    """Refuse a private run that could not keep its claim. Does nothing without `dp`.

    Raises:
        ParameterError: LS301 settings that contradict each other, LS305 a vocabulary that has not been chosen, LS306 a
            ledger without a name for the data, LS310 an environment in which norms would not be exact.
    """
    if config.privacy_ledger is not None and config.dataset_name is None:
        raise _error(
            "LS306",
            f"--privacy-ledger '{config.privacy_ledger}' adds up trainings by the data's name; give --dataset-name.",
        )
    if not config.dp:
        return
    if config.dp_noise_multiplier is not None and config.dp_target_epsilon is not None:
        raise _error(
            "LS301",
            f"--dp-noise-multiplier {config.dp_noise_multiplier:g} and --dp-target-epsilon {config.dp_target_epsilon:g} "
            "each decide the noise; give one of them. A target with --dp-max-epsilon is possible.",
        )
    if config.max_lines:
        raise _error(
            "LS301",
            f"--max-lines {config.max_lines} cannot be used with --dp: one record more pushes another one out, so two "
            "records change. Leave it out, or subsample the input by a hash of each line.",
        )
    if config.column_pattern is not None and not config.columns and vocabulary_mode(config) != "raw":
        raise _error(
            "LS301",
            f"--column-pattern '{config.column_pattern}' with --dp: how many fields the records have is not public. Give "
            "--columns, from which the markers are made.",
        )
    if (config.dp_vocabulary == "public_file") != (config.dp_public_vocabulary is not None):
        raise _error(
            "LS305",
            f"--dp-vocabulary public_file and --dp-public-vocabulary go together; found {config.dp_vocabulary} and "
            f"{config.dp_public_vocabulary!r}.",
        )
    if config.dp_vocabulary is None and config.wants_subword_vocabulary:
        raise _error(
            "LS305",
            f"--vocab-size {config.vocab_size} learns pieces from private records. Leave it out (bytes: public, free), or "
            "accept a vocabulary that the claim does not cover with --dp-vocabulary raw.",
        )
    _check_users(config)
    _check_validation(config)
    _check_products()


def _check_products() -> None:
    for name in _NARROWING:
        value = os.environ.get(name, "")
        if value.upper() not in ("", "STRICT"):
            raise _error(
                "LS310",
                f"{name}={value} is set: with --dp, float32 products have to be float32's, or a record's norm is not what it is "
                "clipped by. Unset it; bfloat16 is used where it is exact (--matmul-precision).",
            )


def _check_users(config: TensorFlowConfig) -> None:
    number = user_field_index(config)
    if number is None:
        if config.dp_records_per_user != 1:
            raise _error(
                "LS301",
                f"--dp-records-per-user {config.dp_records_per_user} needs --privacy-key-field, which says whose a record is.",
            )
        return
    if config.field_delimiter is None:
        raise _error(
            "LS301",
            f"--privacy-key-field {config.privacy_key_field} needs --field-delimiter: a record without fields does not say "
            "whose it is.",
        )
    if config.columns is not None and number >= len(config.columns):
        raise _error(
            "LS301",
            f"--privacy-key-field {number} is not one of the {len(config.columns)} columns, which are numbered from 0.",
        )
    if vocabulary_mode(config) == "dp_characters":
        raise _error(
            "LS301",
            "--dp-vocabulary dp_characters with --privacy-key-field: it lets each record speak for some characters, and a "
            "user with many records would speak for more. Use bytes or public_file.",
        )
    if config.dp_adaptive_clip and config.dp_records_per_user > 1:
        raise _error(
            "LS301",
            f"--dp-adaptive-clip with --dp-records-per-user {config.dp_records_per_user}: it compares with the number of "
            "records in a sample, which is not public. Leave one of them out.",
        )


def _check_validation(config: TensorFlowConfig) -> None:
    mode = config.dp_validation
    if (mode == "public_file") != (config.dp_public_validation is not None):
        raise _error(
            "LS301",
            f"--dp-validation public_file and --dp-public-validation go together; found {mode} and "
            f"{config.dp_public_validation!r}.",
        )
    if mode == "noised" and not config.validation_split:
        raise _error(
            "LS301", "--dp-validation noised measures the validation records; it needs validation_split: true."
        )
    if mode == "noised" and (config.best_model_metric or "val_loss") == "val_accuracy":
        raise _error("LS301", "--dp-validation noised measures val_loss only; --best-model-metric is val_accuracy.")


def user_field_index(config: TensorFlowConfig) -> int | None:
    """Number, from 0, of the field that names the user; None where records are protected one by one.

    Raises:
        ParameterError: LS301, it is neither a number nor one of the columns.
    """
    field = config.privacy_key_field
    if not config.dp or field is None:
        return None
    if field.isdecimal():
        return int(field)
    if field in (config.columns or ()):
        return (config.columns or []).index(field)
    raise _error(
        "LS301",
        f"--privacy-key-field '{field}' is neither a field's number, from 0, nor one of --columns "
        f"({', '.join(config.columns) if config.columns else 'none are given'}).",
    )


def check_libraries(config: TensorFlowConfig) -> None:
    """Refuse private training without its libraries.

    Raises:
        ParameterError: LS106, the extra is not installed.
    """
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None] if config.dp else []
    if missing:
        raise _error(
            "LS106", f"differential privacy needs {', '.join(missing)}: pip install 'linesmith[dp]'. Nothing was read."
        )


def check_replicas(config: TensorFlowConfig, replicas: int) -> None:
    """Refuse private training on several devices: each would clip, sample and noise on its own.

    Raises:
        ParameterError: LS307.
    """
    if config.dp and replicas > 1:
        raise _error(
            "LS307",
            f"--dp trains on one device, and there are {replicas} replicas: one Poisson sample and one noise for all of "
            "them is not there. Give --devices 1, or make a single one visible, for example CUDA_VISIBLE_DEVICES=0.",
        )


def check_training_data(config: TensorFlowConfig, tokenized_with: Mapping[str, Any]) -> None:
    """Refuse training data whose making the claim would misdescribe: the statement is written from `config`.

    Args:
        config: the settings of the training.
        tokenized_with: the settings in the manifest of the training data.

    Raises:
        DataError: LS204, they differ in what the claim depends on.
    """
    now = config.as_dict() if config.dp else {}
    for name in _CLAIMED if config.dp else ():
        if tokenized_with.get(name) != now[name]:
            raise DataError(
                f"LS204: the training data were tokenized with {name} {tokenized_with.get(name)!r}, this private training "
                f"says {now[name]!r}, which its claim would state. Give the same value, or tokenize again with --overwrite.",
                code="LS204",
            )


def check_unit_count(config: TensorFlowConfig, units: int) -> None:
    """Refuse what the number of training records, or of their users, rules out.

    Raises:
        ParameterError: LS303 an expected batch larger than the data, LS304 a delta that one record outweighs.
    """
    what = "training records" if user_field_index(config) is None else "users with training records"
    if config.dp_batch_size is not None and config.dp_batch_size > units:
        raise _error(
            "LS303",
            f"--dp-batch-size {config.dp_batch_size} is more than the {units} {what}; give at most {units}, or leave it out.",
        )
    if config.dp_delta * units >= 1:
        raise _error(
            "LS304",
            f"--dp-delta {config.dp_delta:g} is not below 1/{units}, one over the {what}: publishing one of them at random "
            f"would already satisfy it. Give at most {0.1 / units:.1g}.",
        )


def vocabulary_mode(config: TensorFlowConfig) -> str:
    """Where the vocabulary comes from: 'bytes', 'dp_characters', 'public_file' or 'raw'. Without `dp` always 'raw'."""
    if not config.dp:
        return "raw"
    return config.dp_vocabulary if config.dp_vocabulary is not None else "bytes"


def privacy_warnings(config: TensorFlowConfig) -> list[str]:
    """What a private run should be told, though it works."""
    told = []
    noise = config.dp_noise_multiplier
    if config.dp and noise is not None and noise < LOW_NOISE:
        told.append(
            f"dp_noise_multiplier {noise:g} gives no meaningful protection: a single epoch already spends an epsilon of "
            "dozens or hundreds. Leave it out, or set dp_target_epsilon (8 or less)."
        )
    if config.dp and config.dp_l2_norm_clip > WIDE_CLIP and not config.dp_adaptive_clip:
        told.append(
            f"dp_l2_norm_clip {config.dp_l2_norm_clip:g} is several times a record's gradient norm (usually 0.1 to 1, since its "
            "loss is divided by seq_length): nothing is clipped, and there is as many times the noise that would do. Leave it "
            "out, or set about 0.1."
        )
    if config.dp and vocabulary_mode(config) == "raw":
        told.append("the vocabulary is learnt from the raw records: the privacy claim does not cover what it reveals")
    if config.dp and config.dp_unsafe_fixed_key is not None:
        told.append("dp_unsafe_fixed_key is set: whoever knows the key can undo the noise; publish nothing of this run")
    return told


def _error(code: str, message: str) -> ParameterError:
    return ParameterError(f"{code}: {message}", code=code)
