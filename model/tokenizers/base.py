"""What every tokenizer promises, and the ids that mean the same in all of them.

A record is `<n> field <d> field … <n>`: id 0 ends and begins a record, id 1 stands between fields. Where a column pattern
is set, a marker id follows the `<n>` or `<d>` before each field. The rest belongs to the tokenizer. Reserved ids never
come from text, so text that happens to contain "<n>" or "<d>" is encoded like any other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

NEWLINE_TOKEN = "<n>"  # how id 0 is shown


class Tokenizer(ABC):
    """Text to ids and back, exactly: `decode_from_ids(encode_to_ids(text)) == text` for every text it can encode."""

    field_delimiter: str | None
    quoted: bool

    @property
    @abstractmethod
    def total_vocab_size(self) -> int:
        """Number of ids, reserved ones included: ids are 0 … total_vocab_size − 1."""

    @abstractmethod
    def encode_to_ids(self, text: str) -> list[int]:
        """Ids of a record, or of the beginning of one, without the surrounding `<n>`; markers included.

        Raises:
            TokenizerError: a character is not in the vocabulary; the message gives its code point, never the text.
        """

    @abstractmethod
    def decode_from_ids(self, ids: Sequence[int]) -> str:
        """Text of ids; `<d>` gives the delimiter, `<n>` a newline, markers nothing.

        Raises:
            TokenizerError: ids that are not text: an id out of range, a cut UTF-8 sequence, a broken escape.
        """

    @property
    @abstractmethod
    def never_sampled(self) -> Sequence[int]:
        """Ids that a model must never emit: those that no record contains."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """Hex SHA-256 of what the tokenizer does: pieces and settings, not file bytes."""

    @abstractmethod
    def save(self, directory: str | Path) -> None:
        """Write `tokenizer_params.json` and what it needs beside it; no pickle."""
