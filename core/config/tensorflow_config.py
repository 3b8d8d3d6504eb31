"""`TensorFlowConfig`: every setting of a run, validated when it is created, frozen, and serializable except for its callback.

The names and defaults of the LSTM workflow are kept, so that existing scripts and `model_params.json` files load unchanged
(`linesmith.core.artifacts.params`). Each setting names the stage that it belongs to; a stage compares only its own settings
when it decides whether an earlier, unfinished run can be resumed.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from linesmith.core.config.generation import GenerationSettings, parse_rules_yaml
from linesmith.core.config.input_format import check_input_format, default_output_formats
from linesmith.core.config.privacy import PrivacySettings
from linesmith.core.config.run import RunSettings
from linesmith.core.config.setting_field import (
    SETTINGS_WITHOUT_EFFECT,
    PathUse,
    Stage,
    path_use_of,
    shortened,
    stage_of,
)
from linesmith.core.config.spelling import declare_switches, typed_name, without_flags
from linesmith.core.config.tokenization import TokenizeSettings
from linesmith.core.config.training import TrainingSettings
from linesmith.core.errors import ParameterError

_LONGEST_NAME = 100  # for which a similar one is looked up
_SHOWN_PROBLEMS = 10  # in one message

__all__ = [
    "SETTINGS_WITHOUT_EFFECT",
    "Stage",
    "TensorFlowConfig",
    "fields",
    "nearest_setting",
    "path_settings",
    "stage_of",
]


class TensorFlowConfig(TrainingSettings, TokenizeSettings, RunSettings, GenerationSettings, PrivacySettings):
    """Settings of one run.

    0 is a value everywhere and never means "unset". Paths may be `pathlib.Path`, and whole floats (1e5) are integers.

    Raises:
        ParameterError: LS101, a name is unknown (the message gives the nearest known one), or a value is out of range, of the
            wrong type, or contradicts another.

    Example:
        >>> config = TensorFlowConfig(input_data_path="rides.csv", checkpoint_dir="out", epochs=1e1)
        >>> config.epochs, config.vocab_size
        (10, 20000)
        >>> TensorFlowConfig(epoch=3)
        Traceback (most recent call last):
            ...
        linesmith.core.errors.ParameterError: LS101: unknown setting 'epoch' (value 3). The nearest known setting is 'epochs'.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=(), allow_inf_nan=False
    )

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise _settings_error(error, settings) from None

    @field_validator("*", mode="before")
    @classmethod
    def _path_as_text(cls, value: Any, info: ValidationInfo) -> Any:
        name = str(info.field_name)
        if path_use_of(cls.model_fields[name]) is None and name != "line_validator":
            return value
        if isinstance(value, list | tuple):
            return [_plain_path(item) for item in value]
        return _plain_path(value)

    @field_validator("*", mode="before")
    @classmethod
    def _whole_floats_are_integers(cls, value: Any, info: ValidationInfo) -> Any:
        # Flags and YAML give 1e5 as text, and pydantic accepts only digits for an integer.
        if isinstance(value, str) and cls.model_fields[str(info.field_name)].annotation in (int, int | None):
            with contextlib.suppress(ValueError, OverflowError):
                number = float(value)
                if number == int(number) and not value.strip().lstrip("+-").isdigit():
                    return int(number)
        return value

    @field_validator("output_format", "columns", "condition_on", mode="before")
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

    @model_validator(mode="before")
    @classmethod
    def _output_as_input(cls, settings: Any) -> Any:
        # No default of the field itself: those of generation are decided before the format of the input is known.
        formats = default_output_formats(settings)
        return settings if formats is None or "output_format" in settings else {**settings, "output_format": formats}

    @model_validator(mode="after")
    def _agree(self) -> Self:
        check_input_format(self.__dict__)
        asks_for_validation = self.best_model_metric is not None and self.best_model_metric.startswith("val_")
        if asks_for_validation and not self.validation_split and not self.dp:  # `dp_validation` says what dp measures
            raise ValueError(
                f"--best-model-metric '{self.best_model_metric}' needs a validation split, and --no-validation-split is "
                "given; use loss or accuracy"
            )
        if self.quoted and (self.field_delimiter is None or len(self.field_delimiter) != 1):
            raise ValueError(f"--quoted needs a --field-delimiter of one character, found {self.field_delimiter!r}")
        if self.field_delimiter is not None and any(end in self.field_delimiter for end in "\n\r"):
            raise ValueError("--field-delimiter must not contain a newline or a carriage return: a record is one line")
        if self.sample_rows is not None and self.max_lines:
            raise ValueError(
                "--sample-rows excludes --max-lines: the one takes rows from everywhere, the other the first"
            )
        if self.column_pattern is not None and self.field_delimiter is None:
            raise ValueError("--column-pattern needs a --field-delimiter")
        if self.column_pattern is not None and self.column_pattern.count("{}") != 1:
            raise ValueError(
                f"--column-pattern {self.column_pattern!r} must contain {{}} once, for the column's number"
            )
        reshaped = self.gen_top_k or not self.gen_temp or (self.gen_top_p is not None and self.gen_top_p < 1)
        if self.exact_distribution and reshaped:
            raise ValueError(
                "--exact-distribution excludes --gen-top-k, --gen-top-p and --gen-temp 0: they change the distribution"
            )
        self._check_condition_on()
        self.check_roles()
        self.check_differences()
        if self.differences is not None and self.gen_chars:
            raise ValueError("--gen-chars excludes --differences, whose characters are not those of the text")
        if self.column_role and (self.schema_file is not None or self.impute is not None):
            other = "--schema-file" if self.impute is None else "--impute"
            raise ValueError(f"--column-role excludes {other}, which speaks of columns that the model does not know")
        if self.parents is not None and (self.field_delimiter is None or self.field_inputs == "off"):
            raise ValueError("--parents needs a --field-delimiter, and excludes --field-inputs off: it is about fields")
        self.check_generation()
        return self

    def _check_condition_on(self) -> None:
        """Refuse an order of fields that cannot be.

        Raises:
            ValueError: two settings contradict each other; the message names them.
        """
        if self.condition_on is None:
            return
        if self.field_delimiter is None:
            raise ValueError("--condition-on needs a --field-delimiter, or an --input-format that has columns")
        if not self.condition_on:
            raise ValueError("--condition-on names no column")
        unknown = [name for name in self.condition_on if self.columns is not None and name not in self.columns]
        if unknown:
            raise ValueError(f"--condition-on names '{unknown[0]}', which is not one of --columns")
        if self.gen_chars:
            raise ValueError("--gen-chars excludes --condition-on: a cut record would lack fields anywhere")

    @property
    def metric(self) -> str:
        """Metric that selects the best epoch, with default and aliases resolved."""
        if self.best_model_metric is not None:
            return self.best_model_metric
        measured = self.validation_split or (self.dp and self.dp_validation == "public_file")
        return "val_loss" if measured else "loss"

    @property
    def clipping_norm(self) -> float:
        """The largest gradient norm of one record, with its default resolved, which is smaller as losses are divided by more."""
        return 10.0 / self.seq_length if self.dp_l2_norm_clip is None else self.dp_l2_norm_clip

    def as_dict(self) -> dict[str, Any]:
        """Return all settings except the callback as plain JSON types; a vocabulary that `dp` implies is made explicit."""
        plain = self.model_dump(mode="json")
        if self.dp and self.dp_vocabulary is None and not self.wants_subword_vocabulary:
            plain["dp_vocabulary"] = "bytes"
        return plain

    def replace(self, **changes: Any) -> TensorFlowConfig:
        """Return a copy with some settings changed, validated again.

        Raises:
            ParameterError: LS101, as the constructor.
        """
        # Only settings that were given: a default must not look like a choice in the copy.
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **changes})

    @property
    def wants_subword_vocabulary(self) -> bool:
        """Whether a vocabulary of learned pieces is requested by its size, and not by the default."""
        return "vocab_size" in self.model_fields_set and self.vocab_size > 0

    def stage_settings(self, *stages: Stage) -> dict[str, Any]:
        """Return the settings that affect the output of the given stages: they must be equal where a run is resumed."""
        plain = self.as_dict()
        return {name: plain[name] for name, field in fields().items() if stage_of(field) in stages and name in plain}


