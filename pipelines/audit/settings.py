"""Settings of an audit and their limits, which keep it small enough to be run often."""

from __future__ import annotations

from dataclasses import dataclass

from linesmith.core.errors import ParameterError

MAX_RECORDS, MAX_CANARIES, MAX_RNN_UNITS = 2_000, 1_000, 64


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """Settings of an audit.

    Attributes:
        records: number of real records, canaries not counted.
        canaries: number of text canaries, of which about half are included.
        gradients: number of canary gradients, of which about half are included.
        seed: seed of coins, canaries and the network. The secret draws of private training do not depend on it.
        reference: train a second model without canaries, to compare losses with.
        overwrite: replace an earlier audit.

    Raises:
        ParameterError: a number is out of range.
    """

    records: int = 600
    canaries: int = 400
    gradients: int = 1_000
    seed: int = 0
    reference: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, value, most in (
            ("records", self.records, MAX_RECORDS),
            ("canaries", self.canaries, MAX_CANARIES),
            ("gradients", self.gradients, MAX_CANARIES),
        ):
            if not 10 <= value <= most:
                raise ParameterError(
                    "LS117", f"--{name} {value}", "out of range", f"Give a number from 10 to {most:,}."
                )
        if self.records + self.canaries > MAX_RECORDS:
            raise ParameterError(
                "LS117",
                f"--records {self.records} and --canaries {self.canaries}",
                f"more than {MAX_RECORDS:,} together",
                "Give fewer.",
            )
