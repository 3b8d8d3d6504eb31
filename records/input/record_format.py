"""What makes a line a record: decoding, limits, fields, and the hash that decides on which side of the split it falls.

Everything here is a pure function of the line, so that two passes over the input, on any workers, agree.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from linesmith.core.config.privacy_checks import user_field_index
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.records.fields import FIELD_BREAK, split_fields

ENCODING, EMPTY, TOO_LONG, NO_USER = "encoding", "empty", "too_long", "no_user"
REJECT_REASONS = (ENCODING, EMPTY, TOO_LONG, NO_USER)
SPLITS = ("train", "validation", "holdout")
TRAIN, VALIDATION, HOLDOUT = range(3)
VALIDATION_SHARE = 0.2
REJECT_BYTES = 1 << 16  # so much of a rejected line is kept
_MASK = (1 << 64) - 1


class Digest(NamedTuple):
    """Three independent 64-bit numbers of a record's text; equal texts have equal digests, in every run.

    Attributes:
        record: identifies the record (signed, as TFRecords want it).
        side: decides the split (unsigned).
        level: number of leading zero bits of the third; a share 2^-k of the texts has level k or more.
    """

    record: int
    side: int
    level: int


def digest_of(text: bytes) -> Digest:
    """Digest of a record's UTF-8 text. The run's seed is left out: a holdout record stays one when the seed changes."""
    return _digest(text, b"linesmith.record")


def _digest(content: bytes, kind: bytes) -> Digest:
    content = hashlib.blake2b(content, digest_size=24, person=kind).digest()
    return Digest(
        int.from_bytes(content[:8], "big", signed=True),
        int.from_bytes(content[8:16], "big"),
        64 - int.from_bytes(content[16:], "big").bit_length(),
    )


def user_digest(text: str, field: int, delimiter: str, quoted: bool = False) -> Digest | None:
    """Digest of whose record this is, or None where the record does not say.

    Spaces around the value do not count: two spellings of one user that are taken for one are protected together, two
    that are taken for two are not.

    Args:
        text: the record.
        field: number of the field that holds the user, from 0.
        delimiter: what separates fields.
        quoted: delimiters inside double quotes do not.

    Example:
        >>> user_digest("7, ann ,x", 1, ",") == user_digest("8,ann", 1, ","), user_digest("9", 1, ","), user_digest("9, ", 1, ",")
        (True, None, None)
    """
    try:
        values = split_fields(text, delimiter, quoted)
    except csv.Error:  # a quoted field beyond the csv module's limit
        return None
    value = values[field].strip() if field < len(values) else ""
    if not value:
        return None
    return _digest(value.encode("utf-8", "surrogatepass"), b"linesmith.user")


@dataclass(frozen=True)
class DatasetSplitter:
    """Thresholds of the three-way split; shares are expectations over texts."""

    holdout_fraction: float
    validation: bool

    @cached_property
    def _limits(self) -> tuple[int, int]:
        holdout = int(self.holdout_fraction * _MASK)
        return holdout, holdout + (int(VALIDATION_SHARE * _MASK) if self.validation else 0)

    def side(self, digest: Digest) -> int:
        """TRAIN, VALIDATION or HOLDOUT."""
        holdout, validation = self._limits
        if digest.side < holdout:
            return HOLDOUT
        return VALIDATION if digest.side < validation else TRAIN


def mark_field_breaks(text: str, delimiter: str | None, quoted: bool = False) -> str:
    r"""The record with its structural delimiters replaced by FIELD_BREAK, which no record contains.

    With `quoted`, a field that begins with a double quote runs to the closing one, as the csv module reads it; quotes are
    kept, so nothing is lost.

    Example:
        >>> mark_field_breaks('a,"b,c",', ",", quoted=True)
        'a\n"b,c"\n'
    """
    if delimiter is None:
        return text
    if not quoted or '"' not in text:
        return text.replace(delimiter, FIELD_BREAK)
    pattern, fields, position = _quoted_field(delimiter), [], 0
    while True:
        match = pattern.match(text, position)
        end = len(text) if match is None else match.end()
        fields.append(text[position:end])
        if end >= len(text):
            return FIELD_BREAK.join(fields)
        position = end + 1


def _quoted_field(delimiter: str) -> re.Pattern[str]:
    other = f"[^{re.escape(delimiter)}]"
    # After the closing quote csv reads on to the next delimiter; a quote that never closes runs to the end of the line.
    return re.compile(rf'"(?:[^"]|"")*+(?:"{other}*+)?+|{other}*+', re.DOTALL)


@dataclass(frozen=True)
class RecordFormat:
    """How lines become records.

    Attributes:
        encoding: a codec without a byte-order mark of its own (utf-16-le, not utf-16).
        max_line_len: most characters of a record.
        delimiter: what separates fields, or None.
        quoted: delimiters inside double quotes do not separate.
        user_field: number of the field, from 0, that says whose record it is; None where records are protected one by one.
    """

    encoding: str = "utf-8"
    max_line_len: int = 2048
    delimiter: str | None = None
    quoted: bool = False
    user_field: int | None = None

    @classmethod
    def of(cls, config: TensorFlowConfig) -> RecordFormat:
        number = user_field_index(config)
        return cls(config.encoding, config.max_line_len, config.field_delimiter, config.quoted, number)

    @cached_property
    def newline(self) -> bytes:
        return "\n".encode(self.encoding)

    @cached_property
    def max_bytes(self) -> int:
        """A line with more bytes than this has more characters than allowed, whatever they are; a multiple of four."""
        widest = 4 if codecs.lookup(self.encoding).name.startswith(("utf-8", "utf-16", "utf-32")) else 8
        return widest * (self.max_line_len + 1)

    @cached_property
    def keep(self) -> int:
        """Bytes of a line to read: enough to judge it, and to show it in the rejects."""
        return max(self.max_bytes, REJECT_BYTES)

    def decode_line(self, content: bytes, length: int) -> tuple[str, str | None]:
        r"""The record of a line, or ('', reason) where it is none. One trailing carriage return belongs to the line's end.

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
        if text.endswith("\r"):
            text = text[:-1]
        if not text:
            return "", EMPTY
        if len(text) > self.max_line_len:
            return "", TOO_LONG
        if FIELD_BREAK in text:  # an encoding with escapes of its own, such as utf-7, hid a newline
            return "", ENCODING
        return text, None
