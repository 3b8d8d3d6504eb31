"""Ledger of what all trainings on the same data have spent together, since each one composes with all the others.

One JSON file may hold many data sets; the name, not the content, says which data they are (a digest of the data would be
a membership test). A training is entered with its claim, at its planned steps, before its first step, so that a crash can
only make the ledger overstate what was spent. It is entered once, however often it is resumed. A noised vocabulary is a release
of its own, entered before each time that it is drawn; trainings that use it do not enter it again.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from linesmith.core.artifacts.files import open_lock_file, write_json
from linesmith.core.artifacts.manifest import check_format_version
from linesmith.core.artifacts.shapes import Shape
from linesmith.core.errors import DataError
from linesmith.core.parsing import parse_json, read_text
from linesmith.model.privacy.accounting import GaussianEvent, epsilon
from linesmith.model.privacy.plan import PrivacyPlan

FORMAT_VERSION = 1
# A run directory's own ledger, in RUN/private, which survives overwriting the run; also the name of its only data set.
RUN_LEDGER_FILE = "spent.json"


@dataclass(frozen=True)
class LedgerEntry:
    """One training, or one draw of a vocabulary, in a ledger; the attributes are also the keys of its JSON object.

    Attributes:
        run: identity of the release, chosen by the caller; a resumed training keeps it.
        begun: time of the entry, UTC, ISO 8601.
        events: everything that it releases by its planned end, but for what has an entry of its own.
        delta, epsilon: its own claim, a training's with its vocabulary; epsilon is infinite where it had no differential privacy.
        unsafe_key: its draws came from a fixed key, so that nothing bounds what it revealed.
    """

    run: str
    begun: str
    events: tuple[GaussianEvent, ...]
    delta: float
    epsilon: float
    unsafe_key: bool = False


_Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _StoredEvent(Shape):
    model_config = ConfigDict(strict=True, extra="forbid")  # what is not known could be spent budget
    noise_multiplier: _Number
    count: Annotated[int, Field(ge=0, le=1 << 40)] = 1
    sample_rate: Annotated[float, Field(ge=0, le=1)] = 1.0


class _StoredEntry(Shape):
    model_config = ConfigDict(strict=True, extra="forbid")
    run: str
    begun: str
    events: list[_StoredEvent]
    delta: _Number
    epsilon: _Number | Literal["infinite"]
    unsafe_key: bool = False


class _StoredEntries(Shape):
    entries: list[_StoredEntry]


def read_ledger(path: str | Path, dataset: str) -> list[LedgerEntry]:
    """Return the trainings on a data set.

    Args:
        path: the ledger.
        dataset: name of the data.

    Returns:
        Its entries, oldest first; none where the file does not exist yet, or has no such data set.

    Raises:
        DataError: the file is damaged or of a newer version. A damaged ledger is never taken for an empty one.
    """
    return _entries(_read(Path(path)), dataset, Path(path))


def record_vocabulary(
    path: str | Path, dataset: str, run: str, noise_multiplier: float, delta: float, *, unsafe_key: bool = False
) -> list[LedgerEntry]:
    """Enter a noised vocabulary in a ledger, atomically and under a lock; to be called before it is drawn.

    Args:
        path: the ledger; created where it is missing.
        dataset: name of the data.
        run: identity of this one draw. With an identity that is entered already, nothing is entered.
        noise_multiplier: of the Gaussian mechanism.
        delta: delta of the claim of this release alone.
        unsafe_key: whether the noise comes from a fixed key.

    Returns:
        All releases from the data set, this one included, oldest first.

    Raises:
        DataError: the file is damaged, or cannot be written.
    """
    events = (GaussianEvent(noise_multiplier),)
    return _record(path, dataset, LedgerEntry(run, _now(), events, delta, epsilon(events, delta), unsafe_key))


def record_in_ledger(
    path: str | Path,
    dataset: str,
    run: str,
    plan: PrivacyPlan,
    *,
    unsafe_key: bool = False,
    vocabulary_entered: bool = False,
) -> list[LedgerEntry]:
    """Enter a training in a ledger, atomically and under a lock; to be called before its first step.

    A training that is already entered under the same identity is not entered again, unless its plan differs: then both
    entries stand, since steps of both may have been released.

    Args:
        path: the ledger; created where it is missing.
        dataset: name of the data.
        run: identity of the training, the same when it is resumed.
        plan: what it will spend at most.
        unsafe_key: whether its draws come from a fixed key.
        vocabulary_entered: its noised vocabulary has an entry of its own, which `record_vocabulary` made.

    Returns:
        All trainings on the data set, this one included, oldest first.

    Raises:
        DataError: the file is damaged, or cannot be written.
    """
    events = plan.own_events() if vocabulary_entered else plan.all_events()
    return _record(path, dataset, LedgerEntry(run, _now(), events, plan.delta, plan.epsilon, unsafe_key))


def record_unbounded(path: str | Path, dataset: str, run: str) -> list[LedgerEntry]:
    """Enter a training without differential privacy, of which nothing bounds what it revealed.

    Args:
        path: the ledger; created where it is missing.
        dataset: name of the data.
        run: identity of the training. With an identity that is entered already, nothing is entered.

    Returns:
        All trainings on the data set, this one included, oldest first.

    Raises:
        DataError: the file is damaged, or cannot be written.
    """
    return _record(path, dataset, LedgerEntry(run, _now(), (), 0.0, math.inf))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _record(path: str | Path, dataset: str, entry: LedgerEntry) -> list[LedgerEntry]:
    """Add an entry unless it is there already, with equal identity and events; return all entries of the data set."""
    path = Path(path)
    with _locked(path):
        content = _read(path)
        entries = _entries(content, dataset, path)
        if not any(known.run == entry.run and known.events == entry.events for known in entries):
            entries.append(entry)
            content["datasets"][dataset] = [_stored(known) for known in entries]
            write_json(path, content)
    return entries


def composed_epsilon(entries: Sequence[LedgerEntry], delta: float, *more: GaussianEvent) -> float:
    """Compute the epsilon of all trainings together.

    Args:
        entries: the trainings.
        delta: delta of the whole composition.
        more: further events to compose with them.

    Returns:
        Epsilon; infinite where a training has no bound.
    """
    if any(entry.unsafe_key or math.isinf(entry.epsilon) for entry in entries):
        return math.inf
    return epsilon([*(event for entry in entries for event in entry.events), *more], delta)


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a ledger, that of an empty one where the file is missing."""
    try:
        content = parse_json(read_text(path))
    except FileNotFoundError:
        return {"format_version": FORMAT_VERSION, "datasets": {}}
    except (OSError, ValueError):
        raise _damaged(path) from None
    if not isinstance(content, dict) or not isinstance(content.get("datasets"), dict):
        raise _damaged(path)
    check_format_version(content.get("format_version"), str(path))
    return content


