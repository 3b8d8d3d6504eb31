"""What may be chosen of an audit, and its budget: an audit that is small is run often."""

from __future__ import annotations

from dataclasses import dataclass

from linesmith.core.errors import ParameterError

MOST_RECORDS, MOST_CANARIES, MAX_RNN_UNITS = 2_000, 1_000, 64


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """What may be chosen.

    Attributes:
        records: real records, canaries apart.
        canaries: text canaries; half of them take part.
        gradients: canary gradients.
        seed: of coins, canaries and the network. Secret draws of private training do not follow it.
        reference: train a second model without canaries, to compare losses with.
        overwrite: replace an audit that is there.
    """

    records: int = 600
    canaries: int = 400
    gradients: int = 1_000
    seed: int = 0
    reference: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, value, most in (
            ("records", self.records, MOST_RECORDS),
            ("canaries", self.canaries, MOST_CANARIES),
            ("gradients", self.gradients, MOST_CANARIES),
        ):
            if not 10 <= value <= most:
                raise ParameterError(f"LS117: --{name} is {value}; give a number from 10 to {most:,}.", code="LS117")
        if self.records + self.canaries > MOST_RECORDS:
            raise ParameterError(
                f"LS117: --records {self.records} and --canaries {self.canaries} are more than {MOST_RECORDS:,} together.",
                code="LS117",
            )
