"""A few records of the network as it is now, for a look while it trains.

They are drawn from the network alone: no masks, no types, no validator, so that they show what was learned. Sampling of output
(`linesmith.model.sampling`) is faster, but compiles a network of its own, which is not worth it for three records.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from linesmith.core.errors import TokenizerError
from linesmith.model.tf_function import graph
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.training.batches import Batch, make_batch
from linesmith.model.training.language_model import LanguageModel
from linesmith.model.training.token_store import in_memory_token_store
from linesmith.records.fields import NEWLINE_ID

_MOST_TOKENS = 256  # of a record: each costs a pass over all before it


class RecordPreview:
    """Draws records from a network that is being trained.

    Args:
        network: the network; its weights at each call count.
        tokenizer: its vocabulary.
        count: number of records.
        longest: most tokens of a record; a longer one is cut.
        seed: the records are a function of it, of the weights, and of the number of the epoch.
    """

    def __init__(self, network: LanguageModel, tokenizer: Tokenizer, count: int, *, longest: int, seed: int) -> None:
        self._network, self._tokenizer, self._count, self._seed = network, tokenizer, count, seed
        self._longest = min(longest, _MOST_TOKENS)
        self._logits = graph(
            lambda rows: network(rows["inputs"], rows=rows.get("rows"))[-1],
            input_signature=[Batch.tensor_specs(network.slots)],
        )

    def texts(self, epoch: int) -> list[str | None]:
        """Return the records of an epoch; None for one that the network did not write as text.

        Args:
            epoch: its number.
        """
        generator = np.random.default_rng((self._seed, epoch))
        records: list[list[int]] = [[] for _ in range(self._count)]
        unfinished = list(range(self._count))
        for _ in range(self._longest):
            drawn = self._next_ids([records[number] for number in unfinished], generator)
            for number, token in zip(unfinished, drawn, strict=True):
                if token != NEWLINE_ID:
                    records[number].append(token)
            unfinished = [number for number, token in zip(unfinished, drawn, strict=True) if token != NEWLINE_ID]
            if not unfinished:
                break
        return [self._text(ids) for ids in records]

    def _next_ids(self, records: Sequence[Sequence[int]], generator: np.random.Generator) -> list[int]:
        """Draw the next token of each record; all are of one length."""
        store = in_memory_token_store(records)
        batch = make_batch(store, np.arange(len(records)), self._network.layout)
        logits = self._logits(batch.to_tensors()).numpy().astype(np.float64)
        logits[:, list(self._tokenizer.never_sampled)] = -np.inf
        # The largest logit plus Gumbel noise is a draw from the softmax of the logits.
        drawn = np.argmax(logits + generator.gumbel(size=logits.shape), axis=1)
        return [int(token) for token in drawn]

    def _text(self, ids: list[int]) -> str | None:
        try:
            return self._tokenizer.decode_from_ids(ids)
        except TokenizerError:
            return None
