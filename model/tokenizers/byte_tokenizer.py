"""Bytes as tokens: a public vocabulary, the same for all data, so that it reveals nothing about any record.

Characters outside ASCII may have tokens of their own beside the bytes: of a public file, or learnt with differential privacy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.errors import TokenizerError
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.tokenizers.field_format import (
    FieldFormat,
    damaged,
    digest_of,
    field_format_from_params,
    load_params,
    save_params,
)

KIND = "bytes"
VOCABULARY = "vocabulary.json"
SIZE = 256
# In no UTF-8 text (RFC 3629, section 1), and the newline, which is in no record: known without looking at data.
NEVER = (0x0A, 0xC0, 0xC1, *range(0xF5, 0x100))


class ByteTokenizer(Tokenizer):
    """Ids are reserved ids, then the 256 bytes in order (the id of a byte is `fields.reserved` + byte), then `characters`.

    Args:
        fields: how a record falls into fields.
        characters: ascending code points outside ASCII; each is one token instead of two to four bytes.

    Every field is encoded on its own as UTF-8, so reserved ids never come from text.

    Example:
        >>> tokenizer = ByteTokenizer(FieldFormat(field_delimiter=","))
        >>> tokenizer.encode_to_ids("a,é"), tokenizer.total_vocab_size
        ([99, 1, 197, 171], 258)
        >>> tokenizer.decode_from_ids([99, 1, 197, 171])
        'a,é'
    """

    def __init__(self, fields: FieldFormat, characters: Sequence[int] = ()) -> None:
        self.fields = fields
        self._code_points = tuple(characters)
        self.field_delimiter = fields.field_delimiter
        self.quoted = fields.quoted
        single = [*(bytes([value]) for value in range(SIZE)), *(chr(point).encode() for point in self._code_points)]
        first = fields.reserved + SIZE
        self._ids = {chr(point): first + number for number, point in enumerate(self._code_points)}
        self._bytes = (*[text.encode() for text in fields.reserved_text()], *single)
        self._structure = (*[text.encode() for text in fields.structure_text()], *single)

    @property
    def total_vocab_size(self) -> int:
        return len(self._bytes)

    @property
    def pieces(self) -> Sequence[bytes]:
        """What each id writes, from the first that is not reserved."""
        return self._bytes[self.fields.reserved :]

    @property
    def never_sampled(self) -> Sequence[int]:
        """The newline and the thirteen bytes that no UTF-8 text contains."""
        return tuple(self.fields.reserved + value for value in NEVER)

    @property
    def digest(self) -> str:
        return digest_of(KIND, self.fields, [SIZE, *self._code_points])

    def encode_to_ids(self, text: str) -> list[int]:
        try:
            return self.fields.join([self._ids_of(field) for field in self.fields.split_record(text)])
        except UnicodeEncodeError as error:
            point = ord(error.object[error.start])
            raise TokenizerError(f"the character U+{point:04X} is not Unicode text", code="unknown") from None

    def _ids_of(self, field: str) -> list[int]:
        offset, known = self.fields.reserved, self._ids
        if not known or field.isascii():
            return [offset + value for value in field.encode()]
        ids: list[int] = []
        for character in field:
            number = known.get(character)
            ids += [offset + value for value in character.encode()] if number is None else [number]
        return ids

    def decode_from_ids(self, ids: Sequence[int]) -> str:
        if len(ids) and (min(ids) < 0 or max(ids) >= len(self._bytes)):
            raise TokenizerError(
                f"an id is outside 0 … {len(self._bytes) - 1}, the range of the tokenizer", code="range"
            )
        try:
            return b"".join(map(self._bytes.__getitem__, ids)).decode()
        except UnicodeDecodeError:
            raise TokenizerError("the ids end or break inside a UTF-8 sequence", code="utf8") from None

    def decode_structure(self, ids: Sequence[int]) -> str:
        """Text of many records' ids, with newlines for `<n>` and `<d>`: what encoding is verified against."""
        return b"".join(map(self._structure.__getitem__, ids)).decode()

    def save(self, directory: str | Path) -> None:
        write_json(Path(directory) / VOCABULARY, list(self._code_points))
        save_params(directory, KIND, self.fields, self.total_vocab_size, self.digest)

    @classmethod
    def load(cls, directory: str | Path) -> ByteTokenizer:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged or foreign.
        """
        params = load_params(directory)
        path = Path(directory) / VOCABULARY
        points = read_json(path, "the tokenizer's vocabulary")
        if not isinstance(points, list) or not all(type(p) is int and _is_scalar(p) for p in points):
            raise damaged(path)
        tokenizer = cls(field_format_from_params(params, path), points)
        if points != sorted(set(points)) or tokenizer.digest != params["digest"]:
            raise damaged(path)
        return tokenizer


def _is_scalar(point: int) -> bool:
    return 0x80 <= point < 0xD800 or 0xE000 <= point < 0x110000
