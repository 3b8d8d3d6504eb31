"""Records of a model by their numbers, drawn by a network that is loaded once."""

from __future__ import annotations

import atexit
import itertools
import weakref
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from linesmith.core.config.spelling import python_call
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.core.library_logging import quiet_calls

if TYPE_CHECKING:
    from linesmith.model.generation.unit_generator import SampleSource
    from linesmith.model.generation.work_units import StartString, WorkUnit
    from linesmith.records.fields import GenText

_NO_LIMIT = 1 << 62
ARGUMENTS = {"--num-lines": "n"}
# Streams that have not ended. Python closes those of a program that ends too late, when modules are gone already.
_unfinished: weakref.WeakSet[Generator[object, None, None]] = weakref.WeakSet()


@atexit.register
def _close_unfinished() -> None:
    for stream in list(_unfinished):
        stream.close()


class RecordSource:
    """Texts of valid records of one model. The network stays loaded for the next call with equal settings."""

    def __init__(self) -> None:
        self._loaded: tuple[partial[SampleSource], SampleSource] | None = None

    def texts(
        self, config: TensorFlowConfig, start: int, count: int | None, parallelism: int | float = 1
    ) -> Iterator[str]:
        """Return an iterator over the valid records from a number on.

        Args:
            config: the settings of generation.
            start: number of the first record.
            count: how many; None: without end. A list of start strings gives as many records as there are start strings.
            parallelism: as for `generate_text`.

        Raises:
            ParameterError: a setting cannot work; at the call.
            ShortfallError: records are missing; while iterating.
        """
        from linesmith.model.generation.local_model import LocalModel
        from linesmith.model.generation.python_api import UNIT_RECORDS
        from linesmith.model.generation.worker_pool import process_count

        with python_call(ARGUMENTS), quiet_calls():
            model = LocalModel(config)
            starts, paired = model.encode_conditions() if config.has_conditions else model.encode_start_strings(None)
            limit = _NO_LIMIT if config.max_invalid is None else config.max_invalid
            setup = model.worker_setup(config.line_validator, limit)
        if paired and count is None:
            raise ParameterError(
                "LS108", None, "a list of start strings has an end, and a stream has none", "Use sample."
            )
        last = None if count is None else start + (len(starts) if paired else count)
        workers = 1 if last is None else min(process_count(parallelism), -(-(last - start) // UNIT_RECORDS))
        if workers <= 1:
            setup = replace(setup, open_sampler=self._opened(setup.open_sampler))
        units = _units(start, last, starts, paired, config.has_conditions, UNIT_RECORDS)
        records = model.stream(setup, units, workers, limit)
        _unfinished.add(records)
        return _valid_texts(records)

    def _opened(self, opener: Callable[[int | None], SampleSource]) -> Callable[[int | None], SampleSource]:
        """Return a function that loads the network, or has loaded it already."""

        def load(threads: int | None) -> SampleSource:
            if not isinstance(opener, partial):
                return opener(threads)
            if self._loaded is None or _call(self._loaded[0]) != _call(opener):
                self._loaded = (opener, opener(threads))
            return self._loaded[1]

        return load


def _valid_texts(records: Iterator[GenText]) -> Iterator[str]:
    """Yield the texts of valid records; errors name settings as Python does."""
    while True:
        with python_call(ARGUMENTS):  # left before each text: the code that takes it makes calls of its own
            record = next(records, None)
        if record is None:
            return
        if record.valid is not False:
            yield str(record.text)


def _call(opener: partial[SampleSource]) -> tuple[object, ...]:
    return opener.func, opener.args, opener.keywords


def _units(
    start: int, last: int | None, starts: tuple[StartString, ...], paired: bool, in_turn: bool, size: int
) -> Iterator[WorkUnit]:
    """Yield units of work from one record to another, or without end.

    Args:
        start: number of the first record.
        last: number after the last; None: there is no end.
        starts: none, one for all records, one for each, or several that they have in turn.
        paired: one for each.
        in_turn: they have them in turn.
        size: records in a unit.
    """
    from linesmith.model.generation.requests.condition_requests import CyclicStartStrings
    from linesmith.model.generation.work_units import WorkUnit

    for number in itertools.count():
        first = start + number * size
        end = first + size if last is None else min(first + size, last)
        if end <= first:
            return
        own: tuple[StartString, ...] = starts
        if paired:
            own = starts[first - start : end - start]
        elif in_turn:
            own = CyclicStartStrings(starts, first, end)  # type: ignore[assignment]
        yield WorkUnit(number, first, end, own)
