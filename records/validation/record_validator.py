"""Is a sampled record valid, and if not, why: one verdict with a stable reason and an explanation a person can read.

Reasons, in the order in which they are looked for:

| reason      | meaning                                                                  |
|-------------|--------------------------------------------------------------------------|
| utf8        | the sampled ids end inside a character                                   |
| escape      | the sampled ids end inside an escape sequence                            |
| length      | the record reached the length cap learnt in training without ending      |
| empty       | the record has no text                                                   |
| field_count | another number of fields than expected (only where one is expected)      |
| schema:F:T  | field F is no value of type T of the output's schema                     |
| rule:F:K    | field F breaks a rule of kind K (`linesmith.records.validation.rules`)                          |
| timeout     | the validator did not answer in time                                     |
| validator   | the validator returned False or raised                                   |
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from linesmith.records.fields import split_fields

if TYPE_CHECKING:
    from linesmith.model.sampling.sampler import Sample

Validator = Callable[[str], object]


class ValidatorLoader(Protocol):
    """Where a validator comes from, in a form that travels to workers."""

    def load(self) -> Validator:
        """The validator; runs or imports what it needs."""
        ...


class BatchValidator(ABC):
    """A validator of ours that judges many texts at a time, where that is cheaper than one by one."""

    @abstractmethod
    def many(self, texts: Sequence[str]) -> list[Verdict]:
        """Verdicts in order, each the same as if its text were judged alone."""

    def __call__(self, text: str) -> Verdict:
        """The verdict about one record."""
        return self.many([text])[0]


_ERRORS = {
    "utf8": "the sampled ids end inside a character",
    "escape": "the sampled ids end inside an escape sequence",
}


@dataclass(frozen=True)
class Verdict:
    """What was decided about one attempt.

    Attributes:
        valid: True or False; None where nothing judged the record.
        reason: a word of the table above; None unless `valid` is False.
        explain: a sentence for a person; None unless `valid` is False. May quote what a validator said about the record.
    """

    valid: bool | None
    reason: str | None = None
    explain: str | None = None


@dataclass(frozen=True)
class Judge:
    """Decides about finished attempts. The same sample always gets the same verdict, provided the validator is a function.

    Attributes:
        validator: called with the text of a record. False or an exception: invalid; a Verdict: that; anything else, None
            included: valid.
        field_count: how many fields a record must have; None: any.
        delimiter: what separates the fields; needed where `field_count` is given.
        quoted: delimiters inside double quotes do not separate fields.

    Example:
        >>> from linesmith.model.sampling.sampler import Sample, SampleRequest
        >>> judge = Judge(field_count=2, delimiter=",")
        >>> judge(Sample(SampleRequest(0, 0), "a,b", "newline")).valid
        True
        >>> judge(Sample(SampleRequest(0, 0), "a,b,", "newline"))
        Verdict(valid=False, reason='field_count', explain='3 fields instead of 2')
        >>> Judge()(Sample(SampleRequest(0, 0), "a", "newline"))
        Verdict(valid=None, reason=None, explain=None)
    """

    validator: Validator | None = None
    field_count: int | None = None
    delimiter: str | None = None
    quoted: bool = False

    def __call__(self, sample: Sample) -> Verdict:
        return self.many([sample])[0]

    def many(self, samples: Sequence[Sample]) -> list[Verdict]:
        """Verdicts in order. The validator is asked once about all that are of the right shape."""
        verdicts = [self._fault(sample) for sample in samples]
        asked = [sample.text for sample, verdict in zip(samples, verdicts, strict=True) if verdict is None]
        if self.validator is None:
            # A count that was checked is a judgement; without any check nothing judged the record.
            rest = iter([Verdict(None if self.field_count is None else True)] * len(asked))
        else:
            rest = iter(run_validator_batch(self.validator, asked))
        return [next(rest) if verdict is None else verdict for verdict in verdicts]

    def _fault(self, sample: Sample) -> Verdict | None:
        """What is wrong with a sample before a validator is asked; None: nothing."""
        if sample.error is not None:
            return Verdict(False, sample.error, _ERRORS.get(sample.error, "the sampled ids are no text"))
        if sample.finish_reason == "length":
            return Verdict(False, "length", "the record reached the length cap without ending")
        if sample.text == "":
            return Verdict(False, "empty", "the record is empty")
        if self.field_count is not None and self.delimiter is not None:
            found = count_fields(sample.text, self.delimiter, self.quoted)
            if found != self.field_count:
                return Verdict(False, "field_count", f"{found} fields instead of {self.field_count}")
        return None


def count_fields(text: str, delimiter: str, quoted: bool) -> int:
    """Number of fields of a record; 0 where it cannot be split (a quoted field beyond the csv module's limit)."""
    try:
        return len(split_fields(text, delimiter, quoted))
    except csv.Error:
        return 0


def run_validator_batch(validator: Validator, texts: Sequence[str]) -> list[Verdict]:
    """What a validator says about records, in order: at once where it can, else one by one."""
    if isinstance(validator, BatchValidator):
        return validator.many(texts)
    return [ask(validator, text) for text in texts]


def ask(validator: Validator, text: str) -> Verdict:
    """What a validator says about a record, as a verdict."""
    try:
        answer = validator(text)
    except Exception as error:
        said = str(error)
        return Verdict(False, "validator", type(error).__name__ + (f": {said}" if said else ""))
    if isinstance(answer, Verdict):
        return answer
    # `is False` alone would let numpy's False pass.
    if isinstance(answer, bool | np.bool_) and not answer:
        return Verdict(False, "validator", "the validator returned False")
    return Verdict(True)
