"""Generating from Python: `generate_text` and `SeedingGenerator` yield `GenText`, in order, on the CPUs of this machine.

The records of a seed are the same for any parallelism, and the same as those of the `generate` stage for equal settings
and an equal validator. (The stage also checks the field count; here only the caller's validator judges.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

from model.config import TensorFlowConfig
from model.config_io import config_from_model_dir
from model.errors import ParameterError, ShortfallError, TooManyInvalidError
from model.gen_text import GenText
from model.generation_setup import open_sampler, sampler_options, unit_settings
from model.ledger import Outcome
from model.local_pool import Engine, run_units, worker_count
from model.run_dir import run_directory
from model.start_strings import encode_starts, requested_starts
from model.tokenizers import tokenizer_from_model_dir
from model.tokenizers.base import Tokenizer
from model.trained_model import read_model_info
from model.validation import Validator
from model.validators import ValidatorSource, validator_source
from model.work_units import StartString, UnitResult, WorkUnit, plan_units

# Records in a unit: small, so that the first ones come soon and workers share even a short run. Fixed, so that an abort by
# rate falls on the same record for any parallelism.
CHUNK = 256
_DEFAULT_MAX_INVALID = 1000


def generate_text(
    config: TensorFlowConfig,
    start_string: str | Sequence[str] | None = None,
    line_validator: Validator | str | None = None,
    max_invalid: int | None = None,
    num_lines: int | None = None,
    parallelism: int | float = 0,
) -> Iterator[GenText]:
    """Generate records with the model in `config.checkpoint_dir`.

    Args:
        config: names the run directory and holds the generation settings (seed, gen_temp, gen_chars, max_attempts, …); what
            belongs to the model is read from the run directory.
        start_string: begins every record; a list gives one valid record each, in order, and `num_lines` is ignored. Default:
            the configuration's.
        line_validator: called with each record's text. False or an exception: invalid; None, True or anything else: valid.
            May be a lambda, a closure or an import path. Without one `valid` is None.
        max_invalid: most invalid records; default the configuration's, else max(1000, number of lines). 0 is a value.
        num_lines: records that are not invalid; default `config.gen_lines`.
        parallelism: 0 all CPUs, n so many, 1 none (in this process), −n all but n, a float a share of them.

    Returns:
        An iterator over GenText by index and attempt: invalid ones are among them and do not count. Closing it ends the
        workers. The model is loaded when the first record is asked for.

    Raises:
        ParameterError: an argument that cannot work (at the call).
        DataError: there is no usable model.
        TooManyInvalidError: after the record that exceeds `max_invalid` (while iterating).
        ShortfallError: a GenerationError, at the end, when records are missing because their attempts are used up.
    """
    model = _Model(config)
    starts, paired = model.starts(start_string)
    lines = config.gen_lines if num_lines is None else _whole("num_lines", num_lines)
    count = len(starts) if paired else lines
    ceiling = _ceiling(config, max_invalid, count)
    workers = min(worker_count(parallelism), -(-count // CHUNK))
    units = iter(plan_units(count, CHUNK, starts, paired))
    return model.stream(model.engine(line_validator, ceiling), units, workers, ceiling)


@dataclass
class SeedingSettings:
    """Attributes:
    start_string: the live list of start strings that have no record yet.
    """

    start_string: list[str] = field(default_factory=list)


class SeedingGenerator(Iterator[GenText]):
    """One valid record for each start string, in order.

    `settings.start_string` is the live list: a start string leaves it just before its valid record is yielded, so that what
    is left can be tried again after a break. Start strings appended while iterating are taken up; other changes are refused.

    Args:
        config, line_validator, max_invalid, parallelism: as for `generate_text`; `max_invalid` defaults by the first list.
        seed_list: the start strings; default the configuration's.

    Raises:
        ParameterError, DataError, TooManyInvalidError, ShortfallError: as `generate_text`.
    """

    def __init__(
        self,
        config: TensorFlowConfig,
        *,
        seed_list: Sequence[str] | None = None,
        line_validator: Validator | str | None = None,
        max_invalid: int | None = None,
        parallelism: int | float = 0,
    ) -> None:
        self._model = _Model(config)
        asked, _ = self._model.requested(seed_list)
        if asked is None or isinstance(asked, str):
            raise ParameterError("LS108: seed_list is missing: give a list of start strings.", code="LS108")
        self._model.starts(asked)  # all errors that can be known are told here
        self.settings = SeedingSettings(list(asked))  # ours to empty
        self._units = _LiveUnits(self.settings.start_string, lambda taken: self._model.starts(taken)[0])
        ceiling = _ceiling(config, max_invalid, len(asked))
        workers = min(worker_count(parallelism), -(-len(asked) // CHUNK))
        engine = self._model.engine(line_validator, ceiling)
        self._stream = self._model.stream(engine, self._units, workers, ceiling, self._settled)

    def __next__(self) -> GenText:
        return next(self._stream)

    def close(self) -> None:
        """End the workers."""
        self._stream.close()

    def _settled(self) -> None:
        live, ahead = self.settings.start_string, self._units.ahead
        if not live or live is not self._units.live or live[0] != ahead[0]:
            raise ParameterError(
                "LS108: settings.start_string was changed other than by appending while records were being generated; begin a "
                "new SeedingGenerator with the changed list.",
                code="LS108",
            )
        del live[0], ahead[0]


class _LiveUnits(Iterator[WorkUnit]):
    """Units over a list that may grow. Unlike a generator, it goes on when there is more after it had ended."""

    def __init__(self, live: list[str], encode: Callable[[list[str]], tuple[StartString, ...]]) -> None:
        self.live = live
        self.ahead: list[str] = []  # in a unit, and not yet settled
        self._encode = encode
        self._number = self._start = 0

    def __next__(self) -> WorkUnit:
        taken = self.live[len(self.ahead) : len(self.ahead) + CHUNK]
        if not taken:
            raise StopIteration
        unit = WorkUnit(self._number, self._start, self._start + len(taken), self._encode(taken))
        self.ahead += taken
        self._number, self._start = self._number + 1, self._start + len(taken)
        return unit


class _Model:
    """A run directory as the Python interface needs it."""

    def __init__(self, config: TensorFlowConfig) -> None:
        self._config = config
        root = run_directory(config).root
        self._info = read_model_info(root)
        trained = config_from_model_dir(root)
        self._delimiter, self._quoted = trained.field_delimiter, trained.quoted
        self._root = str(root.absolute())
        self._tokenizer: Tokenizer | None = None

    def requested(self, start_string: str | Sequence[str] | None) -> tuple[str | list[str] | None, str]:
        """The start strings that are meant, and the option they came from."""
        if start_string is None:
            return requested_starts(self._config)
        wanted = start_string if isinstance(start_string, str) else list(start_string)
        if not isinstance(wanted, str) and not all(isinstance(text, str) for text in wanted):
            raise ParameterError("LS108: start_string must be text or a list of texts.", code="LS108")
        return requested_starts(self._config.replace(start_string=wanted, start_strings_file=None))

    def starts(self, start_string: str | Sequence[str] | None) -> tuple[tuple[StartString, ...], bool]:
        """Start strings with their ids, and whether each record has its own."""
        wanted, option = self.requested(start_string)
        if wanted is None:
            return (), False
        if self._tokenizer is None:
            self._tokenizer = tokenizer_from_model_dir(self._root)
        texts = [wanted] if isinstance(wanted, str) else wanted
        return encode_starts(texts, self._tokenizer, option, self._info.field_count), not isinstance(wanted, str)

    def engine(self, line_validator: Validator | str | None, max_invalid: int) -> Engine:
        config = self._config
        validator = config.line_validator if line_validator is None else line_validator
        source: Validator | ValidatorSource | None
        if isinstance(validator, str):
            source = validator_source(validator)
            source.load()  # here, where the caller sees what is wrong with it
        elif validator is None or callable(validator):
            source = validator
        else:
            raise ParameterError(
                f"LS107: line_validator is of type {type(validator).__name__} and cannot be called; give a function that takes "
                "the text of a record.",
                code="LS107",
            )
        settings = unit_settings(config, max_invalid, keep_invalid=None)
        return Engine(
            functools.partial(open_sampler, self._root, config.checkpoint, sampler_options(config)), settings, source
        )

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
        if missing:
            raise ShortfallError(
                f"{missing} records are missing: none of their {engine.settings.max_attempts} attempts (max_attempts) was "
                "valid. All others were generated."
            )


def _by_index(result: UnitResult) -> Iterator[list[Outcome]]:
    """The outcomes of each index of a unit, in order of attempt."""
    found: dict[int, list[Outcome]] = {index: [] for index in range(result.unit.start, result.unit.end)}
    for outcome in [*result.invalid, *result.valid]:  # the valid one is an index's last
        found[outcome.index].append(outcome)
    yield from found.values()


def _ceiling(config: TensorFlowConfig, max_invalid: int | None, count: int) -> int:
    if max_invalid is not None:
        return _whole("max_invalid", max_invalid)
    return max(_DEFAULT_MAX_INVALID, count) if config.max_invalid is None else config.max_invalid


def _whole(name: str, value: int) -> int:
    try:
        if not isinstance(value, bool) and value >= 0 and int(value) == value:
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ParameterError(f"LS101: {name} is {value!r}; it must be a whole number of at least 0.", code="LS101")


def _too_many(max_invalid: int) -> str:
    return (
        f"More than {max_invalid} invalid records (max_invalid). The invalid records that were yielded say why in `explain`; "
        "train longer, mend the validator, or allow more."
    )
