"""`TensorFlowConfig`: every setting of a run, checked at birth, frozen, and serialisable but for its callables.

The names and defaults of the LSTM workflow are kept, so that existing scripts and `model_params.json` files load unchanged
(`params`). Each field says which stage it belongs to; a stage compares only its own fields when it decides
whether an earlier, unfinished run can be resumed.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo

from linesmith.core.config.generation import GenerationSettings, parse_rules_yaml
from linesmith.core.config.privacy import PrivacySettings
from linesmith.core.config.setting_field import SETTINGS_WITHOUT_EFFECT, Stage, dp_default, setting, stage_of
from linesmith.core.errors import ParameterError

__all__ = [
    "METRIC_ALIASES",
    "SETTINGS_WITHOUT_EFFECT",
    "Stage",
    "TensorFlowConfig",
    "fields",
    "nearest_setting",
    "stage_of",
]

METRIC_ALIASES = {
    "val_loss": "val_loss",
    "loss": "loss",
    "val_accuracy": "val_accuracy",
    "accuracy": "accuracy",
    "val_acc": "val_accuracy",
    "acc": "accuracy",
}


class TensorFlowConfig(GenerationSettings, PrivacySettings):
    """Settings of one run. Unknown names are refused with the nearest known one; 0 is a value everywhere.

    Raises:
        ParameterError: a value is out of range, of the wrong type, or contradicts another.

    Example:
        >>> config = TensorFlowConfig(input_data_path="rides.csv", checkpoint_dir="out", epochs=1e1)
        >>> config.epochs, config.vocab_size
        (10, 20000)
        >>> TensorFlowConfig(epoch=3)
        Traceback (most recent call last):
            ...
        linesmith.core.errors.ParameterError: LS101: unknown setting 'epoch' (value 3); the nearest known setting is 'epochs'.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=(), allow_inf_nan=False
    )

    # What is read, and where the run lives.
    input_data_path: str | list[str] | None = setting(
        "run", None, "Input files: a path, a glob, an http(s) or bucket address, or several of them."
    )
    checkpoint_dir: str | None = setting("run", None, "The run directory: every stage reads and writes there.")
    overwrite: bool = setting("run", False, "Replace what an earlier, complete run left in the run directory.")
    seed: int = setting("run", 0, "Seed of everything random. Same seed and data: same bytes.", ge=0, le=2**63 - 1)

    report: bool = setting("run", True, "End a run with an evaluation of its records and one page about them.")
    matmul_precision: Literal["auto", "float32", "bfloat16", "int8"] = setting(
        "run",
        "auto",
        "Precision of matrix products; cell states and the last layer are float32 in any case. auto: what the processor has "
        "instructions for, bfloat16 in training, int8 or else bfloat16 in generation, otherwise float32. int8 is for "
        "generation; training takes it as auto.",
    )
    devices: int | None = setting(
        "run",
        None,
        "GPUs that share the rows of each training batch; unset: all that are visible. Differential privacy takes one.",
        ge=1,
    )

    # tokenize
    field_delimiter: str | None = setting(
        "tokenize", None, "What separates the fields of a record; any non-empty text. Free text has none.", min_length=1
    )
    field_delimiter_token: str = setting(
        "tokenize",
        "<d>",
        "How the delimiter's token is shown. It is reserved: text that contains it is safe.",
        min_length=1,
    )
    column_pattern: str | None = setting(
        "tokenize", None, "Put a marker token before each field, shown by this pattern, for example '<col{}>'."
    )
    quoted: bool = setting(
        "tokenize", False, "Delimiters inside double quotes do not separate fields. Needs a one-character delimiter."
    )
    header: bool = setting("tokenize", False, "The first line of every file names the columns and is not a record.")
    columns: list[str] | None = setting(
        "tokenize", None, "Names of the fields, in order; generated records have as many."
    )
    encoding: str = setting("tokenize", "utf-8", "Text encoding of the input, for example latin-1 or utf-16.")
    max_lines: int = setting("tokenize", 0, "Use only the first so many accepted records; 0: all.", ge=0)
    max_line_len: int = setting("tokenize", 2048, "Longest accepted record, in characters.", ge=1)
    max_reject_rate: float = setting(
        "tokenize", 1.0, "Fail when a larger share of the lines than this is rejected.", ge=0, le=1
    )
    validation_split: bool = setting("tokenize", True, "Hold 20 % of the records back to measure training.")
    holdout_fraction: float = setting(
        "tokenize", 0.05, "Share of the records that no stage but evaluation sees; 0: none.", ge=0, lt=0.8
    )
    vocab_size: int = setting(
        "tokenize",
        20000,
        "Size of the SentencePiece vocabulary; 0: characters. Where it is not given and there is a field delimiter: 0, since "
        "pieces make of each number of a table a word that occurs once or twice.",
        ge=0,
    )
    sentencepiece_type: Literal["bpe", "unigram"] = setting("tokenize", "bpe", "Kind of SentencePiece model.")
    character_coverage: float = setting(
        "tokenize",
        1.0,
        "Share of character occurrences that get a piece of their own; the rest become bytes. SentencePiece takes 0.98 … 1.",
        ge=0.98,
        le=1,
    )
    pretrain_sentence_count: int = setting(
        "tokenize",
        1_000_000,
        "Most distinct words the SentencePiece trainer is given; beyond it a uniform sample of lines is used.",
        ge=1,
    )

    # train
    epochs: int = setting("train", 100, "Most passes over the training records.", with_dp=30, ge=0)
    early_stopping: bool = setting("train", True, "Stop when the best-model metric no longer improves.")
    early_stopping_patience: int = setting("train", 5, "Epochs without improvement before stopping.", ge=0)
    early_stopping_min_delta: float = setting("train", 0.001, "Least change that counts as improvement.", ge=0)
    best_model_metric: str | None = setting(
        "train", None, "val_loss, loss, val_accuracy or accuracy; default val_loss, or loss without a validation split."
    )
    batch_size: int = setting("train", 64, "Rows in a training batch.", with_dp=512, ge=1)
    buffer_size: int = setting(
        "train", 10000, "Accepted and without effect: " + SETTINGS_WITHOUT_EFFECT["buffer_size"] + ".", ge=1
    )
    seq_length: int = setting("train", 100, "Tokens in a training row.", ge=1)
    embedding_dim: int = setting("train", 256, "Width of the token embedding.", with_dp=64, ge=1)
    rnn_units: int = setting("train", 256, "Units of each LSTM layer.", with_dp=128, ge=1)
    rnn_layers: int = setting("train", 2, "LSTM layers.", with_dp=1, ge=1, le=16)
    dropout_rate: float = setting("train", 0.2, "Dropout after each LSTM layer.", with_dp=0.0, ge=0, lt=1)
    rnn_initializer: str = setting("train", "glorot_uniform", "Keras initializer of the recurrent weights.")
    learning_rate: float = setting("train", 0.01, "Adam's learning rate at the start.", with_dp=0.03, gt=0)
    learning_rate_schedule: Literal["auto", "linear", "constant"] = setting(
        "train",
        "auto",
        "linear: falls to 0 over the planned epochs; auto: over the time limit as well, where there is one, and without privacy "
        "it is halved by each epoch that does not improve the metric.",
    )
    max_training_time_seconds: int | None = setting("train", None, "Stop training after so many seconds.", ge=0)
    save_all_checkpoints: bool = setting("train", False, "Keep every epoch's weights, not only the best and last.")
    save_best_model: bool = setting("train", True, "Generate with the best epoch's weights; otherwise the last's.")
    tensorboard: bool = setting("train", True, "Write TensorBoard event files to RUN/model/tensorboard.")
    epoch_callback: Callable[..., Any] | None = setting(
        "run", None, "Python only: called with an EpochState after each epoch.", exclude=True
    )
    dp_microbatches: int = setting(
        "train", 1, "Accepted and without effect: " + SETTINGS_WITHOUT_EFFECT["dp_microbatches"] + ".", ge=1
    )

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ParameterError(_explain(error, settings), code="LS101") from None
        if self.dp:  # defaults of private training; none of them becomes something that was said
            for name, field in fields().items():
                if name not in self.model_fields_set and dp_default(field) is not None:
                    self.__dict__[name] = dp_default(field)
        elif self.field_delimiter is not None and "vocab_size" not in self.model_fields_set:
            self.__dict__["vocab_size"] = 0

    @field_validator(
        "input_data_path",
        "checkpoint_dir",
        "start_strings_file",
        "rules",
        "schema_file",
        "model_archive",
        "dp_public_vocabulary",
        "dp_public_validation",
        "privacy_ledger",
        mode="before",
    )
    @classmethod
    def _paths_may_be_path(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [str(item) if isinstance(item, Path) else item for item in value]
        return str(value) if isinstance(value, Path) else value

    @field_validator("*", mode="before")
    @classmethod
    def _whole_floats_are_integers(cls, value: Any, info: ValidationInfo) -> Any:
        # Flags and YAML give 1e5 as text; pydantic would take only digits for an integer.
        if isinstance(value, str) and cls.model_fields[str(info.field_name)].annotation in (int, int | None):
            with contextlib.suppress(ValueError, OverflowError):
                number = float(value)
                if number == int(number) and not value.strip().lstrip("+-").isdigit():
                    return int(number)
        return value

    @field_validator("output_format", "columns", mode="before")
    @classmethod
    def _one_or_comma_separated(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.split(",")
        if isinstance(value, list | tuple):
            value = [
                part.strip() if isinstance(part, str) else part
                for item in value
                for part in (item.split(",") if isinstance(item, str) else [item])
            ]
            if len(set(map(str, value))) != len(value):
                raise ValueError("the same name is given twice")
        return value

    @field_validator("validation_rules", mode="before")
    @classmethod
    def _rules_may_be_yaml(cls, value: Any) -> Any:
        return parse_rules_yaml(value)

    @field_validator("checkpoint", "privacy_key_field", mode="before")
    @classmethod
    def _number_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("best_model_metric")
    @classmethod
    def _known_metric(cls, value: str | None) -> str | None:
        if value is None or value in METRIC_ALIASES:
            return None if value is None else METRIC_ALIASES[value]
        raise ValueError(f"must be one of {', '.join(METRIC_ALIASES)}")

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError:
            raise ValueError("is not an encoding that Python knows, such as utf-8, latin-1 or utf-16") from None
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (
            self.best_model_metric is not None
            and self.best_model_metric.startswith("val_")
            and not self.validation_split
        ):
            raise ValueError(
                f"best_model_metric '{self.best_model_metric}' needs validation_split: true; use loss or accuracy without one"
            )
        if self.quoted and (self.field_delimiter is None or len(self.field_delimiter) != 1):
            raise ValueError(f"quoted needs a field_delimiter of one character, found {self.field_delimiter!r}")
        if self.field_delimiter is not None and ("\n" in self.field_delimiter):
            raise ValueError("field_delimiter must not contain a newline: a record is one line")
        if self.column_pattern is not None and self.field_delimiter is None:
            raise ValueError("column_pattern needs a field_delimiter")
        if self.column_pattern is not None and self.column_pattern.count("{}") != 1:
            raise ValueError(f"column_pattern {self.column_pattern!r} must contain {{}} once, for the column's number")
        if self.start_string is not None and self.start_strings_file is not None:
            raise ValueError("start_string and start_strings_file exclude each other; give one")
        if self.exact_distribution and (self.gen_top_k or self.gen_top_p < 1 or not self.gen_temp):
            raise ValueError(
                "exact_distribution excludes gen_top_k, gen_top_p and gen_temp 0: they change the distribution"
            )
        self.check_generation()
        return self

    @property
    def metric(self) -> str:
        """The metric that picks the best epoch, defaults and aliases resolved."""
        if self.best_model_metric is not None:
            return self.best_model_metric
        return "val_loss" if self.validation_split else "loss"

    def as_dict(self) -> dict[str, Any]:
        """All settings but the callables, as plain JSON types; a vocabulary that `dp` decides is made explicit."""
        plain = self.model_dump(mode="json")
        if self.dp and self.dp_vocabulary is None and not self.wants_subword_vocabulary:
            plain["dp_vocabulary"] = "bytes"
        return plain

    def replace(self, **changes: Any) -> TensorFlowConfig:
        """A copy with some settings changed, checked again."""
        # Only what was said: a default must not look like a choice in the copy.
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **changes})

    @property
    def wants_subword_vocabulary(self) -> bool:
        """A vocabulary of learnt pieces was asked for by its size, and not left to the default."""
        return "vocab_size" in self.model_fields_set and self.vocab_size > 0

    def stage_settings(self, *stages: Stage) -> dict[str, Any]:
        """The settings that shape the output of the given stages: what a resumed run must have in common."""
        plain = self.as_dict()
        return {name: plain[name] for name, field in fields().items() if stage_of(field) in stages and name in plain}


def fields() -> Mapping[str, FieldInfo]:
    """Every setting by name, in the order of declaration."""
    return TensorFlowConfig.model_fields


def nearest_setting(name: str) -> str | None:
    """The known setting whose name is closest, or None where nothing is close."""
    close = difflib.get_close_matches(name.replace("-", "_"), list(fields()), n=1, cutoff=0.5)
    return close[0] if close else None


def _explain(error: ValidationError, settings: Mapping[str, Any]) -> str:
    """One sentence a problem, naming setting, value and remedy; pydantic's own text names Python types."""
    sentences = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if problem["type"] == "extra_forbidden":
            nearest = nearest_setting(name)
            hint = f"the nearest known setting is '{nearest}'" if nearest else "no known setting is close to it"
            sentences.append(f"unknown setting '{name}' (value {settings[name]!r}); {hint}.")
        elif name:
            message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            verb = "" if problem["type"] == "value_error" else "must be "
            sentences.append(f"setting '{name}' is {settings.get(name)!r}: {verb}{message}.")
        else:
            sentences.append(problem["msg"].removeprefix("Value error, ") + ".")
    return "LS101: " + " ".join(dict.fromkeys(sentences))