declare_switches(
    name for name, field in TensorFlowConfig.model_fields.items() if field.annotation in (bool, bool | None)
)


def _plain_path(value: Any) -> Any:
    """Return a path as text, with the home directory in place of `~`, as a shell gives it; any other value unchanged."""
    return os.path.expanduser(value) if isinstance(value, str | Path) else value


def with_home(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the home directory in place of `~` in their paths.

    Args:
        settings: values by name, unchecked.
    """
    paths = {*path_settings(), "line_validator"}
    return {
        name: [_plain_path(item) for item in value]
        if name in paths and isinstance(value, list | tuple)
        else _plain_path(value)
        if name in paths
        else value
        for name, value in settings.items()
    }


def fields() -> Mapping[str, FieldInfo]:
    """Return every setting by name, in the order of declaration."""
    return TensorFlowConfig.model_fields


def path_settings(*uses: PathUse) -> list[str]:
    """Return the names of the settings that are paths of the given uses; of all uses where none is given.

    Example:
        >>> path_settings("small")
        ['dp_public_validation', 'dp_public_vocabulary', 'rules', 'schema_file']
    """
    found = {name: path_use_of(field) for name, field in fields().items()}
    return [name for name, use in found.items() if use is not None and (not uses or use in uses)]


def nearest_setting(name: str) -> str | None:
    """Return the known setting whose name is closest; None where no name is close."""
    if len(name) > _LONGEST_NAME:
        return None
    close = difflib.get_close_matches(name.replace("-", "_"), list(fields()), n=1, cutoff=0.5)
    return close[0] if close else None


def _settings_error(error: ValidationError, settings: Mapping[str, Any]) -> ParameterError:
    """Return the error that names setting, value and remedy of each problem; pydantic's own text names Python types."""
    # A default that depends on other settings is a problem only because one of those is.
    causes = [problem for problem in error.errors() if problem["type"] != "default_factory_not_called"]
    problems = list(dict.fromkeys(_problem(problem, settings) for problem in causes))
    shown = problems[:_SHOWN_PROBLEMS]
    remedies = " ".join(dict.fromkeys(remedy for _, _, remedy in shown))
    if len(problems) == 1:
        option, found, _ = problems[0]
        return ParameterError("LS101", option, found, remedies)
    found = "; ".join(found if option is None else f"{option}: {found}" for option, found, _ in shown)
    if len(problems) > len(shown):
        found += f"; and {len(problems) - len(shown)} more"
    return ParameterError("LS101", None, found, remedies)


def _problem(problem: ErrorDetails, settings: Mapping[str, Any]) -> tuple[str | None, str, str]:
    """Return the option that a problem is about, if it is about one, what was found, and the remedy."""
    name = str(problem["loc"][0]) if problem["loc"] else ""
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if problem["type"] == "extra_forbidden":
        nearest = nearest_setting(name)
        hint = f"The nearest known setting is '{nearest}'." if nearest else "No known setting is close to it."
        return None, f"unknown setting '{shortened(name)}' (value {shortened(repr(settings[name]))})", hint
    if name:
        verb = "" if problem["type"] == "value_error" else "must be "
        given = shortened(repr(settings.get(name)))
        return f"{typed_name(name)} {given}", without_flags(f"{verb}{shortened(message)}"), "Give another value."
    return None, without_flags(shortened(message)), "Change one of them."
