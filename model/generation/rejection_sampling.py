"""Rejection sampling on top of masked sampling: a record is accepted with probability ∏ Zₜ.

Under a mask a text comes out with probability ∏ pₜ / ∏ Zₜ. Accepted with probability ∏ Zₜ, the product is ∏ pₜ, which is the
distribution of the unmasked model on the records that the mask allows, exactly as if records were drawn without masks until
one is valid (von Neumann 1951).
"""

from __future__ import annotations

from linesmith.model.generation.attempts import NOT_ACCEPTED
from linesmith.model.sampling.sample_types import Sample
from linesmith.model.sampling.uniform_random import stream_keys, uniforms
from linesmith.records.validation.record_validator import ValidationResult

NOT_ACCEPTED_VERDICT = ValidationResult(
    False, NOT_ACCEPTED, "left out to keep the model's own distribution (exact_distribution)"
)
# A step that no record reaches: its uniform number is used for nothing else.
_ACCEPTANCE_STEP = 2**62


def is_accepted(sample: Sample, seed: int) -> bool:
    """Decide whether a finished record is accepted; a function of seed, index, attempt and acceptance probability.

    Example:
        >>> from linesmith.model.sampling.sample_types import SampleRequest
        >>> is_accepted(Sample(SampleRequest(0, 0), "a", "newline", acceptance_probability=1.0), 7)
        True
        >>> is_accepted(Sample(SampleRequest(0, 0), "a", "newline", acceptance_probability=0.0), 7)
        False
    """
    keys = stream_keys(seed, [sample.request.index], [sample.request.attempt])
    return bool(uniforms(keys, [_ACCEPTANCE_STEP], 1)[0, 0] < sample.acceptance_probability)
