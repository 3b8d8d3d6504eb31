"""Initial bias of the output layer in private training: what is known of any text before a record is read.

A text uses few of the 256 bytes. Without this bias, the first hundred steps, and the privacy that they cost, would go into
unlearning the others. The bias is a public constant: it depends on the vocabulary alone, which the claim covers by itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.tokenizers.byte_tokenizer import BYTE_COUNT, ByteTokenizer

UNLIKELY_LOGIT = -4.0  # of bytes outside printable ASCII: at first each is e^-4 times as likely as a printable one
_PRINTABLE = range(0x20, 0x7F)


def initial_bias(tokenizer: Tokenizer) -> npt.NDArray[np.float32] | None:
    """Return the bias of the output layer at the start of private training.

    Characters with a token of their own count as likely: they were named in a public file, or found at a charged cost.

    Args:
        tokenizer: the vocabulary.

    Returns:
        [vocab_size], or None where the tokens are not bytes, so that nothing is known of them.

    Example:
        >>> from linesmith.model.tokenizers.token_format import TokenFormat
        >>> bias = initial_bias(ByteTokenizer(TokenFormat(field_delimiter=","), [0xE9]))
        >>> bias[[0, 1, 2 + ord("a"), 2 + 0xC3, 2 + 256]].tolist()
        [0.0, 0.0, 0.0, -4.0, 0.0]
    """
    if not isinstance(tokenizer, ByteTokenizer):
        return None
    bias = np.zeros(tokenizer.total_vocab_size, np.float32)
    for value in range(BYTE_COUNT):
        if value not in _PRINTABLE:
            bias[tokenizer.token_format.reserved_count + value] = UNLIKELY_LOGIT
    bias[list(tokenizer.token_format.unused_ids)] = UNLIKELY_LOGIT
    return bias
