"""Value types of the sampler: requests, samples and settings. Nothing here imports TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SampleRequest:
    """One attempt at one record.

    Attributes:
        index: number of the record in the run.
        attempt: number of the attempt at that index.
        prefix: ids of the record's start string, without a leading `<n>`.
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
    """

    request: SampleRequest
    text: str
    finish_reason: str
    error: str | None = None
    acceptance_probability: float = 1.0


@dataclass(frozen=True)
class DrawSettings:
    """How tokens are drawn. Text is a function of these, the request, the model and the masks.

    Attributes:
        seed: seed of the run.
        temperature: divisor of the logits; 0 takes the likeliest token.
        gen_chars: a record is cut after so many characters, its start string included; 0: no such limit.
        top_k: draw from the k likeliest tokens only; 0: from all.
        top_p: draw from the fewest tokens whose probabilities sum to this share; 1: from all.
    """

    seed: int = 0
    temperature: float = 1.0
    gen_chars: int = 0
    top_k: int = 0
    top_p: float = 1.0


@dataclass(frozen=True)
class SamplerOptions:
    """How a sampler is set up.

    Attributes:
        matmul_precision: 'auto', 'float32', 'bfloat16' or 'int8' for the matrix products of the recurrence.
        field_aware: mask what no record of the training data's shape contains.
        schema: an Avro schema as JSON text whose types the fields must have, or None.
        inferred_schema: the types that training inferred, in the same form, where records that lack them are invalid; None:
            nothing is judged by them.
        field_count: number of fields of every record, where the configuration and not the model knows it.
        block_rows: most rows of a block; None: chosen by cores and memory. Text does not depend on it.
    """

    matmul_precision: str = "auto"
    field_aware: bool = True
    schema: str | None = None
    field_count: int | None = None
    block_rows: int | None = None
    inferred_schema: str | None = None
