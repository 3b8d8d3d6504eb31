"""From the distribution of masked sampling back to that of rejection sampling: accept a record with probability ∏ Zₜ.

Under a mask a text comes out with probability ∏ pₜ / ∏ Zₜ. Accepted with probability ∏ Zₜ, the product is ∏ pₜ, which is the
law of the unmasked model on the records that the mask allows: exactly that of drawing without masks until a record is valid
(rejection sampling; von Neumann 1951).
"""

from __future__ import annotations

from linesmith.model.generation.attempts import THINNED
from linesmith.model.sampling.sample_types import Sample
from linesmith.model.sampling.uniform_random import stream_keys, uniforms
from linesmith.records.validation.record_validator import Verdict

NOT_ACCEPTED_VERDICT = Verdict(False, THINNED, "left out to keep the model's own distribution (exact_distribution)")
# A step that no record reaches: its number is spent on nothing else.
_STEP = 2**62


def survives(sample: Sample, seed: int) -> bool:
    """The verdict on a finished record, a function of its identity.

    Example:
        >>> from linesmith.model.sampling.sample_types import SampleRequest
        >>> survives(Sample(SampleRequest(0, 0), "a", "newline", survival=1.0), 7)
        True
        >>> survives(Sample(SampleRequest(0, 0), "a", "newline", survival=0.0), 7)
        False
    """
    keys = stream_keys(seed, [sample.request.index], [sample.request.attempt])
    return bool(uniforms(keys, [_STEP], 1)[0, 0] < sample.survival)
