"""A run directory as the Python interface needs it: start strings, what judges records, and their stream.

`linesmith.model.generation.python_api` has the functions that people call.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.artifacts.run_directory import run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError, ShortfallError, TooManyInvalidError
from linesmith.model.generation.attempts import Outcome
from linesmith.model.generation.from_config import attempt_settings, open_sampler, sampler_options
from linesmith.model.generation.output_plan import plan_output
from linesmith.model.generation.start_string_encoding import encode_start_strings, resolve_start_strings
from linesmith.model.generation.work_units import StartString, UnitResult, WorkUnit
from linesmith.model.generation.worker_pool import Engine, run_units
from linesmith.model.tokenizers import tokenizer_from_model_dir
from linesmith.model.tokenizers.base import Tokenizer
from linesmith.records.fields import GenText
from linesmith.records.validation.record_checks import RecordCheckSpec
from linesmith.records.validation.record_validator import Judge, Validator
from linesmith.records.validation.user_validator import InProcessValidator, ValidatorSource, pickled_validator_source
from linesmith.records.validation.validator_process import close_validator_processes


class LocalModel:
    """A model to generate with, on the CPUs of this machine.

    Args:
        config: the settings.
        validator_timeout: as for `generate_text`.

    Raises:
        DataError: there is no usable model.
    """

    def __init__(self, config: TensorFlowConfig, validator_timeout: float | None = None) -> None:
        self._config = config
        self._timeout = validator_timeout
        self._run = run_directory(config)
        self._info = read_model_info(self._run.root)
        self._trained = config_from_model_dir(self._run.root)
        self._delimiter, self._quoted = self._trained.field_delimiter, self._trained.quoted
        self._root = str(self._run.root.absolute())
        self._tokenizer: Tokenizer | None = None

    def requested(self, start_string: str | Sequence[str] | None) -> tuple[str | list[str] | None, str]:
        """The start strings that are meant, and the option they came from."""
        if start_string is None:
            return resolve_start_strings(self._config)
        wanted = start_string if isinstance(start_string, str) else list(start_string)
        if not isinstance(wanted, str) and not all(isinstance(text, str) for text in wanted):
            raise ParameterError("LS108: start_string must be text or a list of texts.", code="LS108")
        return resolve_start_strings(self._config.replace(start_string=wanted, start_strings_file=None))

    def starts(self, start_string: str | Sequence[str] | None) -> tuple[tuple[StartString, ...], bool]:
        """Start strings with their ids, and whether each record has its own."""
        wanted, option = self.requested(start_string)
        if wanted is None:
            return (), False
        if self._tokenizer is None:
            self._tokenizer = tokenizer_from_model_dir(self._root)
        texts = [wanted] if isinstance(wanted, str) else wanted
        return encode_start_strings(texts, self._tokenizer, option, self._info.field_count), not isinstance(wanted, str)

    def engine(self, line_validator: Validator | str | None, max_invalid: int) -> Engine:
        config = self._config
        judge, checks = self._checks(line_validator)
        settings = attempt_settings(config, max_invalid, keep_invalid=None)
        sampler = functools.partial(
            open_sampler, self._root, config.checkpoint, sampler_options(config, judge.field_count)
        )
        return Engine(sampler, settings, judge, None if checks.is_empty else checks)

    def _checks(self, line_validator: Validator | str | None) -> tuple[Judge, RecordCheckSpec]:
        """What judges records, by their shape and otherwise. What is wrong with it is said here, where the caller sees it."""
        config, timeout = self._config, self._timeout
        if timeout is not None:
            config = config.replace(validator_timeout=timeout)
        # What only concerns written files has no say here.
        config = config.replace(output_format=["text"], iceberg_table=None, iceberg_catalog=None, partition_by=None)
        if isinstance(line_validator, str):
            config = config.replace(line_validator=line_validator)
        given: ValidatorSource | InProcessValidator | None = None
        if line_validator is not None and not isinstance(line_validator, str):
            given = _given(line_validator, by_value=timeout is not None and timeout > 0)
        output = plan_output(config, self._run, self._info, self._trained, False, self._directory, given)
        if not output.checks.typed and not output.checks.rules:
            return Judge(), output.checks
        layout = output.layout
        return Judge(None, output.field_count, layout.delimiter, layout.quoted), output.checks

    def _directory(self) -> Path:
        """A directory that goes with this object."""
        made = tempfile.mkdtemp(prefix="linesmith-")
        weakref.finalize(self, shutil.rmtree, made, True)
        return Path(made)

    def stream(
        self,
        engine: Engine,
        units: Iterator[WorkUnit],
        workers: int,
        max_invalid: int,
        on_settled: Callable[[], None] = lambda: None,
    ) -> Generator[GenText, None, None]:
        """GenText of all units' outcomes by index and attempt; `on_settled` is told before a record and after a failure."""
        invalid = missing = 0
        results = run_units(engine, units, workers)
        try:
            for result in results:
                for outcomes in _by_index(result):
                    for outcome in outcomes:
                        if outcome.reason is None:
                            on_settled()
                        yield GenText(outcome.valid, outcome.text, outcome.explain, self._delimiter, self._quoted)
                        invalid += outcome.reason is not None
                        if invalid > max_invalid:
                            raise TooManyInvalidError(_too_many(max_invalid))
                    if result.stopped is None and outcomes[-1].reason is not None:
                        missing += 1
                        on_settled()
                if result.stopped == "rate":
                    raise ShortfallError(
                        f"Less than {engine.settings.min_valid_rate:.4g} of the attempts are valid (min_valid_rate): the "
                        "generation was ended. Train longer, or look at the invalid records."
                    )
        finally:
            results.close()
            close_validator_processes()
        if missing:
            raise ShortfallError(
                f"{missing} records are missing: none of their {engine.settings.max_attempts} attempts (max_attempts) was "
                "valid. All others were generated."
            )


def _given(validator: Validator, *, by_value: bool) -> ValidatorSource | InProcessValidator:
    if not callable(validator):
        raise ParameterError(
            f"LS107: line_validator is of type {type(validator).__name__} and cannot be called; give a function that takes "
            "the text of a record.",
            code="LS107",
        )
    return pickled_validator_source(validator) if by_value else InProcessValidator(validator)


def _by_index(result: UnitResult) -> Iterator[list[Outcome]]:
    """The outcomes of each index of a unit, in order of attempt."""
    found: dict[int, list[Outcome]] = {index: [] for index in range(result.unit.start, result.unit.end)}
    for outcome in [*result.invalid, *result.valid]:  # the valid one is an index's last
        found[outcome.index].append(outcome)
    yield from found.values()


def _too_many(max_invalid: int) -> str:
    return (
        f"More than {max_invalid} invalid records (max_invalid). The invalid records that were yielded say why in `explain`; "
        "train longer, mend the validator, or allow more."
    )
