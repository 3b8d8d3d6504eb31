"""Bytes as tokens: a public vocabulary, the same for all data, so that it reveals nothing about any record.

Characters outside ASCII may have tokens of their own beside the bytes: from a public file, or learned with differential privacy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.model.tokenizers.byte_table import ByteTableTokenizer, decode_utf8, not_unicode_error
from linesmith.model.tokenizers.token_format import TokenFormat, damaged_tokenizer_error

BYTE_COUNT = 256
# The newline, which no record contains, and the 13 bytes that no UTF-8 text contains (RFC 3629, section 1): both are known
# without looking at the data.
IMPOSSIBLE_BYTES = (0x0A, 0xC0, 0xC1, *range(0xF5, 0x100))


class ByteTokenizer(ByteTableTokenizer):
    """Ids are reserved ids, then the 256 bytes in order, then `characters`.

    The id of a byte is `token_format.reserved_count` plus the byte. Every field is encoded on its own as UTF-8, so reserved
    ids never come from text.

    Args:
        token_format: how a record is split into fields.
        characters: ascending code points outside ASCII; each is one token instead of two to four bytes.

    Example:
        >>> tokenizer = ByteTokenizer(TokenFormat(field_delimiter=","))
        >>> tokenizer.encode_to_ids("a,é"), tokenizer.total_vocab_size
        ([99, 1, 197, 171], 258)
        >>> tokenizer.decode_from_ids([99, 1, 197, 171])
        'a,é'
    """

    kind = "bytes"
    vocabulary_file = "vocabulary.json"

    def __init__(self, token_format: TokenFormat, characters: Sequence[int] = ()) -> None:
        self._code_points = tuple(characters)
        single_bytes = [bytes([value]) for value in range(BYTE_COUNT)]
        super().__init__(token_format, [*single_bytes, *(chr(point).encode() for point in self._code_points)])
        first = token_format.reserved_count + BYTE_COUNT
        self._character_ids = {chr(point): first + number for number, point in enumerate(self._code_points)}

    @property
    def never_sampled(self) -> Sequence[int]:
        """Ids of the newline and of the 13 bytes that no UTF-8 text contains."""
        return tuple(self.token_format.reserved_count + value for value in IMPOSSIBLE_BYTES)

    def encode_to_ids(self, text: str) -> list[int]:
        """Encode a record, or the beginning of one; see `Tokenizer.encode_to_ids`."""
        try:
            return self.token_format.join_ids([self._ids_of(field) for field in self.token_format.split_record(text)])
        except UnicodeEncodeError as error:
            raise not_unicode_error(error) from None

    def _ids_of(self, field: str) -> list[int]:
        offset, known = self.token_format.reserved_count, self._character_ids
        if not known or field.isascii():
            return [offset + value for value in field.encode()]
        ids: list[int] = []
        for character in field:
            number = known.get(character)
            ids += [offset + value for value in character.encode()] if number is None else [number]
        return ids

    def _decode(self, ids: Sequence[int]) -> str:
        return decode_utf8(self._joined_bytes(ids))

    def _vocabulary_entries(self) -> list[Any]:
        return [BYTE_COUNT, *self._code_points]

    def _save_vocabulary(self, path: Path) -> None:
        write_json(path, list(self._code_points))

    @classmethod
    def _load_vocabulary(cls, path: Path, token_format: TokenFormat) -> Self:
        points = read_json(path, "the tokenizer's vocabulary")
        if (
            not isinstance(points, list)
            or not all(type(point) is int and _is_character_outside_ascii(point) for point in points)
            or points != sorted(set(points))
        ):
            raise damaged_tokenizer_error(path)
        return cls(token_format, points)


def _is_character_outside_ascii(point: int) -> bool:
    return 0x80 <= point < 0xD800 or 0xE000 <= point < 0x110000  # surrogates have no UTF-8 form
