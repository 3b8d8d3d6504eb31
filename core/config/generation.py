"""Settings of generation."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, field_validator

from linesmith.core.config.setting_field import SETTINGS_WITHOUT_EFFECT, flag_name, setting
from linesmith.core.config.where_condition import parse_where
from linesmith.core.parsing import DocumentError, parse_yaml

# Settings that say what records begin with or hold. They exclude each other, except where and balance.
CONDITION_SETTINGS = ("where", "where_file", "balance", "impute")
REQUEST_SETTINGS = ("start_string", "start_strings_file", *CONDITION_SETTINGS)


class GenerationSettings(BaseModel):
    """How many records, from which start strings, validated by what, written in which formats."""

    gen_lines: int = setting("generate", 1000, "Valid records to generate.", ge=0)
    gen_temp: float = setting("generate", 1.0, "Sampling temperature; 0: always the likeliest token.", ge=0)
    gen_top_k: int = setting("generate", 0, "Draw from this many of the likeliest tokens only; 0: from all.", ge=0)
    gen_top_p: float | None = setting(
        "generate",
        None,
        "Draw from the fewest tokens that hold this share of the probability; 1: from all. Default 1, and 0.98 of a private "
        "model.",
        gt=0,
        le=1,
    )
    gen_drafts: float = setting(
        "generate",
        10.0,
        "Records that the model may draw, on average, for one that its discriminator keeps; fewer are drawn where fewer do. 1: "
        "all are kept, which is faster and less like the real ones. Without effect on another temperature, top_k or top_p than "
        "the model's own, with exact_distribution, gen_chars, a checkpoint, or no field_aware.",
        ge=1,
    )
    field_aware: bool = setting(
        "generate",
        True,
        "Let the model write only what a record's shape allows: the number of fields, quotes, in each field the characters "
        "seen there in training, and numbers within the limits seen there (after private training what the configuration "
        "says, and what the model usually writes).",
    )
    exact_distribution: bool = setting(
        "generate",
        False,
        "Reject some records, so that the others have the distribution of the model without field_aware; costs attempts.",
    )
    gen_chars: int = setting(
        "generate", 0, "Cut a record after this many characters, its start included; 0: no limit.", ge=0
    )
    start_string: str | list[str] | None = setting(
        "generate", None, "Begin every record with this text; a list gives one valid record each, in order."
    )
    start_strings_file: str | None = setting(
        "generate",
        None,
        "Start strings, any number of them: lines, or a column of CSV, JSON Lines, Avro or Parquet; a glob.",
        path="streamed",
    )
    start_strings_field: str | None = setting(
        "generate", None, "The column of start_strings_file; default start_string, or the only one."
    )
    records_per_seed: int = setting(
        "generate", 1, "Valid records for each of several start strings, or for each row of where_file or impute.", ge=1
    )
    where: dict[str, str] | list[str] | None = setting(
        "generate",
        None,
        "Records with these values of condition_on columns: country=IT,elevation=200; what holds a comma in double quotes. "
        "Given several times, all of them hold.",
    )
    where_file: str | None = setting(
        "generate",
        None,
        "A file of partial records, one valid record each, in order: condition_on columns of CSV with a header, JSON Lines, "
        "Avro or Parquet; a glob. An empty value is not given.",
        path="streamed",
    )
    strict_conditions: bool = setting(
        "generate", False, "Refuse a condition with a value that its column never had in the training data."
    )
    balance: str | None = setting(
        "generate", None, "Equal shares of the values of this condition_on column, in turn by record."
    )
    impute: str | None = setting(
        "generate",
        None,
        "A file of records (CSV with a header, JSON Lines, Avro or Parquet; a glob): fill their empty fields, keep the others.",
        path="streamed",
    )
    line_validator: str | None = setting(
        "generate",
        None,
        "Python that judges a record: package.module:function or file.py:function. A file's code is run.",
    )
    validator_timeout: float = setting(
        "generate",
        10.0,
        "Most seconds that line_validator may take per record; 0: no limit, and no separate process.",
        ge=0,
    )
    rules: str | None = setting(
        "generate", None, "A YAML file of rules that every record must satisfy; no code is run.", path="small"
    )
    validation_rules: list[dict[str, Any]] | None = setting(
        "generate", None, "The same rules inline: a list in a settings file, YAML text as a flag."
    )
    max_invalid: int | None = setting(
        "generate", None, "Hard ceiling on invalid records; unset: only a hopeless rate ends the run.", ge=0
    )
    max_attempts: int = setting("generate", 1000, "Attempts for one record before it counts as missing.", ge=1)
    min_valid_rate: float = setting(
        "generate",
        0.001,
        "End the run when of a unit's last 10,000 attempts a smaller share than this was valid.",
        ge=0,
        le=1,
    )
    output_format: list[Literal["text", "csv", "jsonl", "avro", "parquet"]] = setting(
        "generate",
        ["text"],
        "Formats to write: text, csv, jsonl, avro, parquet; several are allowed. Default: text, or the format of the input "
        "where input_format is another.",
        min_length=1,
    )
    output_header: bool | None = setting(
        "generate",
        None,
        "Begin every text file with a line of the columns' names; unset: where the training data had a header.",
    )
    schema_file: str | None = setting(
        "generate",
        None,
        "Avro schema (.avsc) of the records: names, types, logical types. What does not fit is invalid.",
        path="small",
    )
    output_types: Literal["inferred", "text"] = setting(
        "generate", "inferred", "Types of typed formats without a schema_file: those of the training data, or all text."
    )
    avoid_source_keys: bool = setting(
        "generate",
        False,
        "Let no column with the role key have a value that it has in the input, which is read again for it.",
    )
    partition_by: str | None = setting(
        "generate", None, "A column whose values become directories, as in country=CR/part-00000-of-00001.parquet."
    )
    num_shards: int | None = setting(
        "generate", None, "Write this many shards of similar size; unset: one per unit of work.", ge=1, le=100_000
    )
    iceberg_table: str | None = setting(
        "generate", None, "Append the records to this Apache Iceberg table, namespace.name, in one commit."
    )
    iceberg_catalog: list[str] | None = setting(
        "generate",
        None,
        "The table's catalog: its URI, or key=value properties; unset: an SQLite file in the run directory. Secrets belong "
        "in PYICEBERG_CATALOG__LINESMITH__* variables.",
    )
    model_archive: str | None = setting(
        "generate", None, "Take the model from an archive that export wrote, into the run directory.", path="streamed"
    )
    unit_size: int = setting("generate", 8192, "Records in a unit of work and in a shard of the output.", ge=1)
    checkpoint: str | None = setting(
        "generate",
        None,
        "Epoch whose weights to generate with, a number, 'best' or 'last'; default as save_best_model says.",
    )
    predict_batch_size: int = setting(
        "generate", 64, "Accepted and without effect: " + SETTINGS_WITHOUT_EFFECT["predict_batch_size"] + ".", ge=1
    )
    reset_states: bool = setting(
        "generate", True, "Accepted and without effect: " + SETTINGS_WITHOUT_EFFECT["reset_states"] + "."
    )

    @field_validator("where", mode="before")
    @classmethod
    def _condition(cls, value: Any) -> Any:
        condition = parse_where(value)
        texts = isinstance(condition, dict) and all(
            isinstance(part, str) for pair in condition.items() for part in pair
        )
        if condition is not None and not texts:
            raise ValueError("must be COLUMN=VALUE, or a mapping from columns to texts")
        return condition

    @property
    def condition(self) -> dict[str, str]:
        """The condition of `where`, empty where there is none. Lists of texts were made a mapping when they were given."""
        return dict(self.where) if isinstance(self.where, dict) else {}

    @property
    def has_conditions(self) -> bool:
        """Whether fields of the records are given, other than by start strings."""
        return any(getattr(self, name) is not None for name in CONDITION_SETTINGS)

    def check_generation(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            ValueError: two settings do; the message names them.
        """
        if self.where is not None and not self.where:
            raise ValueError("--where holds no condition")
        given = [name for name in REQUEST_SETTINGS if getattr(self, name) is not None]
        if len(given) > 1 and set(given) != {"where", "balance"}:
            raise ValueError(f"{flag_name(given[0])} and {flag_name(given[1])} exclude each other")
        if self.where is not None and self.balance in self.where:
            raise ValueError(f"--where gives column '{self.balance}' one value, --balance asks for all of them")
        if self.has_conditions and self.gen_chars:
            raise ValueError(
                "--gen-chars cuts records, and --where, --where-file, --balance and --impute ask for whole ones"
            )
        if self.start_strings_field is not None and self.start_strings_file is None:
            raise ValueError("--start-strings-field needs a --start-strings-file")
        if self.iceberg_catalog is not None and self.iceberg_table is None:
            raise ValueError("--iceberg-catalog needs an --iceberg-table")
        if self.iceberg_table is not None and not re.fullmatch(r"\w+(\.\w+)+", self.iceberg_table):
            raise ValueError(f"--iceberg-table {self.iceberg_table!r} must be a namespace and a name, as in lake.rides")


def parse_rules_yaml(value: Any) -> Any:
    """Return rules from the YAML text of a flag, or from the texts of several flags; any other value unchanged.

    Raises:
        ValueError: a text is not YAML, or not a list of rules.
    """
    if isinstance(value, str):
        try:
            value = parse_yaml(value)
        except DocumentError as error:
            raise ValueError(f"is {error}") from None
        return [value] if isinstance(value, dict) else value
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        lists = [parse_rules_yaml(part) for part in value]
        if not all(isinstance(rules, list) for rules in lists):
            raise ValueError("is not a list of rules")
        return [rule for rules in lists for rule in rules]
    return value
