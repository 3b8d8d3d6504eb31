"""Decide whether a sampled record is valid, and if not, why: a stable reason and an explanation for a person.

Reasons, in the order in which they are checked:

| reason      | meaning                                                                  |
|-------------|--------------------------------------------------------------------------|
| utf8        | the sampled ids end inside a character                                   |
| escape      | the sampled ids end inside an escape sequence                            |
| length      | the record reached the length cap from training without ending           |
| empty       | the record has no text                                                   |
| open_quote  | a quoted field is not closed                                             |
| field_count | another number of fields than expected (only if a number is expected)    |
| schema:F:T  | field F is not a value of type T of the output's schema                  |
| rule:F:K    | field F breaks a rule of kind K (`linesmith.records.validation.rules`)   |
| timeout     | the validator did not answer in time                                     |
| validator   | the validator returned False or raised                                   |
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from linesmith.core.errors import ParameterError
from linesmith.records.fields import FREE_TEXT, FieldFormat
from linesmith.records.validation.validator_faults import describe_exception, is_deferred

if TYPE_CHECKING:
    from linesmith.model.sampling.sampler import Sample

Validator = Callable[[str], object]


class ValidatorLoader(Protocol):
    """Picklable description of a validator, which workers load."""

    def load(self) -> Validator:
        """Return the validator; runs or imports the code that it needs."""
        ...


class BatchValidator(ABC):
    """A validator that checks many texts at a time, for which that is cheaper than one by one."""

    @abstractmethod
    def validate_batch(self, texts: Sequence[str]) -> list[ValidationResult]:
        """Return results in the order of the texts, each the same as if its text were checked alone."""

    def __call__(self, text: str) -> ValidationResult:
        """Return the result for one record."""
        return self.validate_batch([text])[0]


_SAMPLE_ERRORS = {
    "utf8": "the sampled ids end inside a character",
    "escape": "the sampled ids end inside an escape sequence",
}


@dataclass(frozen=True)
class ValidationResult:
    """Result of checking one record.

    Attributes:
        valid: True or False; None if nothing checked the record.
        reason: a word of the table above; None unless `valid` is False.
        explain: a sentence for a person; None unless `valid` is False. It may quote a validator's message about the record.
        fault: what the validator raised, without a word of the record; None where it raised nothing.
    """

    valid: bool | None
    reason: str | None = None
    explain: str | None = None
    fault: str | None = None


@dataclass(frozen=True)
class RecordValidator:
    """Checks finished samples. The same sample always gets the same result, provided that the validator is a pure function.

    Attributes:
        validator: called with the text of a record. False or an exception: invalid; a ValidationResult: that result; anything
            else, None included: valid. None: no validator.
        field_count: number of fields that a record must have; None: any.
        fields: how a record is split; needs a delimiter if `field_count` is given.

    Example:
        >>> from linesmith.model.sampling.sampler import Sample, SampleRequest
        >>> check = RecordValidator(field_count=2, fields=FieldFormat(","))
        >>> check(Sample(SampleRequest(0, 0), "a,b", "newline")).valid
        True
        >>> check(Sample(SampleRequest(0, 0), "a,b,", "newline"))
        ValidationResult(valid=False, reason='field_count', explain='3 fields instead of 2', fault=None)
        >>> RecordValidator()(Sample(SampleRequest(0, 0), "a", "newline"))
        ValidationResult(valid=None, reason=None, explain=None, fault=None)
    """

    validator: Validator | None = None
    field_count: int | None = None
    fields: FieldFormat = FREE_TEXT

    def __call__(self, sample: Sample) -> ValidationResult:
        """Return the result for one sample."""
        return self.validate_batch([sample])[0]

    def validate_batch(self, samples: Sequence[Sample]) -> list[ValidationResult]:
        """Check samples. The validator is called once, with all that have the right shape.

        Args:
            samples: finished samples.

        Returns:
            Results in the order of the samples.
        """
        faults = [self._shape_fault(sample) for sample in samples]
        well_formed = [sample.text for sample, fault in zip(samples, faults, strict=True) if fault is None]
        if self.validator is None:
            # A field count is a check, too; without any check nothing is known about the record.
            valid = None if self.field_count is None else True
            results = iter([ValidationResult(valid)] * len(well_formed))
        else:
            results = iter(run_validator_batch(self.validator, well_formed))
        return [next(results) if fault is None else fault for fault in faults]

    def _shape_fault(self, sample: Sample) -> ValidationResult | None:
        """Return what is wrong with a sample before a validator is called; None if nothing is."""
        if sample.error is not None:
            return ValidationResult(
                False, sample.error, _SAMPLE_ERRORS.get(sample.error, "the sampled ids are not text")
            )
        if sample.finish_reason == "length":
            return ValidationResult(False, "length", "the record reached the length cap without ending")
        if sample.text == "":
            return ValidationResult(False, "empty", "the record is empty")
        if self.fields.ends_inside_quotes(sample.text):
            return ValidationResult(False, "open_quote", "a quoted field is not closed")
        if self.field_count is not None and self.fields.delimiter is not None:
            found = count_fields(sample.text, self.fields)
            if found != self.field_count:
                return ValidationResult(False, "field_count", f"{found} fields instead of {self.field_count}")
        return None


def count_fields(text: str, fields: FieldFormat) -> int:
    """Return the number of fields of a record; 0 if it cannot be split (a quoted field beyond the csv module's limit)."""
    try:
        return len(fields.split(text))
    except csv.Error:
        return 0


def run_validator_batch(validator: Validator, texts: Sequence[str]) -> list[ValidationResult]:
    """Run a validator on records: at once if it is a `BatchValidator`, else one by one.

    Args:
        validator: the validator.
        texts: records.

    Returns:
        Results in the order of the texts.
    """
    if isinstance(validator, BatchValidator):
        return validator.validate_batch(texts)
    return [run_validator(validator, text) for text in texts]


def run_validator(validator: Validator, text: str) -> ValidationResult:
    """Run a validator on one record; exceptions that it raises become results, that of `sys.exit` too.

    Raises:
        ParameterError: LS107, it returns a coroutine, another awaitable or a generator, and thus no answer.
    """
    try:
        answer = validator(text)
    except (
        Exception,
        SystemExit,
    ) as error:  # a validator that exits would end the command, and print what it was given
        message = str(error)
        explain = type(error).__name__ + (f": {message}" if message else "")
        return ValidationResult(False, "validator", explain, describe_exception(error, text))
    if is_deferred(answer):
        if isinstance(answer, Coroutine):
            answer.close()  # or Python warns that it was never awaited
        raise ParameterError(
            "LS107",
            "--line-validator (line_validator)",
            f"it returned a {type(answer).__name__} in place of an answer",
            "Give a plain function that returns True or False, or raises.",
        )
    if isinstance(answer, ValidationResult):
        return answer
    # Not `is False`, which would accept numpy's False; not truthiness, because None, 0 and "" mean valid.
    if isinstance(answer, bool | np.bool_) and not answer:
        return ValidationResult(False, "validator", "the validator returned False")
    return ValidationResult(True)
