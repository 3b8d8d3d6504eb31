"""A run directory as the Python interface uses it: start strings, validation, and the stream of records.

The public functions are in `linesmith.model.generation.python_api`.
"""

from __future__ import annotations

import functools
import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.params import read_stored_config
from linesmith.core.artifacts.privacy_statement import check_statement
from linesmith.core.artifacts.run_directory import run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError, ShortfallError, TooManyInvalidError
from linesmith.model.generation.attempts import AttemptOutcome
from linesmith.model.generation.from_config import attempt_settings, open_sampler, sampler_options, with_model_defaults
from linesmith.model.generation.output_plan import OutputPlan, plan_output
from linesmith.model.generation.requests.condition_requests import (
    check_whole_records,
    condition_notices,
    condition_settings,
    conditioned_starts,
)
from linesmith.model.generation.requests.conditions import ConditionEncoder, ConditionSettings
from linesmith.model.generation.requests.partial_records import condition_error, iter_partial_records
from linesmith.model.generation.requests.start_string_encoding import encode_start_strings, resolve_start_strings
from linesmith.model.generation.requests.start_string_files import find_start_string_files
from linesmith.model.generation.work_units import StartString, WorkUnit, WorkUnitResult
from linesmith.model.generation.worker_pool import WorkerSetup, run_units
from linesmith.model.sampling.masks import token_automaton
from linesmith.model.tokenizers import tokenizer_from_model_dir
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.records.fields import GenText
from linesmith.records.roles.filler import RecordFiller
from linesmith.records.validation.record_validator import RecordValidator, Validator
from linesmith.records.validation.user_validator import (
    InProcessValidator,
    ValidatorSource,
    check_validator,
    pickled_validator_source,
)
from linesmith.records.validation.validator_process import close_validator_processes

_log = logging.getLogger("linesmith")


