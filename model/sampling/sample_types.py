"""Value types of the sampler: requests, samples and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from linesmith.records.fields import NEWLINE_ID

FREE = -1  # in a prefix: a field that is drawn freely


def filled_field(position: int) -> int:
    """Return what stands in a prefix for a field that is drawn and should not stay empty.

    Args:
        position: of the field in the text, from 0.
    """
    return FREE - 1 - position


def filled_fields(prefix: Sequence[int]) -> list[int]:
    """Return the positions in the text of the fields of a prefix that should not stay empty.

    Example:
        >>> filled_fields((5, 1, FREE, filled_field(4)))
        [4]
    """
    return [FREE - 1 - number for number in prefix if number < FREE]


def is_whole_record(prefix: Sequence[int]) -> bool:
    """Return whether a prefix leaves nothing to be drawn.

    Example:
        >>> is_whole_record((5, 1, 6, NEWLINE_ID)), is_whole_record((5, 1)), is_whole_record((FREE, 6, NEWLINE_ID))
        (True, False, False)
    """
    return bool(prefix) and prefix[-1] == NEWLINE_ID and min(prefix) >= 0


@dataclass(frozen=True)
class SampleRequest:
    """One attempt at one record.

    Attributes:
        index: number of the record in the run.
        attempt: number of the attempt at that index.
        prefix: ids of the record's start string, without a leading `<n>`. A negative one stands for a whole field that is drawn
            freely, with its `<d>`: FREE, or `filled_field(p)` for field p of the text, which should not stay empty.
    """

    index: int
    attempt: int
    prefix: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sample:
    """A finished attempt.

    Attributes:
        request: the request it answers.
        text: the record, start string included, without its newline. Empty where `error` is set.
        finish_reason: 'newline' (the model ended it), 'gen_chars' (cut by the user's limit) or 'length' (the learned cap).
        error: why the ids are no text ('utf8' or 'escape'), or None.
        acceptance_probability: the probability that the model without field-aware masks would have stayed within them all
            along this record: ∏ Zₜ, with Zₜ the share of the probability that the mask left at step t. 1 without masks.
        prefix_log_probability: log of the probability of the ids of the prefix, each given what stands before it in the record,
            where `DrawSettings.candidates` asks for it; 0 otherwise.
    """

    request: SampleRequest
    text: str
    finish_reason: str
    error: str | None = None
    acceptance_probability: float = 1.0
    prefix_log_probability: float = 0.0


@dataclass(frozen=True)
class DrawSettings:
    """How tokens are drawn. Text is a function of these, the request, the model and the masks.

    Attributes:
        seed: seed of the run.
        temperature: divisor of the logits; 0 takes the likeliest token.
        gen_chars: a record is cut after so many characters, its start string included; 0: no such limit.
        top_k: draw from the k likeliest tokens only; 0: from all.
        top_p: draw from the fewest tokens whose probabilities sum to this share; 1: from all.
        candidates: drafts of a record of which one is chosen, where what is given stands after what is drawn
            (`linesmith.model.sampling.candidates`); 1: the first one is taken.
    """

    seed: int = 0
    temperature: float = 1.0
    gen_chars: int = 0
    top_k: int = 0
    top_p: float = 1.0
    candidates: int = 1


@dataclass(frozen=True)
class SamplerOptions:
    """How a sampler is set up.

    Attributes:
        matmul_precision: 'auto', 'float32', 'bfloat16' or 'int8' for the matrix products of the recurrence.
        field_aware: mask what no record of the training data's shape contains.
        schema: an Avro schema as JSON text whose types the fields must have, or None.
        inferred_schema: the types that training inferred, in the same form, where records that lack them are invalid; None:
            nothing is judged by them.
        drafts: records that may be drawn, on average, for one that the model's discriminator keeps
            (`linesmith.model.discriminator`); 1: all are kept.
        field_count: number of fields of every record, where the configuration and not the model knows it.
        block_rows: most rows of a block; None: chosen by cores and memory. Text does not depend on it.
        steps: what runs the network's steps, as for `SamplingNetwork`; None: the best there is. Text does not depend on it.
    """

    matmul_precision: str = "auto"
    field_aware: bool = True
    schema: str | None = None
    field_count: int | None = None
    block_rows: int | None = None
    steps: str | None = None
    inferred_schema: str | None = None
    drafts: float = 1.0
