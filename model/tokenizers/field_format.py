"""The part of a tokenizer that does not depend on its vocabulary: fields, delimiters, column markers, and their file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.artifacts.manifest import FORMAT_VERSION, check_format_version
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, TokenizerError
from linesmith.model.tokenizers.base import NEWLINE_TOKEN
from linesmith.records.fields import DELIMITER_ID, FIELD_BREAK, NEWLINE_ID
from linesmith.records.input.record_format import mark_field_breaks

TOKENIZER_PARAMS_FILE = "tokenizer_params.json"
MAX_MARKERS = 256  # fields after the 256th have no marker of their own
# What a record is not encoded with, whatever the vocabulary.
_NEWLINE = "\n"


@dataclass(frozen=True)
class FieldFormat:
    """How a record falls into fields, and which reserved ids stand between and before them.

    Attributes:
        field_delimiter: text between fields, or None.
        quoted: delimiters inside double quotes do not separate.
        field_delimiter_token: how id 1 is shown.
        column_pattern: how marker ids are shown, or None for no markers.
        markers: number of marker ids; they are 2 … 2 + markers − 1.
    """

    field_delimiter: str | None = None
    quoted: bool = False
    field_delimiter_token: str = "<d>"
    column_pattern: str | None = None
    markers: int = 0

    @classmethod
    def of(cls, config: TensorFlowConfig, max_fields: int = 0) -> FieldFormat:
        """The format of a configuration, for data with at most `max_fields` fields a record."""
        markers = min(max(max_fields, 1), MAX_MARKERS) if config.column_pattern is not None else 0
        return cls(config.field_delimiter, config.quoted, config.field_delimiter_token, config.column_pattern, markers)

    @property
    def reserved(self) -> int:
        """Number of reserved ids; the vocabulary begins there."""
        return 2 + self.markers

    @property
    def unused(self) -> tuple[int, ...]:
        """Reserved ids that no record contains: `<d>`, where there is no delimiter."""
        return () if self.field_delimiter is not None else (DELIMITER_ID,)

    @property
    def reserved_tokens(self) -> list[str]:
        """How the reserved ids are shown, by id."""
        shown = [NEWLINE_TOKEN, self.field_delimiter_token]
        if self.column_pattern is not None:
            shown += [self.column_pattern.format(column) for column in range(self.markers)]
        return shown

    def split_record(self, text: str) -> list[str]:
        """The fields of a record or of the beginning of one; delimiters left out, quotes kept.

        Raises:
            TokenizerError: the text holds a newline, which no record does.
        """
        if _NEWLINE in text:
            raise TokenizerError("a record cannot contain the newline character U+000A", code="unknown")
        return mark_field_breaks(text, self.field_delimiter, self.quoted).split(FIELD_BREAK)

    def join(self, fields: Sequence[Sequence[int]]) -> list[int]:
        """Ids of a record from the ids of its fields, delimiter and marker ids put between."""
        ids: list[int] = []
        for number, field in enumerate(fields):
            if number:
                ids.append(DELIMITER_ID)
            if number < self.markers:
                ids.append(2 + number)
            ids.extend(field)
        return ids

    def reserved_text(self) -> list[str]:
        """What the reserved ids decode to, by id."""
        return [_NEWLINE, self.field_delimiter or "", *[""] * self.markers]

    def structure_text(self) -> list[str]:
        """What the reserved ids stand for in a record with field breaks: the form in which encoding is verified."""
        return [_NEWLINE, FIELD_BREAK, *[""] * self.markers]


def digest_of(kind: str, fields: FieldFormat, pieces: Any) -> str:
    """Digest of what a tokenizer does. `pieces` is plain JSON and names every vocabulary entry in the order of ids."""
    meaning = {"kind": kind, **asdict(fields), "newline": NEWLINE_ID, "delimiter": DELIMITER_ID, "pieces": pieces}
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode("ascii")).hexdigest()


def save_params(directory: str | Path, kind: str, fields: FieldFormat, total_vocab_size: int, digest: str) -> None:
    write_json(
        Path(directory) / TOKENIZER_PARAMS_FILE,
        {
            "format_version": FORMAT_VERSION,
            "kind": kind,
            "total_vocab_size": total_vocab_size,
            "reserved_tokens": fields.reserved_tokens,
            **asdict(fields),
            "digest": digest,
        },
    )


def load_params(directory: str | Path) -> dict[str, Any]:
    """The checked content of `tokenizer_params.json`.

    Raises:
        DataError: it is missing, damaged, foreign, or of a newer version.
    """
    path = Path(directory) / TOKENIZER_PARAMS_FILE
    params = read_json(path, "the tokenizer")
    if not isinstance(params, dict) or "kind" not in params or "digest" not in params:
        raise damaged(path)
    check_format_version(params.get("format_version"), str(path))
    return params


def field_format_from_params(params: dict[str, Any], path: Path) -> FieldFormat:
    """The field format stored in `tokenizer_params.json`."""
    try:
        fields = FieldFormat(**{name: params[name] for name in FieldFormat.__dataclass_fields__})
        fields.reserved_tokens  # noqa: B018  (a pattern that cannot be formatted is damage, too)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise damaged(path) from None
    return fields


def damaged(path: Path) -> DataError:
    return DataError(
        f"LS201: the tokenizer file '{path}' is damaged or was not written by Linesmith; run tokenize again.",
        code="LS201",
    )
