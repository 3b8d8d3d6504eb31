"""Losses by which private training may stop early and pick its weights: of a public file, or noised and charged.

The noised loss. A unit of the validation side (a record; or a user, by the mean over its records) contributes the nats a token
of its own text, clipped to [0, L], so that adding or removing it moves the sum by at most L. Gaussian noise of z·L is
added to the sum once, and the sum is divided by the public expected number of units, never by how many there are. An
evaluation is one Gaussian mechanism over the validation side; the plan says how many are permitted and what they cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from linesmith.core.errors import ParameterError
from linesmith.model.privacy.dp_sgd.clipped_sum import CLIP_MARGIN
from linesmith.model.privacy.noise import standard_normal
from linesmith.model.privacy.plan import NoisedValidationPlan
from linesmith.model.privacy.poisson_sampling import physical_batches
from linesmith.model.privacy.secret_key import SecretKey
from linesmith.model.privacy.users import UserIndex
from linesmith.model.tf_function import graph
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.training.batches import Batch
from linesmith.model.training.language_model import LanguageModel, token_losses
from linesmith.model.training.token_store import TokenStore
from linesmith.records.fields import NEWLINE_ID


class NoisedValidation:
    """Measures the validation side. Every result is a release that must have been charged before.

    Args:
        model: the network; measured with dropout off.
        store: validation records; may be empty.
        plan: noise, clipping and divisor.
        key: of the noise.
        users: whose the records are; None where each one stands for itself.
        batch_size: rows computed at once.
        seq_length: tokens of a record that count, as in training.
    """

    def __init__(
        self,
        model: LanguageModel,
        store: TokenStore,
        plan: NoisedValidationPlan,
        key: SecretKey,
        *,
        users: UserIndex | None,
        batch_size: int,
        seq_length: int,
    ) -> None:
        self._store, self._plan, self._key, self._users = store, plan, key, users
        self._batch_size, self._seq_length = batch_size, seq_length
        self._losses = graph(lambda rows: record_losses(model, rows), input_signature=[Batch.specs()])

    def measure(self, evaluation: int) -> float:
        """The noised mean loss in nats a token. May be below 0 or above L: it is not rounded to what is plausible.

        Args:
            evaluation: names the noise; the same number repeats the release.
        """
        plan = self._plan
        noise = float(standard_normal([], tf.constant(self._key.seed("validation", evaluation), tf.int64)))
        return (self.clipped_sum() + plan.noise_multiplier * plan.loss_clip * noise) / plan.expected_units

    def clipped_sum(self) -> float:
        """The sum before noise: a unit contributes between 0 and L. Not to be released."""
        ranks, weights = self._taking_part()
        order = np.argsort(-np.minimum(self._store.lengths[ranks] - 1, self._seq_length), kind="stable")
        total = 0.0
        for start in range(0, len(order), self._batch_size):
            part = order[start : start + self._batch_size]
            # Sorted by length already, so that a batch keeps the order it is given.
            (batch,) = physical_batches(
                self._store, ranks[part], batch_size=self._batch_size, seq_length=self._seq_length
            )
            losses = self._losses(batch.tensors()).numpy()[: len(part)].astype(np.float64)
            # What is no number counts as the worst there is.
            most = self._plan.loss_clip * (1 - CLIP_MARGIN)  # rounding of losses and sum stays below what is claimed
            clipped = np.where(np.isfinite(losses), np.clip(losses, 0, most), most)
            total += float(clipped @ weights[part])
        return total

    def _taking_part(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Ranks of the records that count, and what share of their unit each is."""
        if self._users is None:
            return np.arange(len(self._store)), np.ones(len(self._store))
        everybody = np.arange(len(self._users))
        counts = self._users.counts(everybody)
        return self._users.records_of(everybody), np.repeat(1 / counts, counts)


class PublicValidation:
    """Measures public records: free, since nothing of the private ones is looked at.

    Args:
        model: the network; measured with dropout off.
        store: the public records.
        batch_size: rows computed at once.
        seq_length: tokens of a record that count.
    """

    def __init__(self, model: LanguageModel, store: TokenStore, *, batch_size: int, seq_length: int) -> None:
        self._store, self._batch_size, self._seq_length = store, batch_size, seq_length
        self._sums = graph(lambda rows: token_losses(model, rows), input_signature=[Batch.specs()])

    def measure(self) -> tuple[float, float]:
        """Loss in nats a token and accuracy, over all tokens."""
        everything = np.arange(len(self._store))
        batches = physical_batches(self._store, everything, batch_size=self._batch_size, seq_length=self._seq_length)
        totals = np.zeros(3)
        for batch in batches:
            totals += [float(part) for part in self._sums(batch.tensors())]
        return totals[0] / totals[2], totals[1] / totals[2]


def record_losses(model: LanguageModel, rows: dict[str, Any]) -> Any:
    """Nats a token of each row's own tokens, [B]; 0 for a row of padding. No operation mixes rows."""
    logits = model(rows["inputs"])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(rows["targets"], logits) * rows["weights"]
    return tf.math.divide_no_nan(tf.reduce_sum(losses, axis=0), tf.reduce_sum(rows["weights"], axis=0))


def load_public_token_store(path: str | Path, tokenizer: Tokenizer) -> TokenStore:
    """The records of a public text, one a line, in memory.

    Raises:
        ParameterError: LS301, it cannot be read as UTF-8, or holds no record.
    """
    try:
        lines = Path(path).read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError):
        lines = []
    records = [tokenizer.encode_to_ids(line.removesuffix("\r")) for line in lines if line.removesuffix("\r")]
    if not records:
        raise ParameterError(
            f"LS301: --dp-public-validation '{path}' is no UTF-8 text with at least one record; give a public file of records, "
            "one a line, or another --dp-validation.",
            code="LS301",
        )
    return in_memory_token_store(records, sum(len(line) + 1 for line in lines if line))


def in_memory_token_store(records: Sequence[Sequence[int]], chars: int = 0) -> TokenStore:
    """A store of records given as ids without the surrounding `<n>`, at least one, in this order."""
    whole = [np.array([NEWLINE_ID, *ids, NEWLINE_ID], np.uint32) for ids in records]
    lengths = np.array([len(ids) for ids in whole], np.int64)
    return TokenStore(np.concatenate(whole), np.cumsum(lengths) - lengths, lengths, chars)
