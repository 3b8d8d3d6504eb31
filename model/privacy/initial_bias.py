"""Where private training begins: what is known of any text before any record is read.

Of the 256 bytes a text uses few. Without this, the first hundred steps, and the privacy that they cost, would go into
unlearning the others. It is a public constant: it depends on the vocabulary alone, which the claim covers by itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linesmith.model.tokenizers.base import Tokenizer
from linesmith.model.tokenizers.byte_tokenizer import SIZE, ByteTokenizer

UNLIKELY_LOGIT = (
    -4.0
)  # of a logit: so much rarer than others, e^-4, bytes outside printable ASCII are taken to be at first
_PRINTABLE = range(0x20, 0x7F)


def initial_bias(tokenizer: Tokenizer) -> npt.NDArray[np.float32] | None:
    """The last layer's bias at the start of private training; None where nothing is known of the vocabulary.

    Characters with a token of their own count as likely: they were named in public, or found at a charged cost.

    Example:
        >>> from linesmith.model.tokenizers.field_format import FieldFormat
        >>> bias = initial_bias(ByteTokenizer(FieldFormat(field_delimiter=","), [0xE9]))
        >>> bias[[0, 1, 2 + ord("a"), 2 + 0xC3, 2 + 256]].tolist()
        [0.0, 0.0, 0.0, -4.0, 0.0]
    """
    if not isinstance(tokenizer, ByteTokenizer):
        return None
    bias = np.zeros(tokenizer.total_vocab_size, np.float32)
    for value in range(SIZE):
        if value not in _PRINTABLE:
            bias[tokenizer.fields.reserved + value] = UNLIKELY_LOGIT
    bias[list(tokenizer.fields.unused)] = UNLIKELY_LOGIT
    return bias