class LocalModel:
    """A trained model that generates on the CPUs of this machine.

    Args:
        config: the settings.
        validator_timeout: as in `generate_text`.
        typed: records are judged by the types of their columns, as the stage judges those of typed output.

    Raises:
        DataError: there is no usable model, or its privacy statement is of others.
    """

    def __init__(
        self, config: TensorFlowConfig, validator_timeout: float | None = None, *, typed: bool = False
    ) -> None:
        self._timeout = validator_timeout
        self._typed = typed
        self._run = run_directory(config)
        self._info = read_model_info(self._run.root)
        self._config = with_model_defaults(config, self._info)
        self._trained = read_stored_config(self._run.root)[0]
        check_statement(self._run.root, config.checkpoint)
        self._delimiter, self._quoted = self._trained.field_delimiter, self._trained.quoted
        self._root = str(self._run.root.absolute())
        self._tokenizer: Tokenizer | None = None
        self._filler: RecordFiller | None = None

    def resolve_start_strings(self, start_string: str | Sequence[str] | None) -> tuple[str | list[str] | None, str]:
        """Return the start strings, those of the configuration where none are given, and the option they came from."""
        if start_string is None:
            return resolve_start_strings(self._config)
        start_strings = start_string if isinstance(start_string, str) else list(start_string)
        if not isinstance(start_strings, str) and not all(isinstance(text, str) for text in start_strings):
            raise ParameterError("LS108", "start_string", "neither text nor a list of texts", "Give one or the other.")
        return resolve_start_strings(self._config.replace(start_string=start_strings, start_strings_file=None))

    def encode_start_strings(self, start_string: str | Sequence[str] | None) -> tuple[tuple[StartString, ...], bool]:
        """Return the start strings with their ids, and whether each record has its own."""
        start_strings, option = self.resolve_start_strings(start_string)
        if start_strings is None:
            return (), False
        texts = [start_strings] if isinstance(start_strings, str) else start_strings
        encoded = encode_start_strings(texts, self.tokenizer, option, self._info.field_count)
        return encoded, isinstance(start_strings, list)

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, loaded once."""
        if self._tokenizer is None:
            self._tokenizer = tokenizer_from_model_dir(self._root)
        return self._tokenizer

    def encode_conditions(self) -> tuple[tuple[StartString, ...], bool]:
        """Return the conditions of the configuration as start strings, and whether each record has its own.

        Without that, the records have them in turn.

        Raises:
            ParameterError: LS132, a condition or a file cannot be used.
        """
        config = self._config
        settings, encoder, output = self.condition_encoder()
        path = config.where_file if config.impute is None else config.impute
        if path is None:
            starts = conditioned_starts(config, settings, encoder, output)
        else:
            starts = tuple(
                start
                for start in encoder.encode_rows(self._partial_records(path, settings))
                for _ in range(config.records_per_seed)
            )
            if not starts:
                raise condition_error(settings.option, "it holds no record", "Write at least one.")
        for notice in condition_notices(config, settings, encoder.counts, None if path else encoder):
            _log.warning(notice)
        return starts, path is not None

    def condition_encoder(self) -> tuple[ConditionSettings, ConditionEncoder, OutputPlan]:
        """Return what may be given of a record, what encodes it, and the plan of the output that it is judged by.

        Raises:
            ParameterError: LS132, the model cannot be asked for this.
        """
        # Neither rules nor a validator play a part here; the records are judged by them later.
        config = self._config.replace(line_validator=None, rules=None, validation_rules=None)
        output = self._plan_output(config, None)
        settings = condition_settings(config, self._info, output)
        options = sampler_options(config, self._info, output.field_count, output.inferred_schema)
        automaton = token_automaton(self.tokenizer, self._info, options)
        return settings, ConditionEncoder(settings, self.tokenizer, automaton), output

    def encode_start_string(self, text: str, option: str) -> StartString:
        """Return a start string with its ids.

        Args:
            text: the start string.
            option: what it came from, for messages.

        Raises:
            ParameterError: LS108, no record can begin with it.
        """
        return encode_start_strings([text], self.tokenizer, option, self._info.field_count)[0]

    def _partial_records(self, path: str, settings: ConditionSettings) -> Iterator[dict[str, str]]:
        for file in find_start_string_files(path, option=settings.option.partition(" ")[0], error=condition_error):
            table = settings.checks.table
            yield from iter_partial_records(file, settings.option, settings.allowed, self._delimiter, table=table)

    def worker_setup(self, line_validator: Validator | str | None, max_invalid: int) -> WorkerSetup:
        """Return what a worker needs to generate.

        Args:
            line_validator: as in `generate_text`.
            max_invalid: most invalid records.

        Raises:
            ParameterError: the validator, the rules or the schema cannot be used.
        """
        config = self._config
        record_validator, output = self._checks(line_validator)
        checks, self.output = output.checks, output
        check_whole_records(config, self._info)
        settings = attempt_settings(config, max_invalid, keep_invalid=None, ordered=self._info.condition_on is not None)
        options = sampler_options(config, self._info, record_validator.field_count, output.inferred_schema)
        sampler = functools.partial(open_sampler, self._root, config.checkpoint, options)
        return WorkerSetup(sampler, settings, record_validator, None if checks.is_empty else checks)

    def _checks(self, line_validator: Validator | str | None) -> tuple[RecordValidator, OutputPlan]:
        """Return what validates records: by their shape, and by types, rules and the validator. Errors are raised at the call."""
        config, timeout = self._config, self._timeout
        if timeout is not None:
            config = config.replace(validator_timeout=timeout)
        if isinstance(line_validator, str):
            config = config.replace(line_validator=line_validator)
        validator: ValidatorSource | InProcessValidator | None = None
        if line_validator is not None and not isinstance(line_validator, str):
            validator = _validator_source(line_validator, by_value=timeout is not None and timeout > 0)
        output = self._plan_output(config, validator)
        checks = output.checks
        self._filler = output.filler
        needs_shape = checks.check_types or checks.rules or checks.table is not None or config.has_conditions
        if not (self._typed or needs_shape or output.filler is not None):
            return RecordValidator(), output
        return RecordValidator(None, output.field_count, output.layout.fields), output

    def _plan_output(
        self, config: TensorFlowConfig, validator: ValidatorSource | InProcessValidator | None
    ) -> OutputPlan:
        # Settings of output files do not apply here.
        config = config.replace(
            output_format=["parquet" if self._typed else "text"],
            output_header=False,
            iceberg_table=None,
            iceberg_catalog=None,
            partition_by=None,
        )
        output = plan_output(config, self._run, self._info, self._trained, False, self._directory, validator)
        for notice in output.notices:
            _log.warning("%s", notice)
        return output

    def _directory(self) -> Path:
        """Make a directory that is removed with this object."""
        made = tempfile.mkdtemp(prefix="linesmith-")
        weakref.finalize(self, shutil.rmtree, made, True)
        return Path(made)

    def stream(
        self,
        setup: WorkerSetup,
        units: Iterator[WorkUnit],
        workers: int,
        max_invalid: int,
        on_record_done: Callable[[], None] = lambda: None,
    ) -> Generator[GenText, None, None]:
        """Yield all units' outcomes by index and attempt.

        Args:
            setup: from `worker_setup`.
            units: units of work.
            workers: number of processes; 1: this process.
            max_invalid: most invalid records.
            on_record_done: called for each index when it is done: just before its valid record, or after its last failure.

        Raises:
            TooManyInvalidError: after the record that exceeds `max_invalid`.
            ShortfallError: too few attempts are valid, or, at the end, some indices have no record.
        """
        invalid = missing = 0
        fault: str | None = None
        results = run_units(setup, units, workers)
        try:
            for result in results:
                for outcomes in _by_index(result):
                    for outcome in outcomes:
                        if outcome.reason is None:
                            on_record_done()
                        text = outcome.text
                        if self._filler is not None and outcome.reason is None:
                            text = self._filler.text(outcome.index, text)
                        yield GenText(outcome.valid, text, outcome.explain, self._delimiter, self._quoted)
                        invalid += outcome.reason is not None
                        fault = fault or outcome.fault
                        if invalid > max_invalid:
                            raise _too_many_invalid(max_invalid, fault)
                    if result.stopped is None and outcomes[-1].reason is not None:
                        missing += 1
                        on_record_done()
                if result.stopped == "rate":
                    raise ShortfallError(
                        "LS503",
                        None,
                        f"less than {setup.settings.min_valid_rate:.4g} of the attempts are valid (min_valid_rate), so "
                        f"generation was ended{_fault_clause(fault)}",
                        "Train longer, or look at the invalid records.",
                    )
        finally:
            results.close()
            close_validator_processes()
        if missing:
            raise ShortfallError(
                "LS502",
                None,
                f"{missing} records are missing: none of their {setup.settings.max_attempts} attempts (max_attempts) was valid"
                f"{_fault_clause(fault)}",
                "All others were generated. Train longer, or look at the invalid records.",
            )


def _validator_source(validator: Validator, *, by_value: bool) -> ValidatorSource | InProcessValidator:
    if not callable(validator):
        raise ParameterError(
            "LS107",
            "line_validator",
            f"a {type(validator).__name__}, which cannot be called",
            "Give a function that takes the text of a record.",
        )
    check_validator(validator, str(InProcessValidator(validator).identity["option"]))
    return pickled_validator_source(validator) if by_value else InProcessValidator(validator)


def _by_index(result: WorkUnitResult) -> Iterator[list[AttemptOutcome]]:
    """Yield the outcomes of each index of a unit, in order of attempt."""
    found: dict[int, list[AttemptOutcome]] = {index: [] for index in range(result.unit.start, result.unit.end)}
    for outcome in [*result.invalid, *result.valid]:  # the valid attempt of an index is its last
        found[outcome.index].append(outcome)
    yield from found.values()


def _fault_clause(fault: str | None) -> str:
    """Return a clause about the first exception that the validator raised; empty where it raised none."""
    return "" if fault is None else f"; the first exception of the validator was {fault}"


def _too_many_invalid(max_invalid: int, fault: str | None) -> TooManyInvalidError:
    return TooManyInvalidError(
        "LS504",
        f"--max-invalid (max_invalid) {max_invalid}",
        f"more invalid records than this{_fault_clause(fault)}",
        "The invalid records that were yielded say why in `explain`. Train longer, correct the validator, or allow more.",
    )
