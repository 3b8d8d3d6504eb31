"""Check the counts of a pass over the input before anything else is done with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from linesmith.core.errors import DataError

if TYPE_CHECKING:
    from linesmith.transforms.read_records import RangeCount


def check_counts(counts: Sequence[RangeCount], max_reject_rate: float) -> None:
    """Refuse damaged input, input without records, and too many rejects, before further passes.

    Raises:
        DataError: LS206, LS207, LS218; LS231, a record spans several lines.
    """
    from linesmith.records.input.input_files import damaged_file_error
    from linesmith.transforms.read_records import total_rejected

    for count in counts:
        if count.damaged:
            raise damaged_file_error(count.file, "packed")
    _refuse_spanning_records(counts)
    accepted = sum(count.accepted for count in counts)
    reasons = total_rejected(counts)
    rejected = sum(reasons.values())
    reasons_text = ", ".join(f"{reason} {number}" for reason, number in reasons.items()) or "none"
    where = next((f"; the first one in '{count.file}'" for count in counts if count.rejected), "")
    if not accepted and not rejected:
        raise DataError(
            "LS207", "--input", "holds no record: there is no line, or only a header", "Give a file with records."
        )
    if not accepted:
        raise DataError(
            "LS207",
            "--input",
            f"holds no record: all of its {rejected} lines were rejected ({reasons_text}{where})",
            "Look at --encoding, --max-line-len, and, for field_count, at --columns and --header.",
        )
    if rejected > max_reject_rate * (accepted + rejected):
        raise DataError(
            "LS218",
            "--input",
            f"{rejected} of {accepted + rejected} lines were rejected ({reasons_text}{where}), more than --max-reject-rate "
            f"{max_reject_rate:g} allows",
            "Correct the input, or allow more.",
        )


def _refuse_spanning_records(counts: Sequence[RangeCount]) -> None:
    """Refuse input with records that span several lines: half a record must not be learned.

    Raises:
        DataError: LS231, with the number of the first line of the first such record of a file.
    """
    lines: dict[str, int] = {}  # of each file, in the ranges before
    for count in counts:
        before = lines.get(count.file, count.skipped)
        if count.spanning:
            raise DataError(
                "LS231",
                "--quoted",
                f"line {before + count.spanning} of '{count.file}' begins a quoted field that ends on a later line, and a "
                "record is one line",
                "Give --input-format csv, with which a record may span lines; or replace line ends inside quotes by spaces.",
            )
        lines[count.file] = before + count.lines
