"""Vocabulary of characters, learned with differential privacy or read from a public file.

Bytes are always in the vocabulary, so every text can be encoded; what is learned is which characters outside ASCII get a token
of their own.

Mechanism. Unit: one record, added or removed. Each record contributes the presence of at most
k = `MAX_CHARACTERS_PER_RECORD` distinct characters outside ASCII, chosen by a keyed hash where it has more, so that a record
moves the vector of counts by at most sqrt(k) in L2 norm (the sensitivity). Gaussian noise of standard deviation
sigma * sqrt(k) is added once to the count of *every* such Unicode scalar value, zeros included, so that the set of counts that
exist reveals nothing. A character is taken if its noised count exceeds 6 * sigma * sqrt(k). What is charged is one Gaussian
mechanism of noise multiplier sigma over all records; the threshold is post-processing.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from linesmith.core.errors import ParameterError
from linesmith.model.privacy.noise import add_noise
from linesmith.model.privacy.secret_key import SecretKey

MAX_CHARACTERS_PER_RECORD = 32  # distinct characters outside ASCII that a record contributes at most
FIRST_NON_ASCII, SURROGATES, CODE_POINTS = 0x80, range(0xD800, 0xE000), 0x110000
_THRESHOLD = 6.0  # in standard deviations: of a million characters that occur nowhere, 0.001 are expected to pass it
# Texts that a model which adds, merges or normalizes anything does not give back.
_ROUND_TRIP_TEXTS = ("a", " a  b ", "\u212b \ufb01 \uff21", "\U0001f6f4\u4e2d")


def count_presence(texts: Iterable[str], key: bytes) -> Counter[int]:
    """Count the texts in which each code point outside ASCII occurs, with a bounded contribution of each text.

    Args:
        texts: records; each one adds 1 to at most `MAX_CHARACTERS_PER_RECORD` code points.
        key: key of the hash that chooses them where a record has more; the same for all records of a run.

    Example:
        >>> sorted(count_presence(["é is é", "è and é"], b"key").items())
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
    """Return the code points whose noised count exceeds the threshold. To be called once: each call is a release.

    Args:
        counts: from `count_presence`, summed over all records.
        noise_multiplier: sigma; 0 takes every character that occurs, and hides nothing.
        key: key of the noise.

    Returns:
        Code points outside ASCII, ascending.
    """
    scale = noise_multiplier * math.sqrt(MAX_CHARACTERS_PER_RECORD)
    exact = np.zeros(CODE_POINTS)
    for point, count in counts.items():
        exact[point] = count
    taken = add_noise(exact, scale, key.seed("vocabulary")) > _THRESHOLD * scale
    taken[:FIRST_NON_ASCII] = False
    taken[SURROGATES.start : SURROGATES.stop] = False
    return [int(point) for point in np.flatnonzero(taken)]


def public_characters(path: str | Path) -> list[int]:
    """Read the characters outside ASCII of a public text file.

    Args:
        path: a UTF-8 file.

    Returns:
        Code points, ascending.

    Raises:
        ParameterError: it cannot be read as UTF-8.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise ParameterError(
            "LS313",
            f"--dp-public-vocabulary '{path}'",
            "cannot be read as UTF-8 text",
            "Give a public file that holds the characters to expect, or a SentencePiece model whose name ends in .model.",
        ) from None
    return sorted({ord(character) for character in text if character >= "\x80"})


def public_sentencepieces(path: str | Path) -> bytes:
    """Read a public SentencePiece model that encodes every text without loss.

    Args:
        path: the serialized model.

    Returns:
        The content of the file.

    Raises:
        ParameterError: it is no such model, has no byte fallback, or normalizes text.
    """
    import sentencepiece

    from linesmith.model.tokenizers.sentencepiece_tokenizer import MAX_MODEL_BYTES

    try:
        with open(path, "rb") as stored:
            model = stored.read(MAX_MODEL_BYTES + 1)
        if len(model) > MAX_MODEL_BYTES:
            raise OSError("too long")
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        exact = any(processor.is_byte(piece) for piece in range(processor.get_piece_size())) and all(
            processor.decode(processor.encode(text)) == text for text in _ROUND_TRIP_TEXTS
        )
    except (OSError, RuntimeError):
        exact = False
    if not exact:
        raise ParameterError(
            "LS313",
            f"--dp-public-vocabulary '{path}'",
            "not a SentencePiece model that gives every text back",
            "It needs byte fallback, the identity normalizer, no dummy prefix and untouched spaces.",
        )
    return model


def _rank(point: int, key: bytes) -> bytes:
    """Return the keyed hash by which a record with too many characters chooses among them."""
    return hashlib.blake2b(point.to_bytes(4, "big"), digest_size=16, key=key).digest()
