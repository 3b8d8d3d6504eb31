"""`roles.json` of training data and of a model: which columns the source had, and what stands in those that were not learned.

It holds no value of the source. Of keys there is a pattern: lengths, and classes of characters by place. With `dp` even that
comes from the settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.artifacts.manifest import FORMAT_VERSION, check_format_version
from linesmith.core.artifacts.model_info import ROLES_FILE
from linesmith.core.config.column_roles import parse_role
from linesmith.core.config.key_pattern import KeyPattern, pattern_from_dict
from linesmith.core.errors import DataError
from linesmith.records.fields import FieldFormat
from linesmith.records.roles.column_cut import ColumnCut


@dataclass(frozen=True)
class StoredRoles:
    """Columns of a source, and the roles of those that are not learned.

    Attributes:
        columns: names of all columns of the source, in order.
        roles: role by column, as text, without the paths of files.
        patterns: patterns of the keys by column.
    """

    columns: tuple[str, ...]
    roles: Mapping[str, str]
    patterns: Mapping[str, KeyPattern] = field(default_factory=dict)

    @property
    def learned(self) -> list[str]:
        """Names of the columns that the model knows."""
        return [name for name in self.columns if name not in self.roles]

    def written_columns(self, kinds: Mapping[str, str]) -> list[str]:
        """Return the names of the columns of an output.

        Args:
            kinds: kinds of the roles with which it was made, by column.
        """
        return [name for name in self.columns if kinds.get(name) != "drop"]

    def cut(self, columns: Sequence[str]) -> ColumnCut:
        """Return the cut for records of some of the columns, such as those of an output."""
        return ColumnCut.of(frozenset(self.roles), columns)

    def learned_texts(self, lines: Sequence[str], fields: FieldFormat) -> list[str]:
        """Return records of the source without the columns that were not learned.

        Args:
            lines: records with all columns.
            fields: how they are split.

        Raises:
            DataError: LS232, one has another number of fields.
        """
        cut = self.cut(self.columns)
        texts = [cut.keep_text(line, fields) for line in lines]
        if None in texts:
            raise DataError(
                "LS232",
                "records",
                f"record {texts.index(None) + 1:,} has not the {cut.count} fields that the source had",
                "Give records like those of the source.",
            )
        return [str(text) for text in texts]

    def as_dict(self) -> dict[str, Any]:
        """Return the content of the file."""
        patterns = {name: pattern.as_dict() for name, pattern in self.patterns.items()}
        return {
            "format_version": FORMAT_VERSION,
            "columns": list(self.columns),
            "roles": dict(self.roles),
            "patterns": patterns,
        }


def write_roles(directory: Path, roles: StoredRoles) -> None:
    """Write `roles.json` to a directory, atomically."""
    write_json(directory / ROLES_FILE, roles.as_dict())


def read_roles(directory: Path) -> StoredRoles | None:
    """Read `roles.json` of a directory; None where every column was learned.

    Raises:
        DataError: LS214, it is damaged or foreign; LS202, a newer Linesmith wrote it.
    """
    path = directory / ROLES_FILE
    if not path.is_file():
        return None
    stored = read_json(path, "the roles of the columns")
    try:
        check_format_version(stored["format_version"], str(path))
        roles = {str(name): str(text) for name, text in stored["roles"].items()}
        kinds = {name: parse_role(text).kind for name, text in roles.items()}
        patterns = {str(name): pattern_from_dict(one) for name, one in stored["patterns"].items()}
        columns = tuple(map(str, stored["columns"]))
        keys = {name for name, kind in kinds.items() if kind == "key"}
        if not set(roles) < set(columns) or keys != set(patterns) or "learn" in kinds.values():
            raise ValueError("roles of other columns")
        return StoredRoles(columns, roles, patterns)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            "LS214", None, f"'{path}' does not describe the roles of columns", "Restore it, or train again."
        ) from None
