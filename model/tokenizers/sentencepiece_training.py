"""Train a SentencePiece model on counted words, with the options that make decoding the exact inverse of encoding."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable

import sentencepiece

from linesmith.core.errors import DataError, VocabSizeTooSmall

_THREADS = 4  # fixed: the unigram trainer adds floats per thread, so the number of threads is part of the result
_MAX_SENTENCE_BYTES = 2**30  # the largest value that the trainer takes
_TOO_SMALL = re.compile(r"required_chars\. -?\d+ vs (\d+)")


def train_sentencepiece(
    words: Iterable[tuple[str, int]],
    *,
    vocab_size: int,
    reserved_count: int,
    model_type: str = "bpe",
    character_coverage: float = 1.0,
) -> bytes:
    """Return a serialized model with at most `vocab_size − reserved_count` pieces.

    Training on counted words gives the same pieces as training on all lines, because no piece spans two words. Bytes are
    pieces of their own, so that any text can be encoded, and the tab is a piece, because the trainer's input cannot contain
    it. The same words give the same model.

    Args:
        words: escaped words without tabs, with their counts, in a fixed order.
        vocab_size: number of ids that the tokenizer may have, reserved ones included.
        reserved_count: number of reserved ids.
        model_type: `bpe` or `unigram`.
        character_coverage: share of the characters, by count, that become pieces; the rest is encoded as bytes.

    Returns:
        The bytes of a `sentencepiece.model` file.

    Raises:
        VocabSizeTooSmall: the characters of the data need more; the message gives the smallest size that works.
        DataError: there are no words.
    """
    model = io.BytesIO()
    rows = [f"{word}\t{count}" for word, count in words]
    if not rows:
        rows = ["0\t1"]  # records of tabs alone: all pieces they need are predefined, but the trainer needs a word
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(rows),
            input_format="tsv",
            model_writer=model,
            model_type=model_type,
            vocab_size=max(vocab_size - reserved_count, 1),
            hard_vocab_limit=False,
            character_coverage=character_coverage,
            byte_fallback=True,
            # No normalization, no added prefix and no removed spaces: decoding gives back exactly the text.
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            user_defined_symbols=["\t"],
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            max_sentence_length=_MAX_SENTENCE_BYTES,
            num_threads=_THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        match = _TOO_SMALL.search(str(error))
        if match is not None:
            raise VocabSizeTooSmall(
                "LS104",
                f"--vocab-size {vocab_size}",
                "too small for these data: their characters, 256 bytes and the reserved tokens need "
                f"{int(match[1]) + reserved_count}",
                "Give at least that, or 0 for characters.",
            ) from None
        # The trainer's own message may quote the data.
        raise DataError(
            "LS219",
            f"--vocab-size {vocab_size}",
            "no SentencePiece model of this size could be trained on these data",
            "Try another size, --sentencepiece-type bpe, or 0 for characters.",
        ) from None
    return model.getvalue()
