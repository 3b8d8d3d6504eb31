"""Turn lines into records: decoding, limits, and the hash that assigns each record to a split.

Everything here is a pure function of the line, so that two passes over the input, on any workers, agree.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from linesmith.core.config.privacy_checks import user_field_index
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.records.fields import FIELD_BREAK, FREE_TEXT, FieldFormat
from linesmith.records.model_form import AS_IN_THE_INPUT, ModelForm
from linesmith.records.roles.column_cut import ColumnCut

ENCODING, EMPTY, TOO_LONG, NO_USER = "encoding", "empty", "too_long", "no_user"
FIELD_COUNT, OPEN_QUOTE = "field_count", "open_quote"  # another number of fields; a quoted field that is never closed
REJECT_REASONS = (ENCODING, EMPTY, TOO_LONG, NO_USER, FIELD_COUNT, OPEN_QUOTE)
SPLIT_NAMES = ("train", "validation", "holdout")
TRAIN, VALIDATION, HOLDOUT = range(3)
VALIDATION_SHARE = 0.2
REJECT_BYTES = 1 << 16  # most bytes of a rejected line that are kept
_MAX_HASH = (1 << 64) - 1
# 2^64 divided by the golden ratio: whole multiples of it, modulo 2^64, spread as evenly as any sequence can.
_GOLDEN_STEP = 0x9E3779B97F4A7C15


class Digest(NamedTuple):
    """Three independent 64-bit numbers made from a text; equal texts have equal digests, in every run.

    Attributes:
        text_hash: identifies the text (signed, as TFRecords need it).
        split_hash: decides the split (unsigned).
        sample_level: number of leading zero bits of the third number; a share of 2^-k of all texts has level k or more.
    """

    text_hash: int
    split_hash: int
    sample_level: int


def record_digest(text: bytes) -> Digest:
    """Return the digest of a record's UTF-8 text.

    The seed of the run plays no part: a holdout record stays one if the seed changes.
    """
    return _digest(text, b"linesmith.record")


def _digest(content: bytes, purpose: bytes) -> Digest:
    # `person` separates purposes: the digest of a user tells nothing about the digest of a record with the same text.
    hashed = hashlib.blake2b(content, digest_size=24, person=purpose).digest()
    return Digest(
        int.from_bytes(hashed[:8], "big", signed=True),
        int.from_bytes(hashed[8:16], "big"),
        64 - int.from_bytes(hashed[16:], "big").bit_length(),
    )


def user_digest(text: str, user_field: int, fields: FieldFormat) -> Digest | None:
    """Return the digest of the user whose record this is, or None if the record names no user.

    Spaces around the value do not count: two spellings of one user must be protected together.

    Args:
        text: the record.
        user_field: number of the field that holds the user, from 0.
        fields: how the record is split.

    Example:
        >>> csv_fields = FieldFormat(",")
        >>> user_digest("7, ann ,x", 1, csv_fields) == user_digest("8,ann", 1, csv_fields)
        True
        >>> user_digest("9", 1, csv_fields), user_digest("9, ", 1, csv_fields)
        (None, None)
    """
    try:
        values = fields.split(text)
    except csv.Error:  # a quoted field is longer than the csv module's limit
        return None
    value = values[user_field].strip() if user_field < len(values) else ""
    if not value:
        return None
    return _digest(value.encode("utf-8", "surrogatepass"), b"linesmith.user")


@dataclass(frozen=True)
class DatasetSplitter:
    """The three-way split by hash; shares are expectations over distinct texts.

    Attributes:
        holdout_fraction: share of the holdout.
        validation: whether there is a validation split, of VALIDATION_SHARE; otherwise its records train.
    """

    holdout_fraction: float
    validation: bool

    @cached_property
    def _thresholds(self) -> tuple[int, int]:
        holdout = int(self.holdout_fraction * _MAX_HASH)
        return holdout, holdout + (int(VALIDATION_SHARE * _MAX_HASH) if self.validation else 0)

    def split_of(self, digest: Digest) -> int:
        """Return TRAIN, VALIDATION or HOLDOUT."""
        return self._side(digest.split_hash)

    def split_of_occurrence(self, digest: Digest, number: int) -> int:
        """Return the side of one occurrence of a text whose occurrences are shared out.

        The occurrences of a text are spread evenly: each side gets its share of them to within one or two, and of any three
        in a row at most one is for validation. Which lines they stand on plays no part.

        Args:
            digest: digest of the text.
            number: how many occurrences of the text precede this one in the input.
        """
        return self._side((digest.split_hash + number * _GOLDEN_STEP) & _MAX_HASH)

    def _side(self, position: int) -> int:
        holdout, validation = self._thresholds
        if position < holdout:
            return HOLDOUT
        return VALIDATION if position < validation else TRAIN


@dataclass(frozen=True)
class RecordFormat:
    """How lines become records.

    Attributes:
        encoding: a codec without a byte-order mark of its own (utf-16-le, not utf-16).
        max_line_len: most characters per record.
        fields: how a record is split into fields.
        user_field: number of the field, from 0, that names the user of a record; None if records are protected one by one.
        form: in which the model is given the fields.
        cut: columns that are taken out of every record before anything else; None: there are none.
    """

    encoding: str = "utf-8"
    max_line_len: int = 2048
    fields: FieldFormat = FREE_TEXT
    user_field: int | None = None
    form: ModelForm = AS_IN_THE_INPUT
    cut: ColumnCut | None = None

    @classmethod
    def from_config(cls, config: TensorFlowConfig) -> RecordFormat:
        """Return the format that the settings of a run describe, with the fields in the order of the input."""
        fields = FieldFormat(config.field_delimiter, config.quoted)
        return cls(config.encoding, config.max_line_len, fields, user_field_index(config))

    def mark_fields(self, text: str) -> str:
        """Return a record as the model is given it: its fields in the form of the model, with FIELD_BREAK between them."""
        return self.form.mark_for_model(self.fields.mark_breaks(text))

    def cut_columns(self, text: str) -> tuple[str, str | None]:
        """Return a record without its columns that are cut, and None, or an empty text and the reason why it is rejected."""
        if self.cut is None:
            return text, None
        kept = self.cut.keep_text(text, self.fields)
        return (kept, None) if kept else ("", FIELD_COUNT if kept is None else EMPTY)

    @cached_property
    def newline(self) -> bytes:
        """The bytes of a newline in this encoding."""
        return "\n".encode(self.encoding)

    @cached_property
    def max_bytes(self) -> int:
        """A number of bytes, a multiple of four: a longer line has too many characters, whatever they are."""
        widest = 4 if codecs.lookup(self.encoding).name.startswith(("utf-8", "utf-16", "utf-32")) else 8
        return widest * (self.max_line_len + 1)

    @cached_property
    def keep_bytes(self) -> int:
        """Bytes of a line to read: enough to decode a record, and to show a rejected line."""
        return max(self.max_bytes, REJECT_BYTES)

    def decode_line(self, content: bytes, length: int) -> tuple[str, str | None]:
        r"""Return the record of a line and None, or an empty text and the reason why the line is rejected.

        Carriage returns at the end belong to the line end, not to the record.

        Args:
            content: the line without its newline, or its first `keep_bytes` bytes.
            length: bytes of the whole line.

        Example:
            >>> RecordFormat().decode_line(b"ab\r", 3), RecordFormat().decode_line(b"\xff", 1)
            (('ab', None), ('', 'encoding'))
        """
        if length > self.max_bytes:
            return "", TOO_LONG
        try:
            text = content.decode(self.encoding)
        except UnicodeError:
            return "", ENCODING
        text = text.rstrip("\r")
        if not text:
            return "", EMPTY
        if len(text) > self.max_line_len:
            return "", TOO_LONG
        if FIELD_BREAK in text:  # an encoding with escapes of its own, such as utf-7, hid a newline
            return "", ENCODING
        return text, None
