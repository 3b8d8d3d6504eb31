"""Losses of texts under the model of a run directory, without TensorFlow: their ids are start strings that are scored."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import loky
import numpy as np
import numpy.typing as npt

from linesmith.core.artifacts.model_info import load_weights, read_model_info
from linesmith.core.errors import TokenizerError
from linesmith.model.fields.layout import layout_of_model
from linesmith.model.sampling.block import block_size_for, block_sizes_up_to
from linesmith.model.sampling.network import SamplingNetwork
from linesmith.model.sampling.request_table import (
    END_FLAG,
    PREFIX_LENGTH,
    PREFIX_OFFSET,
    REQUEST_NUMBER,
    TOKEN_LIMIT,
    idle_requests,
)
from linesmith.model.sampling.sample_types import DrawSettings
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.records.fields import NEWLINE_ID

_SCORED = DrawSettings(temperature=0, candidates=2)  # of several drafts, each is scored; nothing is drawn here
_MOST_ROWS, _STEPS = 240, 64
Floats = npt.NDArray[np.float64]


class TextLosses:
    """Losses of texts under a trained model, in float32.

    Args:
        run_dir: the run directory.
        tokenizer: of the model.

    Raises:
        DataError: the model is missing or damaged.
    """

    def __init__(self, run_dir: str | Path, tokenizer: Tokenizer) -> None:
        info = read_model_info(run_dir)
        self._tokenizer = tokenizer
        self._network = SamplingNetwork(load_weights(run_dir), info.rnn_layers, [], layout=layout_of_model(info))

    def means(self, texts: Sequence[str], seq_length: int | None = None) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Compute the mean loss of each text over its tokens, and count them.

        Args:
            texts: lines without their newline.
            seq_length: most tokens of a text that count; None: all.

        Returns:
            Nats per token of each text, [texts], infinite where the vocabulary cannot encode the text; and the number of
            tokens that count, its end included, [texts], 1 where it cannot be encoded.
        """
        means, counts = np.full(len(texts), np.inf), np.ones(len(texts), np.int64)
        ids: list[list[int]] = []
        encodable: list[int] = []
        for number, text in enumerate(texts):
            encoded = encode_or_none(self._tokenizer, text)
            if encoded is not None:
                ids.append([*encoded, NEWLINE_ID][:seq_length])
                encodable.append(number)
        threads = max(1, min(loky.cpu_count(), len(ids) // _MOST_ROWS))
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(self._log_probabilities, (ids[part::threads] for part in range(threads))))
        for part, logs in enumerate(found):
            numbers = encodable[part::threads]
            counts[numbers] = [len(record) for record in ids[part::threads]]
            means[numbers] = -logs / counts[numbers]
        return means, counts

    def _log_probabilities(self, records: Sequence[Sequence[int]]) -> Floats:
        """Return the log probability of each record's ids."""
        found = np.zeros(len(records))
        lengths = np.array([len(record) for record in records], np.int64)
        table = idle_requests(len(records))
        table[:, REQUEST_NUMBER] = np.arange(len(records))
        table[:, PREFIX_OFFSET] = np.cumsum(lengths) - lengths
        table[:, PREFIX_LENGTH] = table[:, TOKEN_LIMIT] = lengths
        prefixes = (np.array([token for record in records for token in record] or [0], np.int32), 0)
        block = self._network.idle_block(block_size_for(len(records), block_sizes_up_to(_MOST_ROWS)))
        left = len(records)
        while left:
            taken, outputs = self._network.run(block, table, prefixes, _SCORED, True, _STEPS)
            table = table[taken:]
            ended = ((outputs.tokens & END_FLAG) != 0) & (outputs.request_numbers >= 0)
            scores = outputs.prefix_log_probabilities
            if scores is not None:  # it never is: `_SCORED` asks for them
                found[outputs.request_numbers[ended]] = scores[ended]
            left -= int(ended.sum())
        return found


def encode_or_none(tokenizer: Tokenizer, text: str) -> list[int] | None:
    """Return the token ids of a text, or None where the vocabulary cannot encode it."""
    try:
        return tokenizer.encode_to_ids(text)
    except TokenizerError:
        return None
