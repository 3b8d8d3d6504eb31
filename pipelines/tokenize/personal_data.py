"""Name the columns that look like identifiers or personal data and would be learned, and refuse them where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.pipelines.public_columns import public_columns
from linesmith.records.roles.personal_data import BY_NAME, Finding, look_at_columns
from linesmith.records.roles.table_roles import key_fault

if TYPE_CHECKING:
    from linesmith.records.input.input_ranges import InputUnit
    from linesmith.records.table_format import TableFormat
    from linesmith.transforms.read_records import ReadSettings

_SAMPLED_RECORDS = 5_000
_NO_IDENTIFIERS = ("boolean", "date", "float", "null", "time", "timestamp")


def look_for_personal_data(
    config: TensorFlowConfig, units: Sequence[InputUnit], settings: ReadSettings, notices: list[str]
) -> list[Finding]:
    """Return the columns that look like personal data and are learned without a decision of the user.

    With `dp` the names of the settings are judged alone, since a look at records would tell about them.

    Args:
        config: the settings.
        units: the input.
        settings: how it is read, without the columns that are cut.
        notices: a sentence for each column is appended.

    Raises:
        DataError: LS251, `refuse_pii` is on and there are some.
    """
    if config.field_delimiter is None:
        return []
    if config.dp:
        found = look_at_columns(public_columns(config) or [], [], names_only=True)
    else:
        found = look_at_columns(*_sample(config, units, settings))
        found = [fitting for finding in found if (fitting := _fitting(finding, settings.table)) is not None]
    found = [finding for finding in found if finding.column not in config.roles]
    refuse_personal_data(config, found)
    notices.extend(map(str, found))
    return found


def _fitting(finding: Finding, table: TableFormat | None) -> Finding | None:
    """Return a finding with a role whose values the column can hold; None for one that the column's type contradicts.

    Args:
        finding: by names and texts.
        table: columns of a source with types, of which not every role makes values; None: there are only texts.
    """
    column = None if table is None or table.source is None else table.column(finding.column)
    if column is None:
        return finding
    if column.kind in _NO_IDENTIFIERS and not finding.looks_like.endswith(BY_NAME):
        return None  # the digits of a time may look like those of a telephone number
    if finding.role.startswith("key"):
        return finding if key_fault(column) is None else replace(finding, role="drop")
    is_text = column.kind == "text" and column.most_items is None and column.categories is None
    return finding if is_text or finding.role.startswith("ref") else replace(finding, role="drop")


def refuse_personal_data(config: TensorFlowConfig, found: Sequence[Finding]) -> None:
    """Refuse to learn columns that look like personal data, where `refuse_pii` is on.

    Raises:
        DataError: LS251.
    """
    if config.refuse_pii and found:
        roles = ",".join(f"{finding.column}={finding.role}" for finding in found)
        raise DataError(
            "LS251",
            "--refuse-pii",
            "; ".join(f"column '{finding.column}' looks like {finding.looks_like}" for finding in found),
            f"Give --column-role {roles}, or learn where a column is neither.",
        )


def refuse_stored_personal_data(config: TensorFlowConfig, manifest: Mapping[str, Any]) -> None:
    """Refuse training data that exist already, as `refuse_personal_data` would have.

    Args:
        config: the settings.
        manifest: of the training data.

    Raises:
        DataError: LS251, they have such columns, or nobody looked.
    """
    if not config.refuse_pii:
        return
    if "personal_data" not in manifest:
        raise DataError(
            "LS251",
            "--refuse-pii",
            "the training data here were made by a version that did not look for personal data",
            "Pass --overwrite to make them again.",
        )
    refuse_personal_data(config, [Finding(**finding) for finding in manifest["personal_data"]])


def _sample(
    config: TensorFlowConfig, units: Sequence[InputUnit], settings: ReadSettings
) -> tuple[list[str], list[list[str]]]:
    """Return the names of the learned columns and the fields of the first records; nothing where they have no fixed number."""
    from linesmith.transforms.read_records import RangeReader

    records: list[list[str]] = []
    names = config.learned_columns
    fields, cut = settings.records.fields, settings.records.cut

    def keep(record: str) -> None:
        values = fields.split_or_none(record)
        if values is not None:
            records.append(values if cut is None else cut.keep(values))

    for source in (source for unit in units for source in unit.ranges):
        limit = _SAMPLED_RECORDS - len(records)
        if limit <= 0:
            break
        limit = limit if source.limit is None else min(limit, source.limit)
        reader = RangeReader(replace(source, limit=limit), settings, on_record=keep)
        for _ in reader.batches():
            pass
        names = names or reader.count.columns
    counts = {len(record) for record in records}
    if len(counts) != 1:
        return [], []
    count = counts.pop()
    if names is None or len(names) != count:
        names = public_columns(config)
    if names is None or len(names) != count:
        names = [f"field_{number}" for number in range(count)]
    return list(names), records
