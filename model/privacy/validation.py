"""Losses by which private training may stop early and choose its weights: of public records, or noised and charged.

Noised loss. A unit of the validation side (a record; or a user, by the mean over its records) contributes the nats per token
of its own text, clipped to [0, L], so that adding or removing it moves the sum by at most L (the sensitivity). Gaussian noise
of standard deviation z·L is added to the sum once, and the sum is divided by the public expected number of units, never by
their actual number. What is charged per evaluation is one Gaussian mechanism over the validation side; the plan says how many
evaluations are permitted and what they cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from linesmith.core.errors import ParameterError
from linesmith.model.privacy.dp_sgd.clipped_sum import CLIP_MARGIN
from linesmith.model.privacy.noise import add_noise
from linesmith.model.privacy.plan import NoisedValidationPlan
from linesmith.model.privacy.secret_key import SecretKey
from linesmith.model.privacy.users import UserIndex
from linesmith.model.tf_function import graph
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.training.backpropagation import token_losses
from linesmith.model.training.batches import Batch, physical_batches, row_counts
from linesmith.model.training.language_model import LanguageModel, sum_token_losses
from linesmith.model.training.token_store import TokenStore, in_memory_token_store


class NoisedValidation:
    """Measures a noised loss of the validation side. Every result is a release that must have been charged before.

    Args:
        model: the network; measured with dropout off.
        store: validation records; may be empty.
        plan: noise, clipping and divisor.
        key: key of the noise.
        users: records by user; None where each record is a unit.
        row_counts: numbers of rows of a batch, by its number of steps, from `proven_row_counts`: no record changes the bits of
            another's loss.
        seq_length: tokens of a record that count, as in training.
        dtype: type of the operands of products, for which the numbers of rows were proven.
    """

    def __init__(
        self,
        model: LanguageModel,
        store: TokenStore,
        plan: NoisedValidationPlan,
        key: SecretKey,
        *,
        users: UserIndex | None,
        row_counts: Mapping[int, Sequence[int]],
        seq_length: int,
        dtype: tf.DType,
    ) -> None:
        self._store, self._plan, self._key, self._users = store, plan, key, users
        self._row_counts, self._seq_length = row_counts, seq_length

        def losses(rows: dict[str, tf.Tensor]) -> tf.Tensor:
            return token_losses(list(map(tf.convert_to_tensor, model.trainable_variables)), rows, dtype)

        self._losses, self._layout = graph(losses, input_signature=[Batch.tensor_specs(model.slots)]), model.layout

    def measure(self, evaluation: int) -> float:
        """Return the noised mean loss in nats per token.

        It may be below 0 or above L: the noise is not cut off.

        Args:
            evaluation: number of the evaluation, which determines the noise; the same number repeats the release.
        """
        plan = self._plan
        seed = self._key.seed("validation", evaluation)
        noised = add_noise(self.clipped_sum(), plan.noise_multiplier * plan.loss_clip, seed)
        return float(noised) / plan.expected_units

    def clipped_sum(self) -> float:
        """Compute the sum before noise, to which a unit contributes between 0 and L. It must not be released."""
        ranks, weights = self._ranks_and_weights()
        most = self._plan.loss_clip * (1 - CLIP_MARGIN)  # so that rounding of losses and sum stays within the claimed L
        total = 0.0
        for part, batch in physical_batches(
            self._store,
            ranks,
            counts_of=self._row_counts.__getitem__,
            seq_length=self._seq_length,
            layout=self._layout,
        ):
            by_token = self._losses(batch.to_tensors()).numpy()[:, : len(part)]
            losses = by_token.sum(axis=0, dtype=np.float64) / batch.weights[:, : len(part)].sum(axis=0)
            # A loss that is not finite counts as the largest one.
            clipped = np.where(np.isfinite(losses), np.clip(losses, 0, most), most)
            total += float(clipped @ weights[part])
        return total

    def _ranks_and_weights(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the ranks of the records that take part, and the weight of each in the mean of its unit."""
        if self._users is None:
            return np.arange(len(self._store)), np.ones(len(self._store))
        users = np.arange(len(self._users))
        counts = self._users.counts(users)
        return self._users.records_of(users), np.repeat(1 / counts, counts)


class PublicValidation:
    """Measures public records, which costs nothing: no private record is looked at.

    Args:
        model: the network; measured with dropout off.
        store: the public records, at least one.
        batch_size: rows computed at once.
        seq_length: tokens of a record that count.
    """

    def __init__(self, model: LanguageModel, store: TokenStore, *, batch_size: int, seq_length: int) -> None:
        self._store, self._counts, self._seq_length = store, row_counts(batch_size), seq_length
        specs = Batch.tensor_specs(model.slots)
        self._sums, self._layout = (
            graph(lambda rows: sum_token_losses(model, rows), input_signature=[specs]),
            model.layout,
        )

    def measure(self) -> tuple[float, float]:
        """Return the loss in nats per token and the accuracy, over all tokens."""
        ranks = np.arange(len(self._store))
        totals = np.zeros(3)
        for _, batch in physical_batches(
            self._store,
            ranks,
            counts_of=lambda _: self._counts,
            seq_length=self._seq_length,
            layout=self._layout,
        ):
            totals += [float(part) for part in self._sums(batch.to_tensors())]
        return totals[0] / totals[2], totals[1] / totals[2]


def load_public_token_store(path: str | Path, tokenizer: Tokenizer) -> TokenStore:
    """Read a public text, one record per line, into a token store in memory.

    Args:
        path: a UTF-8 file; empty lines are skipped.
        tokenizer: encodes the records.

    Raises:
        ParameterError: it cannot be read as UTF-8, or holds no record.
    """
    try:
        lines = Path(path).read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError):
        lines = []
    records = [tokenizer.encode_to_ids(line.rstrip("\r")) for line in lines if line.rstrip("\r")]
    if not records:
        raise ParameterError(
            "LS313",
            f"--dp-public-validation '{path}'",
            "not UTF-8 text with at least one record",
            "Give a public file of records, one per line, or another --dp-validation.",
        )
    return in_memory_token_store(records, sum(len(line) + 1 for line in lines if line))
