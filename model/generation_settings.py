"""The settings of generation."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from model.settings import MOOT, setting


class GenerationSettings(BaseModel):
    """How many records, from what beginnings, judged by what, written as what."""

    gen_lines: int = setting("generate", 1000, "Valid records to generate.", ge=0)
    gen_temp: float = setting("generate", 1.0, "Sampling temperature; 0: always the likeliest token.", ge=0)
    gen_top_k: int = setting("generate", 0, "Draw from the so many likeliest tokens only; 0: from all.", ge=0)
    gen_top_p: float = setting(
        "generate", 1.0, "Draw from the fewest tokens that hold this share of the probability; 1: from all.", gt=0, le=1
    )
    field_aware: bool = setting(
        "generate",
        True,
        "Let the model write only what a record's shape allows: the number of fields, quotes, and in each field the "
        "characters seen there in training (in private training only what the configuration says).",
    )
    exact_distribution: bool = setting(
        "generate",
        False,
        "Keep a record only as often as makes the records those of the model without field_aware; costs attempts.",
    )
    gen_chars: int = setting(
        "generate", 0, "Cut a record after so many characters, its start included; 0: no limit.", ge=0
    )
    start_string: str | list[str] | None = setting(
        "generate", None, "Begin every record with this text; a list gives one valid record each, in order."
    )
    start_strings_file: str | None = setting("generate", None, "A file of start strings, one a line.")
    line_validator: str | None = setting(
        "generate",
        None,
        "Python that judges a record: package.module:function or file.py:function. A file's code is run.",
    )
    max_invalid: int | None = setting(
        "generate", None, "Hard ceiling on invalid records; unset: only a hopeless rate ends the run.", ge=0
    )
    max_attempts: int = setting("generate", 1000, "Attempts for one record before it counts as missing.", ge=1)
    min_valid_rate: float = setting(
        "generate", 0.001, "End the run when, after 10,000 attempts, a smaller share than this is valid.", ge=0, le=1
    )
    output_format: list[Literal["text", "jsonl", "avro"]] = setting(
        "generate", ["text"], "Formats to write: text, jsonl, avro; several are allowed.", min_length=1
    )
    schema_file: str | None = setting(
        "generate",
        None,
        "Avro schema (.avsc) of the records: names, types, logical types. What does not fit is invalid.",
    )
    unit_size: int = setting("generate", 8192, "Records in a unit of work and in a shard of the output.", ge=1)
    checkpoint: str | None = setting(
        "generate",
        None,
        "Epoch whose weights to generate with, a number, 'best' or 'last'; default as save_best_model says.",
    )
    predict_batch_size: int = setting(
        "generate", 64, "Accepted and without effect: " + MOOT["predict_batch_size"] + ".", ge=1
    )
    reset_states: bool = setting("generate", True, "Accepted and without effect: " + MOOT["reset_states"] + ".")
