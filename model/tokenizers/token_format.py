"""How a record is split into fields and which ids are reserved, stored in `tokenizer_params.json` of every tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import read_json
from linesmith.core.artifacts.manifest import check_format_version
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, TokenizerError
from linesmith.records.field_differences import FieldDifference, FieldDifferences, are_differences
from linesmith.records.field_order import FieldOrder
from linesmith.records.fields import DELIMITER_ID, FIELD_BREAK, NEWLINE_ID, FieldFormat
from linesmith.records.model_form import ModelForm

TOKENIZER_PARAMS_FILE = "tokenizer_params.json"
MAX_DELIMITER_BYTES = 1000
MAX_MARKERS = 256  # fields after the 256th have no marker of their own
_NEWLINE_TOKEN = "<n>"  # how id 0 is shown
NEWLINE = "\n"  # the one character that no record contains, whatever the vocabulary
_OPTIONAL = ("field_order", "field_differences")  # they leave no trace where they are not set


@dataclass(frozen=True)
class TokenFormat:
    """How a record is split into fields, and which reserved ids stand between and before them.

    The fields of this class are keys of `tokenizer_params.json`; those of the model's form only where they are set.

    Attributes:
        field_delimiter: text between fields, or None.
        quoted: whether delimiters inside double quotes are text.
        field_delimiter_token: how id 1 is shown.
        column_pattern: how marker ids are shown, or None for no markers.
        markers: number of marker ids; they are 2 … 2 + markers − 1.
        field_order: `FieldOrder.positions`, where the ids hold the fields in another order than the text; None: the same.
        field_differences: field, base and decimals of each `FieldDifference`, by numbers in the text; None: there are none.
    """

    field_delimiter: str | None = None
    quoted: bool = False
    field_delimiter_token: str = "<d>"
    column_pattern: str | None = None
    markers: int = 0
    field_order: tuple[int, ...] | None = None
    field_differences: tuple[tuple[int, int, int | None], ...] | None = None

    @classmethod
    def from_config(cls, config: TensorFlowConfig, max_fields: int = 0, form: ModelForm | None = None) -> TokenFormat:
        """Return the fields and reserved ids of a configuration.

        Args:
            config: gives the delimiter, the quoting and how reserved ids are shown.
            max_fields: the largest number of fields per record; there is a marker for each, up to `MAX_MARKERS`.
            form: in which the model is given the fields; None: that of the text.
        """
        order = None if form is None else form.order
        differences = None if form is None else form.differences
        markers = min(max(max_fields, 1), MAX_MARKERS) if config.column_pattern is not None else 0
        return cls(
            config.field_delimiter,
            config.quoted,
            config.field_delimiter_token,
            config.column_pattern,
            markers,
            None if order is None else order.positions,
            None
            if differences is None
            else tuple((one.field, one.base, one.decimals) for one in differences.differences),
        )

    @property
    def order(self) -> FieldOrder | None:
        """The order of the fields in the ids; None where it is that of the text."""
        return None if self.field_order is None else FieldOrder(self.field_order)

    @property
    def differences(self) -> FieldDifferences | None:
        """The fields that the ids hold as differences; None where there are none."""
        found = self.field_differences
        return None if found is None else FieldDifferences(tuple(FieldDifference(*one) for one in found))

    @property
    def bases(self) -> dict[int, int]:
        """What each field that the ids hold as a difference is the difference from, by numbers in the text."""
        return {field: base for field, base, _ in self.field_differences or ()}

    @cached_property
    def form(self) -> ModelForm:
        """The form in which the ids hold the fields of the text."""
        return ModelForm(self.order, self.differences)

    def as_params(self) -> dict[str, Any]:
        """Return plain JSON for `tokenizer_params.json` and digests."""
        return {name: value for name, value in asdict(self).items() if name not in _OPTIONAL or value is not None}

    @property
    def reserved_count(self) -> int:
        """Number of reserved ids, and so the first id of the vocabulary."""
        return 2 + self.markers

    @property
    def unused_ids(self) -> tuple[int, ...]:
        """Reserved ids that no record contains: `<d>`, if there is no delimiter."""
        return () if self.field_delimiter is not None else (DELIMITER_ID,)

    @property
    def reserved_tokens(self) -> list[str]:
        """How the reserved ids are shown, by id."""
        shown = [_NEWLINE_TOKEN, self.field_delimiter_token]
        if self.column_pattern is not None:
            # Not `format`: a pattern from a stored file could ask for a text of any width.
            shown += [self.column_pattern.replace("{}", str(column)) for column in range(self.markers)]
        return shown

    def split_record(self, text: str) -> list[str]:
        """Split a record, or the beginning of one, into its fields in the form of the ids: without delimiters, with quotes.

        Args:
            text: a record, or the beginning of one.

        Returns:
            At least one field.

        Raises:
            TokenizerError: the text contains a newline, which no record does.
        """
        if NEWLINE in text:
            raise TokenizerError("LS223", None, "a record cannot contain the newline character U+000A", "Leave it out.")
        return self.form.to_model(FieldFormat(self.field_delimiter, self.quoted).mark_breaks(text).split(FIELD_BREAK))

    def in_text_order(self, ids: Sequence[int]) -> Sequence[int]:
        """Return the ids of a record with its fields in the order of the text, for decoding; markers go with their fields.

        Args:
            ids: of a record, or of several, separated by the id of `<n>`.
        """
        if self.order is None or DELIMITER_ID not in ids:
            return ids
        ordered: list[int] = []
        for number, record in enumerate(split_ids(ids, NEWLINE_ID)):
            if number:
                ordered.append(NEWLINE_ID)
            for place, field in enumerate(self.order.to_input(split_ids(record, DELIMITER_ID))):
                ordered += [DELIMITER_ID, *field] if place else field
        return ordered

    def record_text(self, fields: Sequence[str]) -> str:
        """Return the text of a record, given the texts of its fields in the form of the ids.

        Raises:
            TokenizerError: LS227, a difference or what it is the difference from is no number.
        """
        try:
            return (self.field_delimiter or "").join(self.form.to_input(fields))
        except ValueError:
            raise TokenizerError(
                "LS227", None, "a field is a difference, and one of the two is no number", "Decode other ids."
            ) from None

    def join_ids(self, fields: Sequence[Sequence[int]]) -> list[int]:
        """Join the ids of fields to the ids of a record, with delimiter and marker ids between."""
        ids: list[int] = []
        for number, field in enumerate(fields):
            if number:
                ids.append(DELIMITER_ID)
            if number < self.markers:
                ids.append(2 + number)
            ids.extend(field)
        return ids

    def reserved_text(self) -> list[str]:
        """Return the text that each reserved id decodes to, by id."""
        return [NEWLINE, self.field_delimiter or "", *[""] * self.markers]

    def structure_text(self) -> list[str]:
        """Return what each reserved id stands for in a record with field breaks: the form in which encoding is verified."""
        return [NEWLINE, FIELD_BREAK, *[""] * self.markers]


def compute_tokenizer_digest(kind: str, token_format: TokenFormat, vocabulary: list[Any]) -> str:
    """Compute the hex SHA-256 of what a tokenizer does.

    Args:
        kind: `Tokenizer.kind`.
        token_format: how records are split.
        vocabulary: plain JSON that names every vocabulary entry in the order of ids.
    """
    meaning = {
        "kind": kind,
        **token_format.as_params(),
        "newline": NEWLINE_ID,
        "delimiter": DELIMITER_ID,
        "pieces": vocabulary,
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode("ascii")).hexdigest()


def load_params(directory: str | Path) -> dict[str, Any]:
    """Read and check `tokenizer_params.json`.

    Args:
        directory: where `Tokenizer.save` wrote.

    Returns:
        The file's content, with at least `kind` and `digest`.

    Raises:
        DataError: it is missing, damaged, foreign, or of a newer version.
    """
    path = Path(directory) / TOKENIZER_PARAMS_FILE
    params = read_json(path, "the tokenizer")
    if not isinstance(params, dict) or "kind" not in params or "digest" not in params:
        raise damaged_tokenizer_error(path)
    check_format_version(params.get("format_version"), str(path))
    return params


def token_format_from_params(params: dict[str, Any], path: Path) -> TokenFormat:
    """Return the `TokenFormat` stored in `tokenizer_params.json`.

    Args:
        params: the file's content.
        path: the file, for messages.

    Returns:
        Fields and reserved ids; the reserved ids can be shown.

    Raises:
        DataError: the content is damaged.
    """
    try:
        names = [name for name in TokenFormat.__dataclass_fields__ if name not in _OPTIONAL]
        order, differences = map(params.get, _OPTIONAL)
        token_format = TokenFormat(
            **{name: params[name] for name in names},
            field_order=None if order is None else tuple(order),
            field_differences=None if differences is None else tuple(map(tuple, differences)),
        )
        usable = _is_usable(token_format)
    except (KeyError, TypeError, ValueError, AttributeError):
        usable = False
    if not usable:
        raise damaged_tokenizer_error(path)
    return token_format


def _is_usable(stored: TokenFormat) -> bool:
    """Return whether the values have the types and ranges that the settings allow."""
    delimiter, pattern = stored.field_delimiter, stored.column_pattern
    return (
        type(stored.quoted) is bool
        and isinstance(stored.field_delimiter_token, str)
        and (delimiter is None or 0 < len(delimiter.encode()) <= MAX_DELIMITER_BYTES)
        and (delimiter is None or (NEWLINE not in delimiter and (not stored.quoted or len(delimiter) == 1)))
        and (delimiter is not None or not stored.quoted)
        and (pattern is None or (isinstance(pattern, str) and pattern.count("{}") == 1))
        and type(stored.markers) is int
        and 0 <= stored.markers <= (0 if pattern is None else MAX_MARKERS)
        and (stored.field_order is None or (delimiter is not None and _is_permutation(stored.field_order)))
        and (
            stored.field_differences is None
            or (delimiter is not None and are_differences(stored.field_differences, stored.order))
        )
    )


def _is_permutation(positions: tuple[int, ...]) -> bool:
    return all(type(position) is int for position in positions) and sorted(positions) == list(range(len(positions)))


def split_ids(ids: Sequence[int], separator: int) -> list[list[int]]:
    """Split ids at a separator, which is left out.

    Example:
        >>> split_ids([5, 1, 1, 6], 1)
        [[5], [], [6]]
    """
    parts: list[list[int]] = [[]]
    for number in ids:
        if number == separator:
            parts.append([])
        else:
            parts[-1].append(number)
    return parts


def damaged_tokenizer_error(path: Path) -> DataError:
    """Return the error for a tokenizer file that cannot be used."""
    return DataError(
        "LS201", None, f"the tokenizer file '{path}' is damaged or was not written by Linesmith", "Run tokenize again."
    )
