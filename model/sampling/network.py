"""A trained network as sampling runs it: many steps for a block of rows in one call, without TensorFlow.

Within a call, a row that ends its record takes the next request of a table and begins it at once, from a zero state. A row's
numbers are a function of its own request: they depend neither on the rows beside it, nor on threads, nor on the processor. Sums
of integers are exact, and every operation on floats is rounded by itself, in a fixed order.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from linesmith.core.errors import DataError
from linesmith.model.fields.layout import FieldLayout
from linesmith.model.sampling import native, reference
from linesmith.model.sampling.block_state import BlockState, DrawParameters, Floats, Integers, StepOutputs
from linesmith.model.sampling.field_follower import state_width
from linesmith.model.sampling.network_weights import prepare_weights
from linesmith.model.sampling.request_table import RequestTable
from linesmith.model.sampling.sample_types import DrawSettings

_log = logging.getLogger("linesmith")


class SamplingNetwork:
    """Steps blocks of rows through the network.

    Args:
        weights: trained variables by path, as training saved them.
        layers: number of LSTM layers.
        forbidden: ids that are never drawn.
        precision: of the recurrence's products, 'float32' or 'int8'; cell state, gates and logits are float32.
        transitions: the masks' automaton, [S, vocab] int32: the next state for each state and token, or ~ of it where the
            token may not be drawn (but a start string may hold it). State 0 begins a record. None: no masks.
        chars: characters that each token begins, [vocab]; needed for limits in characters.
        layout: what the network looks up beside its last token; None for a plain network.
        steps: 'reference' for the steps in NumPy, or one of `native.instruction_sets()`; None: the best there is.

    Attributes:
        units: units of a layer, padded.
        masked: tokens are masked.

    Raises:
        DataError: weights are missing or have other shapes.
    """

    def __init__(
        self,
        weights: dict[str, Floats],
        layers: int,
        forbidden: Sequence[int],
        precision: str = "float32",
        transitions: Integers | None = None,
        chars: Integers | None = None,
        layout: FieldLayout | None = None,
        steps: str | None = None,
    ) -> None:
        by_path = {path.split("/", 1)[-1]: array for path, array in weights.items()}
        if steps is None and native.library() is None:
            _log.warning("the compiled kernel of generation was not built: NumPy takes its place, many times slower")
            steps = "reference"
        in_numpy = steps == "reference"
        multiply = reference.ordered_product if in_numpy else partial(native.ordered_product, instruction_set=steps)
        try:
            self._weights = prepare_weights(by_path, layers, forbidden, precision == "int8", multiply)
        except (KeyError, ValueError) as error:
            raise DataError(
                "LS214", None, f"the model's weights do not fit its description ({error})", "Train again."
            ) from None
        self.units, self.masked = self._weights.units, transitions is not None
        width = len(self._weights.logits_bias)
        if transitions is not None:
            # Padding tokens have no weight in any case; −1 forbids them.
            padding = ((0, 0), (0, width - transitions.shape[1]))
            transitions = np.pad(transitions, padding, constant_values=-1)
        chars = np.zeros(width, np.int32) if chars is None else np.pad(chars, (0, width - len(chars)))
        self._state_width = state_width(layout)
        given = (self._weights, transitions, chars, layout)
        self._steps: reference.ReferenceSteps | native.NativeSteps = (
            reference.ReferenceSteps(*given) if in_numpy else native.NativeSteps(*given, self._state_width, steps)
        )

    def idle_block(self, rows: int) -> BlockState:
        """Return the state of a block in which all rows are idle."""
        weights = self._weights
        return BlockState.idle(rows, self._state_width, weights.layers, weights.units, weights.kernels[0].dtype)

    def resized(self, block: BlockState, order: npt.NDArray[np.int64], rows: int) -> BlockState:
        """Return the state of a block of another size.

        Args:
            block: of any size.
            order: numbers of the rows that are kept, which come first.
            rows: the new size, at least as many.
        """
        return block.resized(order, self.idle_block(rows - len(order)))

    def run(
        self,
        block: BlockState,
        table: RequestTable,
        prefixes: tuple[Integers, int],
        settings: DrawSettings,
        prefixed: bool,
        steps: int,
    ) -> tuple[int, StepOutputs]:
        """Run some steps.

        Args:
            block: changed in place.
            table: requests that rows take, [n, REQUEST_COLUMNS].
            prefixes: ids of the start strings of all unfinished records, end to end, at least one; and the address of the first.
            settings: how tokens are drawn.
            prefixed: some records have a start string.
            steps: how many steps, at least one.

        Returns:
            How many requests of the table were taken, and what was drawn.
        """
        draw = DrawParameters.from_settings(settings, prefixed)
        outputs = np.zeros((steps, 3 + self.masked + draw.scored, len(block.rows)), np.int32)
        taken = self._steps.run(block, table, prefixes, draw, outputs)
        tokens, positions, numbers, *bits = np.moveaxis(outputs, 1, 0)
        scores = bits.pop().view(np.float32) if draw.scored else None
        probabilities = bits.pop().view(np.float32) if self.masked else None
        return taken, StepOutputs(tokens, positions, numbers, probabilities, scores)