def _entries(content: dict[str, Any], dataset: str, path: Path) -> list[LedgerEntry]:
    """Return the entries of a data set; `path` is for the error."""
    try:
        found = []
        for stored in _StoredEntries.model_validate({"entries": content["datasets"].get(dataset, [])}).entries:
            epsilon_one = math.inf if isinstance(stored.epsilon, str) else stored.epsilon
            events = tuple(GaussianEvent(**event.model_dump()) for event in stored.events)
            found.append(LedgerEntry(stored.run, stored.begun, events, stored.delta, epsilon_one, stored.unsafe_key))
        return found
    except ValidationError:
        raise _damaged(path) from None


def _stored(entry: LedgerEntry) -> dict[str, Any]:
    """Return the JSON object of an entry; JSON has no infinity, so an infinite epsilon becomes a word."""
    return {**asdict(entry), "epsilon": entry.epsilon if math.isfinite(entry.epsilon) else "infinite"}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a ledger: a file of its own beside it, since writing replaces the ledger."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open_lock_file(path.with_name(f".{path.name}.lock"))
    except OSError as error:
        raise DataError(
            "LS306",
            f"--privacy-ledger '{path}'",
            f"cannot be written ({error.strerror})",
            "Give a path that you may write to. Nothing was drawn or trained.",
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _damaged(path: Path) -> DataError:
    return DataError(
        "LS306",
        f"--privacy-ledger '{path}'",
        "damaged, or not a privacy ledger",
        "Restore it. It is not begun anew, since that would forget what was spent.",
    )
