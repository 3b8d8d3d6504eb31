"""A vocabulary of characters learnt with differential privacy, or read from a public file.

Bytes are always in the vocabulary, so every text can be encoded; what is learnt is which characters outside ASCII deserve a
token of their own.

Mechanism. Each record contributes the presence of at most k = `MAX_CHARACTERS_PER_RECORD` distinct characters outside ASCII,
chosen by a keyed hash where it has more, so that adding or removing a record moves the vector of counts by at most sqrt(k) in
L2. Gaussian noise of standard deviation sigma * sqrt(k) is added once to the count of *every* such Unicode scalar value, zeros
included, so that which counts exist tells nothing; a character whose noised count passes 6 * sigma * sqrt(k) is taken.
The cost is one Gaussian mechanism of noise multiplier sigma over all records; the threshold is post-processing.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from linesmith.core.errors import ParameterError
from linesmith.model.privacy.secret_key import SecretKey

MAX_CHARACTERS_PER_RECORD = 32  # characters outside ASCII that a record may speak for
FIRST_NON_ASCII, SURROGATES, END = 0x80, range(0xD800, 0xE000), 0x110000
_THRESHOLD = 6.0  # standard deviations: 0.001 characters are taken by chance, of a million that nobody wrote


def present(texts: Iterable[str], key: bytes) -> Counter[int]:
    """In how many of the texts each code point outside ASCII occurs, as far as each text may speak.

    Args:
        texts: records; each one adds at most 1 to at most `MAX_CHARACTERS_PER_RECORD` code points.
        key: decides which ones where a record has more; the same for all records of a run.

    Example:
        >>> sorted(present(["é is é", "è and é"], b"key").items())
        [(232, 1), (233, 2)]
    """
    counts: Counter[int] = Counter()
    for text in texts:
        points = {ord(character) for character in text if character >= "\x80"}
        if len(points) > MAX_CHARACTERS_PER_RECORD:
            points = set(sorted(points, key=lambda point: _rank(point, key))[:MAX_CHARACTERS_PER_RECORD])
        counts.update(points)
    return counts


def noised_vocabulary(counts: Mapping[int, int], noise_multiplier: float, key: SecretKey) -> list[int]:
    """Code points whose noised count passes the threshold, in ascending order. To be called once, after counting.

    Args:
        counts: from `present`, summed over all records.
        noise_multiplier: sigma; 0 takes every character that occurs, and hides nothing.
        key: of the noise.
    """
    scale = noise_multiplier * math.sqrt(MAX_CHARACTERS_PER_RECORD)
    noised = np.zeros(END)
    for point, count in counts.items():
        noised[point] = count
    words = [word % 2**64 for word in key.seed("vocabulary")]
    generator = np.random.Generator(np.random.Philox(key=np.array(words, np.uint64)))
    noised += scale * generator.standard_normal(END)
    taken = noised > _THRESHOLD * scale
    taken[:FIRST_NON_ASCII] = False
    taken[SURROGATES.start : SURROGATES.stop] = False
    return [int(point) for point in np.flatnonzero(taken)]


def public_characters(path: str | Path) -> list[int]:
    """The characters outside ASCII of a public text file, ascending.

    Raises:
        ParameterError: LS305, it cannot be read as UTF-8.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise ParameterError(
            f"LS305: --dp-public-vocabulary '{path}' cannot be read as UTF-8 text; give a public file that holds the "
            "characters to expect, or a SentencePiece model whose name ends in .model.",
            code="LS305",
        ) from None
    return sorted({ord(character) for character in text if character >= "\x80"})


def public_sentencepieces(path: str | Path) -> bytes:
    """A public SentencePiece model that gives every text back.

    Raises:
        ParameterError: LS305, it is no such model, has no byte fallback, or normalises text.
    """
    import sentencepiece

    try:
        model = Path(path).read_bytes()
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        exact = any(processor.is_byte(piece) for piece in range(processor.get_piece_size())) and all(
            processor.decode(processor.encode(text)) == text for text in _TRIALS
        )
    except (OSError, RuntimeError):
        exact = False
    if not exact:
        raise ParameterError(
            f"LS305: --dp-public-vocabulary '{path}' is no SentencePiece model that gives every text back: it needs byte "
            "fallback, the identity normaliser, no dummy prefix and untouched spaces.",
            code="LS305",
        )
    return model


_TRIALS = ("a", " a  b ", "\u212b \ufb01 \uff21", "\U0001f6f4\u4e2d")


def _rank(point: int, key: bytes) -> bytes:
    return hashlib.blake2b(point.to_bytes(4, "big"), digest_size=16, key=key).digest()
