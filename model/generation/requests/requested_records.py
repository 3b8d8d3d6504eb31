"""Records for requests that come in any order and any grouping, as the elements of a pipeline do.

A request names the numbers of its records, so that they are the same however often, where, and beside which others it is
answered.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from linesmith.core.config.generation import REQUEST_SETTINGS
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError, ShortfallError
from linesmith.model.generation.local_model import LocalModel
from linesmith.model.generation.requests.condition_requests import CyclicStartStrings
from linesmith.model.generation.requests.partial_records import condition_error
from linesmith.model.generation.unit_generator import generate_units
from linesmith.model.generation.work_units import StartString, WorkUnit, WorkUnitResult
from linesmith.records.output.layout import GeneratedRecord, RecordLayout

RequestKind = Literal["numbers", "seeds", "conditions"]
Given = str | tuple[tuple[str, str], ...]  # a start string, or texts by column


@dataclass(frozen=True)
class RecordRequest:
    """A request for the records `start` … `end` − 1 of a run.

    Attributes:
        start, end: the range of numbers.
        given: the start string of all of them, or texts by column; None: nothing.
    """

    start: int
    end: int
    given: Given | None = None


@dataclass(frozen=True)
class RequestAnswer:
    """The records of a request.

    Attributes:
        records: the valid ones with their numbers, in order.
        missing: how many numbers have none.
    """

    records: tuple[tuple[int, GeneratedRecord], ...]
    missing: int = 0


@dataclass
class GenerationCounts:
    """What was done for a number of requests.

    Attributes:
        records, missing, attempts, characters: as a `UnitSummary` counts them.
        seconds: wall time.
        reasons: invalid attempts by reason.
    """

    records: int = 0
    missing: int = 0
    attempts: int = 0
    characters: int = 0
    seconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, result: WorkUnitResult) -> None:
        """Add a unit."""
        self.records += len(result.valid)
        self.missing += len(result.missing)
        self.attempts += result.attempts
        self.characters += result.characters
        self.seconds += result.seconds
        self.reasons.update(result.reasons)


class RequestedRecords:
    """Generator of records for requests of one kind.

    Making it reads descriptions only; the network is loaded for the first request. One thread generates at a time.

    Args:
        config: the settings; `checkpoint_dir` is a run directory on this machine.
        kind: what requests give: numbers alone, a start string (seeds), or texts by column (conditions).
        fill: with conditions: any column may be given, and none of the others is left empty.
        skip_missing: a request that no record can be made for is answered by none, instead of an error.

    Attributes:
        layout: how a record becomes a row.

    Raises:
        ParameterError: a setting cannot work.
        DataError: there is no usable model.
    """

    def __init__(
        self, config: TensorFlowConfig, kind: RequestKind, *, fill: bool = False, skip_missing: bool = False
    ) -> None:
        if kind != "numbers":
            config = config.replace(**dict.fromkeys((*REQUEST_SETTINGS, "start_strings_field")))
        if kind == "conditions":
            config = config.replace(**{"impute" if fill else "where_file": kind})
        self._skip_missing = skip_missing
        self._copies = config.records_per_seed
        self._model = LocalModel(config, typed=True)
        self._setup = self._model.worker_setup(config.line_validator, 0)
        attempts = replace(self._setup.settings, max_invalid=None, keep_invalid=1)
        if skip_missing:
            attempts = replace(attempts, min_valid_rate=0.0)
        self._setup = replace(self._setup, settings=attempts)
        self._starts = self._common_starts(config) if kind == "numbers" else ()
        if kind == "conditions":
            conditions, self._encoder, _ = self._model.condition_encoder()
            self._allowed = conditions.allowed
        output = self._model.output
        self._filler = output.filler
        self.layout: RecordLayout = replace(output.output_layout, start_string_per_record=kind != "numbers")
        self._generate: Callable[[Sequence[WorkUnit]], Iterator[WorkUnitResult]] | None = None
        self._lock = threading.Lock()

    def answers(
        self, requests: Sequence[RecordRequest], counts: GenerationCounts | None = None
    ) -> dict[RecordRequest, RequestAnswer]:
        """Return the records of each distinct request.

        Args:
            requests: in any order; those whose numbers overlap give different things.
            counts: what is done is added.

        Raises:
            ParameterError: LS108, LS132, what is given cannot be part of a record.
            ShortfallError: LS502, LS503, records are missing.
        """
        answers: dict[RecordRequest, RequestAnswer] = {}
        pending = sorted(dict.fromkeys(requests), key=lambda request: (request.start, request.end))
        with self._lock:
            while pending:
                pending = self._answer_disjoint(pending, answers, GenerationCounts() if counts is None else counts)
        return answers

    def _answer_disjoint(
        self, pending: list[RecordRequest], answers: dict[RecordRequest, RequestAnswer], counts: GenerationCounts
    ) -> list[RecordRequest]:
        """Answer requests whose numbers do not overlap, as one number is at work once at a time; return the others."""
        taken: list[RecordRequest] = []
        left: list[RecordRequest] = []
        for request in pending:
            (left if taken and request.start < taken[-1].end else taken).append(request)
        units = [self._unit(number, request) for number, request in enumerate(taken)]
        if self._generate is None:
            self._generate = self._load()
        for result in self._generate(units):
            counts.add(result)
            self._check(result)
            answers[taken[result.unit.number]] = self._answer(result)
        return left

    def _load(self) -> Callable[[Sequence[WorkUnit]], Iterator[WorkUnitResult]]:
        validator = None if self._setup.validator is None else self._setup.validator.load()
        sampler = self._setup.open_sampler(None)
        record_validator = replace(self._setup.record_validator, validator=validator)
        return lambda units: generate_units(sampler, units, self._setup.settings, record_validator)

    def _common_starts(self, config: TensorFlowConfig) -> tuple[StartString, ...]:
        """Return the start strings that the records have in turn.

        Raises:
            ParameterError: LS108, each record would have its own.
        """
        starts, paired = (
            self._model.encode_conditions() if config.has_conditions else self._model.encode_start_strings(None)
        )
        if paired:
            raise ParameterError(
                "LS108",
                None,
                "start strings or conditions of a list or a file",
                "Give them as elements of the pipeline.",
            )
        return starts

    def _unit(self, number: int, request: RecordRequest) -> WorkUnit:
        starts = self._starts
        if request.given is not None:
            starts = (self._encode(request.given),)
        elif len(starts) > 1:
            starts = CyclicStartStrings(starts, request.start, request.end)  # type: ignore[assignment]
        return WorkUnit(number, request.start, request.end, starts)

    def _encode(self, given: Given) -> StartString:
        if isinstance(given, str):
            try:
                return self._model.encode_start_string(given, "seeds")
            except ParameterError:
                if not self._skip_missing:
                    raise
                return StartString(given, (), "start_string")
        row = {name: text for name, text in given if text != ""}
        unknown = next((name for name in row if name not in self._allowed), None)
        if unknown is not None:
            raise condition_error(
                "conditions",
                f"column {unknown!r} cannot be given",
                f"The columns that can are {', '.join(self._allowed)}.",
            )
        return next(self._encoder.encode_rows([row]))

    def _check(self, result: WorkUnitResult) -> None:
        """Raise where records are missing and none may be."""
        if self._skip_missing or not (result.missing or result.stopped):
            return
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(result.reasons.items()))
        found = (
            f"{len(result.missing)} of the records {result.unit.start} to {result.unit.end - 1} are missing: no attempt was "
            f"valid (invalid attempts by reason: {reasons or 'none'})"
        )
        remedy = "Train longer, correct what is given, or skip such records (missing='skip')."
        if result.stopped:
            raise ShortfallError("LS503", None, found, remedy)
        raise ShortfallError("LS502", None, found, remedy)

    def _answer(self, result: WorkUnitResult) -> RequestAnswer:
        records = []
        for outcome in result.valid:
            text = outcome.text if self._filler is None else self._filler.text(outcome.index, outcome.text)
            start = result.unit.start_string_of(outcome.index).text
            records.append((outcome.index, GeneratedRecord(text, start, outcome.index // self._copies)))
        return RequestAnswer(tuple(records), len(result.missing))
