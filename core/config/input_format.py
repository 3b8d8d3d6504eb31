"""Formats of the input, and which of them the names of its files stand for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from linesmith.core.config.setting_field import flag_name, option_text
from linesmith.core.errors import ParameterError

if TYPE_CHECKING:
    from linesmith.core.config.tensorflow_config import TensorFlowConfig

InputFormat = Literal["text", "csv", "jsonl", "avro", "parquet", "iceberg"]
TEXT: Final = "text"
CSV: Final = "csv"
JSONL: Final = "jsonl"
AVRO: Final = "avro"
PARQUET: Final = "parquet"
ICEBERG: Final = "iceberg"
TYPED_FORMATS = (JSONL, AVRO, PARQUET, ICEBERG)  # their values have types; those of csv are texts
MAGIC_BYTES = {AVRO: b"Obj\x01", PARQUET: b"PAR1"}
_SUFFIXES: dict[str, InputFormat] = {
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".avro": AVRO,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
}
_PACKED = (".gz", ".bz2", ".xz", ".zst")
# How lines are split, which the typed formats decide.
_DECIDED: dict[str, Any] = {"field_delimiter": ",", "quoted": True, "header": True, "encoding": "utf-8"}


def format_of_names(paths: str | list[str] | None, private: bool = False) -> InputFormat:
    """Return the format that the names of input files stand for; text where they stand for several, or for none.

    CSV is never found out from a name: such files have always been read as lines, with or without `--field-delimiter`.

    Args:
        paths: paths, globs or addresses.
        private: differential privacy: JSON Lines are lines of text then, since their types would be learned from records.

    Example:
        >>> format_of_names("a/*.parquet"), format_of_names(["x.jsonl.gz", "y.NDJSON"]), format_of_names("x.csv")
        ('parquet', 'jsonl', 'text')
    """
    listed = [paths] if isinstance(paths, str) else list(paths or ())
    found = {_format_of_name(str(path).partition("?")[0].lower()) for path in listed}
    name: InputFormat = found.pop() if len(found) == 1 else TEXT
    return TEXT if private and name == JSONL else name


def _format_of_name(path: str) -> InputFormat:
    packed = next((end for end in _PACKED if path.endswith(end)), None)
    name = path if packed is None else path.removesuffix(packed)
    found: InputFormat = next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), TEXT)
    return TEXT if packed is not None and found != JSONL else found


def format_of_settings(settings: Mapping[str, Any]) -> Any:
    """Return the format of the input where `input_format` is not given, by settings that were given or have their defaults."""
    return format_of_names(settings.get("input_data_path"), bool(settings.get("dp")))


def default_delimiter(settings: Mapping[str, Any]) -> str | None:
    """Return what separates the fields where `field_delimiter` is not given."""
    return None if settings.get("input_format", TEXT) == TEXT else ","


def is_table(settings: Mapping[str, Any]) -> bool:
    """Return whether the input has rows and columns of its own: `quoted` and `header` are on then."""
    return settings.get("input_format", TEXT) != TEXT


def default_output_formats(settings: Mapping[str, Any]) -> list[str] | None:
    """Return the formats to write where `output_format` is not given: that of the source; None for lines of text.

    Args:
        settings: as given, unchecked.
    """
    given = settings.get("input_format")
    paths = settings.get("input_data_path")
    if given is None and isinstance(paths, str | os.PathLike | list | tuple):
        listed = [str(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
        given = format_of_names(listed, bool(settings.get("dp")))
    if given == ICEBERG:
        return [PARQUET]
    return [given] if given in (CSV, JSONL, AVRO, PARQUET) else None


def check_input_format(settings: Mapping[str, Any]) -> None:
    """Refuse settings that say how lines are split where the input has none, or where they cannot hold for it.

    Args:
        settings: all of them, valid one by one.

    Raises:
        ValueError: one cannot be; the message names it.
    """
    if settings["input_format"] == CSV and not settings["quoted"]:
        raise ValueError("--no-quoted excludes --input-format csv; give --input-format text for lines without quotes")
    if settings["input_row_filter"] is not None and settings["input_format"] != ICEBERG:
        raise ValueError(
            f"--input-row-filter is about Iceberg tables, and --input-format is {settings['input_format']}. Leave it out"
        )
    if settings["input_format"] not in TYPED_FORMATS:
        return
    wrong = [name for name, value in _DECIDED.items() if settings[name] != value]
    if settings["column_pattern"] is not None:
        wrong.append("column_pattern")
    if wrong:
        raise ValueError(
            f"{flag_name(wrong[0])} is about lines of text, and --input-format is {settings['input_format']}: its files say how "
            "their rows are written. Leave it out, or give --input-format text"
        )


def check_private_source(config: TensorFlowConfig) -> None:
    """Refuse, with `dp`, a source whose columns nobody has declared public.

    Raises:
        ParameterError: LS301.
    """
    if config.input_format == TEXT:
        return
    option = option_text("input_format", config.input_format)
    if config.input_format == JSONL:
        raise ParameterError(
            "LS301",
            option,
            "cannot be used with --dp: keys and types of JSON are known from the records alone",
            "Give --input-format text, which learns whole lines, or files of Parquet or Avro.",
        )
    if not config.columns:
        raise ParameterError(
            "LS301",
            option,
            "needs --columns with --dp: names and types of the columns become part of the model, and nothing says that they are "
            "public",
            "Name the columns to learn with --columns, if their names and declared types may be known.",
        )
