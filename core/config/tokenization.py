"""Settings of tokenize: what a record is, which records are used for what, and the vocabulary."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, field_validator

from linesmith.core.config.setting_field import setting


class TokenizeSettings(BaseModel):
    """How lines become records, and records tokens."""

    field_delimiter: str | None = setting(
        "tokenize",
        None,
        "What separates the fields of a record; any non-empty text. Free text has none.",
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
        "tokenize", False, "Delimiters inside double quotes do not separate fields. Needs a one-character delimiter."
    )
    header: bool = setting("tokenize", False, "The first line of every file names the columns and is not a record.")
    columns: list[str] | None = setting(
        "tokenize", None, "Names of the fields, in order; generated records have as many."
    )
    condition_on: list[str] | None = setting(
        "tokenize",
        None,
        "Columns whose values generate may be asked for (where, where_file, balance): the model is given them first. Every "
        "output has them in their place. Needs names: header, columns or schema_file.",
    )
    encoding: str = setting("tokenize", "utf-8", "Text encoding of the input, for example latin-1 or utf-16.")
    max_lines: int = setting("tokenize", 0, "Use only this many accepted records, in their order; 0: all.", ge=0)
    max_line_len: int = setting("tokenize", 2048, "Longest accepted record, in characters.", ge=1)
    max_reject_rate: float = setting(
        "tokenize", 1.0, "Fail where a larger share of the lines than this is rejected.", ge=0, le=1
    )
    validation_split: bool = setting("tokenize", True, "Hold 20 % of the records back to measure training.")
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

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except (LookupError, ValueError):
            raise ValueError("is not an encoding that Python knows, such as utf-8, latin-1 or utf-16") from None
        return value
