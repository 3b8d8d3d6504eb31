"""Generation from Python: `generate_text` and `SeedingGenerator` yield `GenText`, in order, on the CPUs of this machine.

The records of a seed are the same for any parallelism, and the same as those of the `generate` stage for equal settings
and an equal validator. (The stage also checks the field count; here that is checked only beside rules or a schema.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.core.library_logging import quiet_calls
from linesmith.model.generation.local_model import LocalModel
from linesmith.model.generation.requests.condition_requests import plan_cyclic_units
from linesmith.model.generation.work_units import StartString, WorkUnit, plan_work_units
from linesmith.model.generation.worker_pool import process_count
from linesmith.records.fields import GenText
from linesmith.records.validation.record_validator import Validator

# Records per unit: few, so that the first ones come soon and workers share even a short run. Fixed, so that a run that is
# ended by its valid rate ends at the same record for any parallelism.
UNIT_RECORDS = 256
_DEFAULT_MAX_INVALID = 1000


@quiet_calls()
def generate_text(
    config: TensorFlowConfig,
    start_string: str | Sequence[str] | None = None,
    line_validator: Validator | str | None = None,
    max_invalid: int | None = None,
    num_lines: int | None = None,
    parallelism: int | float = 0,
    *,
    validator_timeout: float | None = None,
) -> Iterator[GenText]:
    """Generate records with the model in `config.checkpoint_dir`.

    Args:
        config: names the run directory and holds the generation settings (seed, gen_temp, gen_chars, max_attempts, …); what
            belongs to the model is read from the run directory. Its `rules`, `validation_rules` and `schema_file` are checked
            before the validator is called, as in the stage; then the field count is checked as well.
        start_string: begins every record; a list gives one valid record each, in order, and `num_lines` is ignored. Default:
            the configuration's, or its conditions (`where`, `balance`, `where_file`, `impute`).
        line_validator: called with each record's text. False or an exception: invalid; None, True or anything else: valid.
            May be a lambda, a closure or an import path. Without one `valid` is None.
        max_invalid: most invalid records; default the configuration's, else max(1000, number of lines). 0 is a value.
        num_lines: records that are not invalid; default `config.gen_lines`.
        parallelism: 0: all CPUs; n: n processes, 1: this process; −n: all CPUs but n; a float: that share of them.
        validator_timeout: most seconds the validator may take for a record, in a process of its own; 0: no limit, in this
            process. Default: the configuration's for an import path; 0 for a function, which may keep state in this process.

    Returns:
        An iterator over GenText by index and attempt: invalid ones are among them and do not count. Closing it ends the
        workers. The model is loaded when the first record is start_strings for.

    Raises:
        ParameterError: an argument that cannot work (at the call).
        DataError: there is no usable model.
        TooManyInvalidError: after the record that exceeds `max_invalid` (while iterating).
        ShortfallError: a GenerationError, at the end, when records are missing because their attempts are used up.
    """
    model = LocalModel(config, validator_timeout)
    conditioned = start_string is None and config.has_conditions
    starts, start_string_per_record = (
        model.encode_conditions() if conditioned else model.encode_start_strings(start_string)
    )
    lines = config.gen_lines if num_lines is None else _check_count("num_lines", num_lines)
    count = len(starts) if start_string_per_record else lines
    ceiling = _invalid_limit(config, max_invalid, count)
    workers = min(process_count(parallelism), -(-count // UNIT_RECORDS))
    if conditioned and not start_string_per_record:
        units = iter(plan_cyclic_units(starts, count, UNIT_RECORDS))
    else:
        units = iter(plan_work_units(count, UNIT_RECORDS, starts, start_string_per_record))
    return model.stream(model.worker_setup(line_validator, ceiling), units, workers, ceiling)


@dataclass
class SeedingSettings:
    """Live settings of a `SeedingGenerator`.

    Attributes:
        start_string: the live list of start strings that have no record yet.
    """

    start_string: list[str] = field(default_factory=list)


class SeedingGenerator(Iterator[GenText]):
    """One valid record for each start string, in order.

    `settings.start_string` is the live list: a start string leaves it just before its valid record is yielded, so that what
    is left can be tried again after a break. Start strings appended while iterating are taken up; other changes are refused.

    Args:
        config: as for `generate_text`.
        seed_list: the start strings; default the configuration's.
        line_validator: as for `generate_text`.
        max_invalid: as for `generate_text`; the default depends on the first list.
        parallelism: as for `generate_text`.
        validator_timeout: as for `generate_text`.

    Raises:
        ParameterError, DataError, TooManyInvalidError, ShortfallError: as `generate_text`.
    """

    @quiet_calls()
    def __init__(
        self,
        config: TensorFlowConfig,
        *,
        seed_list: Sequence[str] | None = None,
        line_validator: Validator | str | None = None,
        max_invalid: int | None = None,
        parallelism: int | float = 0,
        validator_timeout: float | None = None,
    ) -> None:
        self._model = LocalModel(config, validator_timeout)
        start_strings, _ = self._model.resolve_start_strings(seed_list)
        if start_strings is None or isinstance(start_strings, str):
            raise ParameterError("LS108", "seed_list", "not given", "Give a list of start strings.")
        self._model.encode_start_strings(start_strings)  # raises here what would otherwise be raised later
        self.settings: SeedingSettings = SeedingSettings(
            list(start_strings)
        )  # a copy: the caller's list stays as it is
        self._units = _LiveUnits(self.settings.start_string, lambda taken: self._model.encode_start_strings(taken)[0])
        ceiling = _invalid_limit(config, max_invalid, len(start_strings))
        workers = min(process_count(parallelism), -(-len(start_strings) // UNIT_RECORDS))
        setup = self._model.worker_setup(line_validator, ceiling)
        self._stream = self._model.stream(setup, self._units, workers, ceiling, self._remove_done)

    def __next__(self) -> GenText:
        return next(self._stream)

    def close(self) -> None:
        """End the workers; nothing more is generated."""
        self._stream.close()

    def _remove_done(self) -> None:
        """Take the first start string off the live list."""
        live, ahead = self.settings.start_string, self._units.ahead
        if not live or live is not self._units.live or live[0] != ahead[0]:
            raise ParameterError(
                "LS108",
                "settings.start_string",
                "changed other than by appending while records were being generated",
                "Begin a new SeedingGenerator with the changed list.",
            )
        del live[0], ahead[0]


class _LiveUnits(Iterator[WorkUnit]):
    """Units over a list that may grow. Unlike a generator, it goes on when there is more after it has ended.

    Args:
        live: start strings that have no record yet.
        encode: encodes start strings.

    Attributes:
        live: as given.
        ahead: the first ones of `live`, which are in a unit already.
    """

    def __init__(self, live: list[str], encode: Callable[[list[str]], tuple[StartString, ...]]) -> None:
        self.live = live
        self.ahead: list[str] = []
        self._encode = encode
        self._number = self._start = 0

    def __next__(self) -> WorkUnit:
        taken = self.live[len(self.ahead) : len(self.ahead) + UNIT_RECORDS]
        if not taken:
            raise StopIteration
        unit = WorkUnit(self._number, self._start, self._start + len(taken), self._encode(taken))
        self.ahead += taken
        self._number, self._start = self._number + 1, self._start + len(taken)
        return unit


def _invalid_limit(config: TensorFlowConfig, max_invalid: int | None, count: int) -> int:
    """Return the most invalid records: as given, else the configuration's, else max(1000, count)."""
    if max_invalid is not None:
        return _check_count("max_invalid", max_invalid)
    return max(_DEFAULT_MAX_INVALID, count) if config.max_invalid is None else config.max_invalid


def _check_count(name: str, value: int) -> int:
    """Return a count as an int, or raise ParameterError."""
    try:
        if not isinstance(value, bool) and value >= 0 and int(value) == value:
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ParameterError("LS101", f"{name} {value!r}", "not a whole number of at least 0", "Give one.")
