"""Generation of units on the processors of this machine, without Beam: in this process, or in loky worker processes.

Results come in the order of the units, whichever worker was faster. Only a few units are ahead of the consumer: joblib's
generator would run through all of them while the consumer waits. loky starts fresh interpreters, since threads of the caller's
libraries do not survive a fork. It sends functions by value, so lambdas, closures and notebook functions are validators, too.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace

from linesmith.core.errors import GenerationError, ParameterError
from linesmith.core.library_logging import quiet_later_imports, quiet_libraries
from linesmith.model.generation.attempts import AttemptSettings
from linesmith.model.generation.unit_generator import SampleSource, generate_units
from linesmith.model.generation.work_units import WorkUnit, WorkUnitResult
from linesmith.records.validation.record_validator import RecordValidator, ValidatorLoader

_LARGEST_GROUP = 32  # most units that a worker takes at once


@dataclass(frozen=True)
class WorkerSetup:
    """Everything that a worker needs to generate units.

    Attributes:
        open_sampler: loads the model, given the number of threads it may use; None: all cores.
        settings: draw settings and limits of attempts.
        record_validator: decides which samples are valid; its user validator is set in the worker.
        validator: loads the user validator, or None.
    """

    open_sampler: Callable[[int | None], SampleSource]
    settings: AttemptSettings
    record_validator: RecordValidator = field(default_factory=RecordValidator)
    validator: ValidatorLoader | None = None

    def load(self, threads: int | None = None) -> Callable[[Iterable[WorkUnit]], Iterator[WorkUnitResult]]:
        """Load model and validator; returns a function that generates units and yields their results in order."""
        validator = None if self.validator is None else self.validator.load()
        sampler, record_validator = self.open_sampler(threads), replace(self.record_validator, validator=validator)
        return lambda units: results_in_order(
            lambda taken: generate_units(sampler, taken, self.settings, record_validator), units
        )


def results_in_order(
    generate: Callable[[Iterator[WorkUnit]], Iterator[WorkUnitResult]], units: Iterable[WorkUnit]
) -> Iterator[WorkUnitResult]:
    """Yield results in the order of the units.

    Args:
        generate: yields the results of units in any order.
        units: asked for more after they ended, since more may have come meanwhile.
    """
    source = iter(units)
    expected: deque[int] = deque()

    def taken(first: WorkUnit) -> Iterator[WorkUnit]:
        for unit in itertools.chain([first], source):
            expected.append(unit.number)
            yield unit

    while (first := next(source, None)) is not None:
        early: dict[int, WorkUnitResult] = {}
        with contextlib.closing(generate(taken(first))) as results:  # type: ignore[type-var]
            for result in results:
                early[result.unit.number] = result
                while expected and expected[0] in early:
                    yield early.pop(expected.popleft())
        if expected:
            return  # a unit was stopped, and those after it were abandoned


def process_count(parallelism: int | float, cpus: int | None = None) -> int:
    """Return the number of processes, at least one, that a `parallelism` stands for on this machine.

    Args:
        parallelism: 0: all CPUs; n: n of them; −n: all but n; a float: that share of them.
        cpus: number of CPUs; None: as many as this process may use.

    Raises:
        ParameterError: a float that is not above 0.

    Example:
        >>> [process_count(p, cpus=8) for p in (0, 1, 3, -2, -9, 0.5, 1.0)]
        [8, 1, 3, 6, 1, 4, 8]
    """
    if cpus is None:
        import loky

        cpus = loky.cpu_count()
    if isinstance(parallelism, float):
        if not 0 < parallelism < float("inf"):
            raise ParameterError(
                "LS101",
                f"parallelism {parallelism}",
                "a float is a share of the CPUs and must be above 0",
                "Give a share such as 0.5, or the integer 0 for all CPUs.",
            )
        return max(1, int(parallelism * cpus))
    return max(1, parallelism if parallelism > 0 else cpus + parallelism)


def run_units(setup: WorkerSetup, units: Iterator[WorkUnit], workers: int) -> Generator[WorkUnitResult, None, None]:
    """Yield the results of units, in their order. Closing the iterator ends the workers.

    Args:
        setup: loads the model and generates.
        units: taken one by one, as workers become free; asked for more after they ended, since more may have come meanwhile.
        workers: number of processes; 1: this process.

    Raises:
        LinesmithError: what a worker raised.
        GenerationError: a worker died.
        ParameterError: the validator cannot be sent to a worker.
    """
    if workers > 1:
        yield from _in_processes(setup, units, workers)
        return
    first = next(units, None)
    if first is None:
        return  # without work the model need not be loaded
    generate = setup.load()
    with contextlib.closing(generate(_ResumableUnits(first, units))) as results:  # type: ignore[type-var]
        yield from results


class _ResumableUnits(Iterator[WorkUnit]):
    """The first unit, then the others; unlike `itertools.chain`, it can go on after it has ended."""

    def __init__(self, first: WorkUnit, others: Iterator[WorkUnit]) -> None:
        self._first: WorkUnit | None = first
        self._others = others

    def __next__(self) -> WorkUnit:
        first, self._first = self._first, None
        return next(self._others) if first is None else first


def _in_processes(setup: WorkerSetup, units: Iterator[WorkUnit], workers: int) -> Iterator[WorkUnitResult]:
    """Yield the results of units that worker processes generate."""
    import loky
    from loky.process_executor import TerminatedWorkerError

    packed = _pack(setup)
    threads = max(1, loky.cpu_count() // workers)
    pool = loky.ProcessPoolExecutor(workers, initializer=_prepare, initargs=(packed, threads))
    try:
        waiting: deque = deque()
        size = 1
        while True:
            # Small groups first, so that the first records come soon; large ones keep a worker's rows busy.
            while len(waiting) <= workers and (group := list(itertools.islice(units, size))):
                waiting.append(pool.submit(_work, group))
                size = min(2 * size, _LARGEST_GROUP)
            if not waiting:
                return
            yield from waiting.popleft().result()
    except TerminatedWorkerError:
        raise GenerationError(
            "LS408",
            f"parallelism {workers}",
            "a worker process died, most likely because memory ran out",
            f"Use fewer than {workers} processes.",
        ) from None
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _pack(setup: WorkerSetup) -> bytes:
    import cloudpickle

    try:
        return cloudpickle.dumps(setup)
    except Exception as error:  # objects in a closure may raise anything
        raise ParameterError(
            "LS107",
            "line_validator",
            f"cannot be sent to worker processes ({type(error).__name__}), since it holds something that does not "
            "pickle, such as an open file",
            "Take that out, or generate in this process with parallelism=1.",
        ) from None


# In a worker process: its pickled setup and number of threads, and the function that `WorkerSetup.load` returned.
_worker: dict[str, object] = {}


def _prepare(packed: bytes, threads: int) -> None:
    quiet_libraries()
    quiet_later_imports()
    _worker.update(packed=packed, threads=threads)


def _work(units: list[WorkUnit]) -> list[WorkUnitResult]:
    """Generate units in a worker process."""
    generate = _worker.get("generate")
    if generate is None:
        import cloudpickle

        # Loaded here, not in the initializer: an error there would break the pool without saying what it was.
        setup: WorkerSetup = cloudpickle.loads(_worker["packed"])
        generate = _worker["generate"] = setup.load(_worker["threads"])  # type: ignore[arg-type]
    return list(generate(units))  # type: ignore[operator]
