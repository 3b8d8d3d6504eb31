"""What the fields of a model's own records usually look like, after private training, where nothing is known of the data.

Only the trained network is read, which is released in any case, so this costs no privacy. Generation masks what is unusual
(`linesmith.model.sampling.masks`).
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

from linesmith.model.sampling.sample_types import DrawSettings, SampleRequest
from linesmith.model.sampling.sampler import Sampler
from linesmith.records.fields import FieldFormat
from linesmith.records.patterns.usual_texts import usual_pattern

_RECORDS = 10_000
_LEAST_WHOLE = 0.2  # share of them that must end and be text: of fewer, the shares of single texts say little


def usual_field_patterns(run_dir: str | Path, seed: int) -> list[str | None] | None:
    """Sample records from a model without patterns and return the pattern of the usual texts of each field.

    Args:
        run_dir: a run directory with the model.
        seed: of the records.

    Returns:
        Patterns in the order of the model; None for a field without usual texts; None as a whole where the number of fields is
        not known, or where too few records end.
    """
    sampler = Sampler(run_dir)
    if sampler.info.field_count is None:
        return None
    requests = deque(SampleRequest(index, 0) for index in range(_RECORDS))
    samples = [sample for sample in sampler.stream(requests, DrawSettings(seed)) if sample.finish_reason == "newline"]
    tokenizer, count = sampler.tokenizer, sampler.info.field_count
    fields = FieldFormat(tokenizer.field_delimiter, tokenizer.quoted)
    records = [fields.split_or_none(sample.text) for sample in samples if sample.error is None]
    whole = [record for record in records if record is not None and len(record) == count]
    if len(whole) < _LEAST_WHOLE * _RECORDS:
        return None
    return [usual_pattern(column) for column in zip(*map(tokenizer.token_format.form.to_model, whole), strict=True)]
