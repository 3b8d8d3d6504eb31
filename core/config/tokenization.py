"""Settings of tokenize: what a record is, which records are used for what, and the vocabulary."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, field_validator

from linesmith.core.config.column_roles import ColumnRole, parse_column_roles, parse_role
from linesmith.core.config.field_differences import Difference, parse_differences, split_base
from linesmith.core.config.input_format import InputFormat, default_delimiter, format_of_settings, is_table
from linesmith.core.config.setting_field import setting

_ESCAPE = re.compile(r"\\(?:([tnr])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([0-3][0-7]{2}))")
_NAMED = {"t": "\t", "n": "\n", "r": "\r"}


def unescape_delimiter(text: str) -> str:
    r"""Return a delimiter with the characters for which escapes were typed, since a shell passes them on as they are.

    Args:
        text: the delimiter; \t, \n, \r, \x1f, \u001f and \037 stand for one character each, other backslashes for themselves.

    Example:
        >>> unescape_delimiter(r"\t"), unescape_delimiter(r"|\t|"), unescape_delimiter(r"\001"), unescape_delimiter("\\")
        ('\t', '|\t|', '\x01', '\\')
    """
    return _ESCAPE.sub(_escaped_character, text)


def _escaped_character(match: re.Match[str]) -> str:
    if match[1] is not None:
        return _NAMED[match[1]]
    character = chr(int(match[4], 8) if match[4] is not None else int(match[2] or match[3], 16))
    # A backslash could become part of an escape when the settings are read again; half a surrogate pair is no character.
    return match[0] if character == "\\" or 0xD800 <= ord(character) <= 0xDFFF else character


def _measures_records(settings: dict[str, Any]) -> bool:
    """Return whether training looks at records that it does not learn."""
    return not settings.get("dp") or settings.get("dp_validation") == "noised"


class TokenizeSettings(BaseModel):
    """How lines become records, and records tokens."""

    input_format: InputFormat = setting(
        "tokenize",
        "text",
        "What the input is: lines of text, or csv, jsonl, avro, parquet, iceberg, whose columns and types are learned and "
        "written again. Default: text, or what .parquet, .avro and .jsonl in the names of all files say.",
        default_from=format_of_settings,
    )
    field_delimiter: str | None = setting(
        "tokenize",
        None,
        r"What separates the fields of a record; any non-empty text, \t for a tab. Free text has none. Default of csv: a comma.",
        default_from=default_delimiter,
        min_length=1,
        max_length=200,
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
        "tokenize",
        False,
        "Delimiters inside double quotes do not separate fields. Needs a one-character delimiter. Always on for csv.",
        default_from=is_table,
    )
    header: bool = setting(
        "tokenize",
        False,
        "The first line of every file names the columns and is not a record. Default of csv: on.",
        default_from=is_table,
    )
    columns: list[str] | None = setting(
        "tokenize",
        None,
        "Names of the fields, in order; generated records have as many. Of jsonl, avro, parquet, iceberg: the columns to learn.",
    )
    input_row_filter: str | None = setting(
        "tokenize",
        None,
        "With input_format iceberg, learn only the rows for which this expression holds: \"country = 'IT' and year >= 2020\". "
        "Its columns need not be learned.",
        min_length=1,
    )
    condition_on: list[str] | None = setting(
        "tokenize",
        None,
        "Columns whose values generate may be asked for (where, where_file, balance): the model is given them first. Every "
        "output has them in their place. Needs names: header, columns or schema_file.",
    )
    differences: dict[str, str] | list[str] | None = setting(
        "tokenize",
        None,
        "Columns of numbers that the model writes as differences from an earlier column near them: end_lat=start_lat, or "
        "total=price:2 for numbers that always have two decimals. Outputs have the numbers themselves. With dp, where columns "
        "are near each other, this is the largest help. Needs names: header, columns or schema_file.",
    )
    column_role: dict[str, str] | list[str] | None = setting(
        "tokenize",
        None,
        "What stands in columns that must not be learned: id=key,email=fake:email,name=fake:name:de_DE,comment=drop,"
        "source=constant:web,customer=ref:FILE#column. They are cut before anything is learned and put back on output. Needs "
        "names: header or columns.",
    )
    encoding: str = setting("tokenize", "utf-8", "Text encoding of the input, for example latin-1 or utf-16.")
    max_lines: int = setting("tokenize", 0, "Use only this many accepted records, in their order; 0: all.", ge=0)
    sample_rows: int | None = setting(
        "tokenize",
        None,
        "Use only this many rows, rejected ones among them: a uniform sample by a hash of each row's place in the input. "
        "Excludes max_lines; refused with dp.",
        ge=1,
    )
    max_line_len: int = setting("tokenize", 2048, "Longest accepted record, in characters.", ge=1)
    max_reject_rate: float = setting(
        "tokenize", 1.0, "Fail where a larger share of the lines than this is rejected.", ge=0, le=1
    )
    validation_split: bool = setting(
        "tokenize",
        True,
        "Hold 20 % of the records back to measure training; with dp only where dp_validation is noised.",
        with_dp=False,
        default_from=_measures_records,
    )
    holdout_fraction: float = setting(
        "tokenize", 0.05, "Share of the records that no stage but evaluation sees; 0: none.", ge=0, lt=0.8
    )
    vocab_size: int = setting(
        "tokenize",
        20000,
        "Size of the SentencePiece vocabulary; 0: characters. Default with a field delimiter: 0, since with pieces each "
        "number of a table would be a word that occurs once or twice.",
        default_from=lambda settings: (
            0 if settings.get("field_delimiter") is not None and not settings.get("dp") else 20000
        ),
        ge=0,
    )
    sentencepiece_type: Literal["bpe", "unigram"] = setting("tokenize", "bpe", "Kind of SentencePiece model.")
    character_coverage: float = setting(
        "tokenize",
        1.0,
        "Share of character occurrences whose character gets a piece of its own; the rest become bytes. SentencePiece takes "
        "0.98 … 1.",
        ge=0.98,
        le=1,
    )
    pretrain_sentence_count: int = setting(
        "tokenize",
        1_000_000,
        "Most distinct words that the SentencePiece trainer is given; beyond it a uniform sample of lines is used.",
        ge=1,
    )

    @field_validator("field_delimiter", mode="before")
    @classmethod
    def _typed_escapes(cls, value: Any) -> Any:
        return unescape_delimiter(value) if isinstance(value, str) else value

    @field_validator("column_role", mode="before")
    @classmethod
    def _roles(cls, value: Any) -> Any:
        return parse_column_roles(value)

    @field_validator("differences", mode="before")
    @classmethod
    def _differences_by_column(cls, value: Any) -> Any:
        return parse_differences(value)

    @property
    def column_differences(self) -> dict[str, Difference]:
        """What each column of `differences` is written as a difference from; empty where there are none."""
        given = self.differences if isinstance(self.differences, dict) else {}
        return {name: split_base(base) for name, base in given.items()}

    @property
    def roles(self) -> dict[str, ColumnRole]:
        """The roles of `column_role` by column, `learn` included; empty where there are none."""
        given = self.column_role if isinstance(self.column_role, dict) else {}
        return {name: parse_role(text) for name, text in given.items()}

    @property
    def cut_columns(self) -> frozenset[str]:
        """Names of the columns that no model is given."""
        return frozenset(name for name, role in self.roles.items() if role.kind != "learn")

    @property
    def learned_columns(self) -> list[str] | None:
        """Names of the fields of a model's records: `columns` without those that are cut; None where they are not given."""
        return None if self.columns is None else [name for name in self.columns if name not in self.cut_columns]

    def check_differences(self) -> None:
        """Refuse differences that cannot be, whatever the input.

        Raises:
            ValueError: a setting contradicts them; the message names it.
        """
        if self.differences is None:
            return
        if self.field_delimiter is None:
            raise ValueError("--differences needs a --field-delimiter, or an --input-format that has columns")
        for column, (base, _) in self.column_differences.items():
            taken = [name for name in (column, base) if name in self.cut_columns]
            if taken:
                raise ValueError(f"--differences names '{taken[0]}', which --column-role takes away from the model")

    def check_roles(self) -> None:
        """Refuse roles that cannot be, whatever the input.

        Raises:
            ValueError: a setting contradicts them; the message names it.
        """
        if self.column_role is None:
            return
        if not self.column_role:
            raise ValueError("--column-role names no column")
        if self.field_delimiter is None:
            raise ValueError("--column-role needs a --field-delimiter: it is about fields")
        for name, role in self.roles.items():
            if role.kind == "constant" and (
                (not self.quoted and self.field_delimiter in role.text) or set("\n\r") & set(role.text)
            ):
                raise ValueError(
                    f"--column-role {name}=constant holds a line end, or the delimiter and --quoted is not given"
                )
        unknown = [name for name in self.roles if self.columns is not None and name not in self.columns]
        if unknown:
            raise ValueError(f"--column-role names '{unknown[0]}', which is not one of --columns")
        if self.learned_columns == []:
            raise ValueError("--column-role leaves no column to learn")
        first = [name for name in self.condition_on or () if name in self.cut_columns]
        if first:
            raise ValueError(f"--condition-on names '{first[0]}', which --column-role takes away from the model")

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except (LookupError, ValueError):
            raise ValueError("is not an encoding that Python knows, such as utf-8, latin-1 or utf-16") from None
        return value
