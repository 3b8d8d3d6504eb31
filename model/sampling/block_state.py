"""What the rows of a block remember between steps, as arrays that the steps change in place, and what steps return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from linesmith.model.sampling.request_table import idle_requests
from linesmith.model.sampling.sample_types import DrawSettings

Integers = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Number = TypeVar("Number", bound=np.generic)
LANES = 16  # every width is padded to a multiple of it, the width of an AVX-512 register in float32
TILE = 48  # the rows of a block are a multiple of it: so many go through a step together

# One per row; `Row` in kernel/kernel.h. The first five are a line of the request table.
ROW = np.dtype(
    [(name, np.int64) for name in ("key", "number", "prefix_offset", "prefix_length", "token_limit")]
    + [(name, np.int32) for name in ("done", "token", "step", "automaton_state", "characters", "prefix_position")]
    + [(name, np.float32) for name in ("acceptance", "prefix_log_probability")]
)


class StepOutputs(NamedTuple):
    """Outputs of a call, step by step, [steps, R] each.

    Attributes:
        tokens: the token of each row, with `END_FLAG` set where it ends the record.
        steps: its position in the record.
        request_numbers: number of the row's request; −1 where the row is idle.
        acceptance_probabilities: ∏ Zₜ up to here; None without masks.
        prefix_log_probabilities: those of the start string up to here; None where they are not scored.
    """

    tokens: Integers
    steps: Integers
    request_numbers: Integers
    acceptance_probabilities: Floats | None
    prefix_log_probabilities: Floats | None = None


@dataclass(frozen=True)
class DrawParameters:
    """How tokens are drawn: `DrawSettings`, and what the start strings of a call need.

    Attributes:
        greedy: take the likeliest token.
        truncated: draw from the likeliest tokens only.
        characters: most characters of a record; 0: no limit.
        top_k, top_p: as in `DrawSettings`.
        inverse_temperature: one over the temperature; 1 in greedy mode.
        prefixed: some records have a start string.
        scored: sum up the log probability of the ids of start strings.
    """

    greedy: bool
    truncated: bool
    characters: int
    top_k: int
    top_p: float
    inverse_temperature: float
    prefixed: bool
    scored: bool

    @classmethod
    def from_settings(cls, settings: DrawSettings, prefixed: bool) -> DrawParameters:
        """Return the parameters of settings.

        Args:
            settings: how tokens are drawn.
            prefixed: some records have a start string.
        """
        return cls(
            greedy=settings.temperature == 0,
            truncated=settings.top_k > 0 or settings.top_p < 1,
            characters=settings.gen_chars,
            top_k=settings.top_k,
            top_p=settings.top_p,
            inverse_temperature=1.0 if settings.temperature == 0 else 1.0 / settings.temperature,
            prefixed=prefixed,
            scored=prefixed and settings.candidates > 1,
        )


class BlockState(NamedTuple):
    """State of R rows.

    Attributes:
        rows: one `ROW` each, [R].
        fields: what each row remembers of its record's fields, and looks up for its next step, [R, width].
        hidden: state of each layer, as an operand of products, [R, units] each.
        cell: cell state of each layer, [R, units] each.
    """

    rows: npt.NDArray[np.void]
    fields: Integers
    hidden: list[npt.NDArray[np.generic]]
    cell: list[Floats]

    @classmethod
    def idle(cls, rows: int, width: int, layers: int, units: int, operand: npt.DTypeLike) -> BlockState:
        """Return the state of rows that have no request.

        Args:
            rows: how many, a multiple of `TILE`.
            width: numbers that a row remembers of its fields.
            layers: of the network.
            units: of a layer, padded.
            operand: type of an operand of the products.
        """
        state = np.zeros(rows, ROW)
        for column, name in enumerate(ROW.names[:5] if ROW.names else ()):
            state[name] = idle_requests(1)[0, column]
        state["done"] = 1
        hidden: list[npt.NDArray[np.generic]] = [np.zeros((rows, units), operand) for _ in range(layers)]
        cell = [np.zeros((rows, units), np.float32) for _ in range(layers)]
        return cls(state, np.zeros((rows, width), np.int32), hidden, cell)

    def resized(self, order: npt.NDArray[np.int64], idle: BlockState) -> BlockState:
        """Return the state of the rows `order`, which come first, followed by idle ones."""

        def joined(mine: npt.NDArray[Number], more: npt.NDArray[Number]) -> npt.NDArray[Number]:
            return np.concatenate([mine[order], more])

        return BlockState(
            joined(self.rows, idle.rows),
            joined(self.fields, idle.fields),
            [joined(*pair) for pair in zip(self.hidden, idle.hidden, strict=True)],
            [joined(*pair) for pair in zip(self.cell, idle.cell, strict=True)],
        )
