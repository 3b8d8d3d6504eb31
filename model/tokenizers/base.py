"""The contract of every tokenizer, and what does not depend on its vocabulary.

A record is encoded as `<n> field <d> field … <n>`: id 0 (`<n>`) begins and ends a record, id 1 (`<d>`) stands between fields.
With a column pattern, a marker id follows the `<n>` or `<d>` before each field. All other ids are the vocabulary of the
tokenizer. Reserved ids never come from text: text that happens to contain "<n>" or "<d>" is encoded like any other text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from linesmith.core.artifacts.files import write_json
from linesmith.core.artifacts.manifest import FORMAT_VERSION
from linesmith.core.errors import TokenizerError
from linesmith.model.tokenizers.token_format import (
    NEWLINE,
    TOKENIZER_PARAMS_FILE,
    TokenFormat,
    compute_tokenizer_digest,
    damaged_tokenizer_error,
    load_params,
    split_ids,
    token_format_from_params,
)
from linesmith.records.fields import DELIMITER_ID, NEWLINE_ID


class Tokenizer(ABC):
    """Text to ids and back, exactly: `decode_from_ids(encode_to_ids(text)) == text` for every text it can encode.

    Attributes:
        kind: name of the kind of tokenizer in `tokenizer_params.json`.
        vocabulary_file: name of the file beside `tokenizer_params.json` that holds the vocabulary.
        token_format: how a record is split into fields, and which ids are reserved.
        field_delimiter: text between fields, or None.
        quoted: whether delimiters inside double quotes are text.
        drops_leading_space: a space that the first token of a record begins with is not part of the text.
    """

    kind: ClassVar[str]
    vocabulary_file: ClassVar[str]
    drops_leading_space: ClassVar[bool] = False

    def __init__(self, token_format: TokenFormat) -> None:
        self.token_format = token_format
        self.field_delimiter: str | None = token_format.field_delimiter
        self.quoted: bool = token_format.quoted

    @property
    @abstractmethod
    def total_vocab_size(self) -> int:
        """Number of ids, reserved ones included: ids are 0 … total_vocab_size − 1."""

    @property
    @abstractmethod
    def never_sampled(self) -> Sequence[int]:
        """Ids that a model must never emit because no record contains them."""

    @property
    def digest(self) -> str:
        """Hex SHA-256 of what the tokenizer does: its vocabulary and settings, not the bytes of its files."""
        return compute_tokenizer_digest(self.kind, self.token_format, self._vocabulary_entries())

    @abstractmethod
    def encode_to_ids(self, text: str) -> list[int]:
        """Encode a record, or the beginning of one.

        Returns:
            Ids with delimiters and markers, without the surrounding `<n>`; the fields are in the form of `token_format`.

        Raises:
            TokenizerError: a character is not in the vocabulary; the message gives its code point, never the text.
        """

    def encode_field(self, text: str, number: int) -> list[int]:
        """Encode one field, without its marker.

        Args:
            text: of the field in the form of the model; a delimiter in it must be protected by quotes.
            number: of the field in the order of the model.

        Raises:
            TokenizerError: as `encode_to_ids`.
        """
        return self.encode_to_ids(text)[1 if self.token_format.markers else 0 :]

    def decode_from_ids(self, ids: Sequence[int]) -> str:
        """Decode ids: `<d>` gives the delimiter, `<n>` a newline, and markers nothing. Fields return to their place and form.

        Raises:
            TokenizerError: an id is out of range, a UTF-8 sequence is cut, an escape sequence is broken, or a field is a
                difference and one of the two is no number.
        """
        self._check_range(ids)
        if self.token_format.differences is None:
            return self._decode(self.token_format.in_text_order(ids))
        records = split_ids(ids, NEWLINE_ID)
        fields = ([self._decode(field) for field in split_ids(record, DELIMITER_ID)] for record in records)
        return NEWLINE.join(map(self.token_format.record_text, fields))

    @abstractmethod
    def _decode(self, ids: Sequence[int]) -> str:
        """Decode ids that are in range, in their own order and form.

        Raises:
            TokenizerError: a UTF-8 sequence is cut, or an escape sequence is broken.
        """

    def save(self, directory: str | Path) -> None:
        """Write `tokenizer_params.json` and the vocabulary file; nothing is pickled."""
        self._save_vocabulary(Path(directory) / self.vocabulary_file)
        params = {
            "format_version": FORMAT_VERSION,
            "kind": self.kind,
            "total_vocab_size": self.total_vocab_size,
            "reserved_tokens": self.token_format.reserved_tokens,
            **self.token_format.as_params(),
            "digest": self.digest,
        }
        write_json(Path(directory) / TOKENIZER_PARAMS_FILE, params)

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: a file is missing, damaged or foreign.
        """
        params = load_params(directory)
        token_format = token_format_from_params(params, Path(directory) / TOKENIZER_PARAMS_FILE)
        path = Path(directory) / cls.vocabulary_file
        tokenizer = cls._load_vocabulary(path, token_format)
        if tokenizer.digest != params["digest"]:
            raise damaged_tokenizer_error(path)
        return tokenizer

    @abstractmethod
    def _vocabulary_entries(self) -> list[Any]:
        """Return plain JSON that names every entry of the vocabulary in the order of ids, for the digest."""

    @abstractmethod
    def _save_vocabulary(self, path: Path) -> None:
        """Write the vocabulary file."""

    @classmethod
    @abstractmethod
    def _load_vocabulary(cls, path: Path, token_format: TokenFormat) -> Self:
        """Read the vocabulary file.

        Raises:
            DataError: the file is missing, damaged or foreign.
        """

    def _check_range(self, ids: Sequence[int]) -> None:
        """Check that all ids are ids of this tokenizer.

        Raises:
            TokenizerError: one is not.
        """
        if len(ids) and (min(ids) < 0 or max(ids) >= self.total_vocab_size):
            raise TokenizerError(
                "LS224",
                None,
                f"an id is outside 0 … {self.total_vocab_size - 1}, the range of the tokenizer",
                "Decode ids of this tokenizer.",
            )
