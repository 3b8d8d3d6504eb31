"""Training a SentencePiece model on counted words, with the options that make decoding the exact inverse of encoding."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable

import sentencepiece

from linesmith.core.errors import DataError, VocabSizeTooSmall

_THREADS = 4  # fixed: the unigram trainer adds floats per thread, so the number of threads is part of the result
_MOST_BYTES = 2**30  # the trainer's own ceiling
_TOO_SMALL = re.compile(r"required_chars\. -?\d+ vs (\d+)")


def train_sentencepiece(
    words: Iterable[tuple[str, int]],
    *,
    vocab_size: int,
    reserved: int,
    kind: str = "bpe",
    character_coverage: float = 1.0,
) -> bytes:
    """A serialised model with at most `vocab_size − reserved` pieces.

    Training on counted words gives the same pieces as training on all lines: no piece spans two words. Bytes are pieces
    of their own, so that any text can be encoded, and the tab is a piece, since the trainer's input cannot contain it.

    Args:
        words: escaped words without tabs, with their counts, in a fixed order.
        vocab_size: ids that the tokenizer may have in all.
        reserved: ids that it uses for structure.
        kind: bpe or unigram.

    Raises:
        VocabSizeTooSmall: the characters of the data need more; the message gives the smallest size that works.
        DataError: there are no words.
    """
    model = io.BytesIO()
    rows = [f"{word}\t{count}" for word, count in words]
    if not rows:
        rows = ["0\t1"]  # records of tabs alone: their pieces are all given, but the trainer wants a word
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(rows),
            input_format="tsv",
            model_writer=model,
            model_type=kind,
            vocab_size=max(vocab_size - reserved, 1),
            hard_vocab_limit=False,
            character_coverage=character_coverage,
            byte_fallback=True,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            user_defined_symbols=["\t"],
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            max_sentence_length=_MOST_BYTES,
            num_threads=_THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        needed = _TOO_SMALL.search(str(error))
        if needed is not None:
            raise VocabSizeTooSmall(
                f"LS104: --vocab-size {vocab_size} is too small for this data: its characters, 256 bytes and the reserved "
                f"tokens need {int(needed[1]) + reserved}. Give at least that, or 0 for characters.",
                code="LS104",
            ) from None
        # The trainer's own message may quote the data.
        raise DataError(
            f"LS209: no SentencePiece model with --vocab-size {vocab_size} could be trained on this data; "
            "try another size, --sentencepiece-type bpe, or 0 for characters.",
            code="LS209",
        ) from None
    return model.getvalue()
