"""Units on the processors of this machine, without Beam: in this process, or in loky worker processes.

Results come in the order of the units, whatever worker was faster; only a few units are ahead of the consumer. loky starts
fresh interpreters (TensorFlow does not survive a fork) and sends functions by value, so that lambdas, closures and notebook
functions work as validators.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace

from linesmith.core.errors import GenerationError, ParameterError
from linesmith.model.generation.attempts import AttemptSettings
from linesmith.model.generation.unit_generator import SampleSource, generate_units
from linesmith.model.generation.work_units import UnitResult, WorkUnit
from linesmith.records.validation.record_validator import Judge, ValidatorLoader

_LARGEST_GROUP = 32  # units that a worker takes at once


@dataclass(frozen=True)
class Engine:
    """All that a worker needs to generate units.

    Attributes:
        open_sampler: loads the model, given the number of threads TensorFlow may use; None: as it likes.
        settings: what decides about attempts.
        judge: decides about samples; its validator is set where it judges.
        validator: where what else judges records comes from, or None.
    """

    open_sampler: Callable[[int | None], SampleSource]
    settings: AttemptSettings
    judge: Judge = field(default_factory=Judge)
    validator: ValidatorLoader | None = None

    def start(self, threads: int | None = None) -> Callable[[Iterable[WorkUnit]], Iterator[UnitResult]]:
        """Load model and validator; returns what generates units, their results in order."""
        validator = None if self.validator is None else self.validator.load()
        sampler, judge = self.open_sampler(threads), replace(self.judge, validator=validator)
        return lambda units: in_order(lambda taken: generate_units(sampler, taken, self.settings, judge), units)


def in_order(
    generate: Callable[[Iterator[WorkUnit]], Iterator[UnitResult]], units: Iterable[WorkUnit]
) -> Iterator[UnitResult]:
    """Results in the order of the units, which are asked for again at the end, since more may have come meanwhile."""
    source = iter(units)
    expected: deque[int] = deque()

    def taken(first: WorkUnit) -> Iterator[WorkUnit]:
        for unit in itertools.chain([first], source):
            expected.append(unit.number)
            yield unit

    while (first := next(source, None)) is not None:
        early: dict[int, UnitResult] = {}
        with contextlib.closing(generate(taken(first))) as results:  # type: ignore[type-var]
            for result in results:
                early[result.unit.number] = result
                while expected and expected[0] in early:
                    yield early.pop(expected.popleft())
        if expected:
            return  # a unit was stopped, and those behind it were abandoned


def worker_count(parallelism: int | float, cpus: int | None = None) -> int:
    """How many processes a `parallelism` means on this machine; at least one.

    Args:
        parallelism: 0 all CPUs, n so many, −n all but n; a float: that share of them.
        cpus: for tests; None asks the machine.

    Raises:
        ParameterError: a float that is not above 0.

    Example:
        >>> [worker_count(p, cpus=8) for p in (0, 1, 3, -2, -9, 0.5, 1.0)]
        [8, 1, 3, 6, 1, 4, 8]
    """
    if cpus is None:
        import loky

        cpus = loky.cpu_count()
    if isinstance(parallelism, float):
        if not 0 < parallelism < float("inf"):
            raise ParameterError(
                f"LS101: parallelism is {parallelism}: a float is a share of the CPUs and must be above 0, for example 0.5; "
                "give the integer 0 for all of them.",
                code="LS101",
            )
        return max(1, int(parallelism * cpus))
    return max(1, parallelism if parallelism > 0 else cpus + parallelism)


def run_units(engine: Engine, units: Iterator[WorkUnit], workers: int) -> Generator[UnitResult, None, None]:
    """Results of units, in their order. Closing the iterator ends the workers.

    Args:
        engine: loads the model and generates.
        units: taken one by one, as room comes free; asked again at the end, since more may have come meanwhile.
        workers: 1 generates in this process.

    Raises:
        LinesmithError: what a worker raised.
        GenerationError: a worker died.
        ParameterError: the validator cannot be sent to a worker.
    """
    if workers > 1:
        yield from _in_processes(engine, units, workers)
        return
    first = next(units, None)
    if first is None:
        return  # no model need be loaded
    generate = engine.start()
    with contextlib.closing(generate(_Again(first, units))) as results:  # type: ignore[type-var]
        yield from results


class _Again(Iterator[WorkUnit]):
    """The first unit, then the others; unlike `itertools.chain`, it can go on after it had ended."""

    def __init__(self, first: WorkUnit, others: Iterator[WorkUnit]) -> None:
        self._first: WorkUnit | None = first
        self._others = others

    def __next__(self) -> WorkUnit:
        first, self._first = self._first, None
        return next(self._others) if first is None else first


def _in_processes(engine: Engine, units: Iterator[WorkUnit], workers: int) -> Iterator[UnitResult]:
    import loky
    from loky.process_executor import TerminatedWorkerError

    packed = _pack(engine)
    threads = max(1, loky.cpu_count() // workers)
    pool = loky.ProcessPoolExecutor(
        workers, initializer=_prepare, initargs=(packed, threads), env={"TF_CPP_MIN_LOG_LEVEL": "3"}
    )
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
            f"A worker process died, most likely for want of memory. Use fewer than {workers} (parallelism)."
        ) from None
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _pack(engine: Engine) -> bytes:
    import cloudpickle

    try:
        return cloudpickle.dumps(engine)
    except Exception as error:  # whatever a closure holds decides what is raised
        raise ParameterError(
            f"LS107: line_validator cannot be sent to worker processes ({type(error).__name__}): it holds something that "
            "does not pickle, such as an open file. Take it out, or generate in this process with parallelism=1.",
            code="LS107",
        ) from None


# In a worker process: what it was given, and what it made of it.
_worker: dict[str, object] = {}


def _prepare(packed: bytes, threads: int) -> None:
    _worker.update(packed=packed, threads=threads)


def _work(units: list[WorkUnit]) -> list[UnitResult]:
    generate = _worker.get("generate")
    if generate is None:
        import cloudpickle

        # Loaded here, not in the initializer: an error there would break the pool without telling which it was.
        engine: Engine = cloudpickle.loads(_worker["packed"])
        generate = _worker["generate"] = engine.start(_worker["threads"])  # type: ignore[arg-type]
    return list(generate(units))  # type: ignore[operator]
