"""A ledger of what trainings on the same data have spent together, since each one composes with all the others.

One JSON file may hold many data sets; the name, not the content, says which data they are (a digest of the data would be
a membership test). A training is entered with its claim, at its planned steps, before its first step: a crash can then
only overstate what was spent. It is entered once, however often it is resumed.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import write_json
from linesmith.core.artifacts.manifest import check_format_version
from linesmith.core.errors import DataError
from linesmith.model.privacy.accounting import GaussianEvent, epsilon
from linesmith.model.privacy.plan import PrivacyPlan

FORMAT_VERSION = 1
# A run directory's own ledger, in RUN/private; overwriting the run leaves it. Its data set is its name
RUN_LEDGER_FILE = "spent.json"


@dataclass(frozen=True)
class LedgerEntry:
    """One training.

    Attributes:
        run: its identity, chosen by the caller; a resumed training has the same.
        begun: when it was entered, UTC.
        events: what it releases by its planned end.
        delta, epsilon: its own claim.
        unsafe_key: its draws came from a fixed key, so that nothing bounds what it gave away.
    """

    run: str
    begun: str
    events: tuple[GaussianEvent, ...]
    delta: float
    epsilon: float
    unsafe_key: bool = False


def read_ledger(path: str | Path, dataset: str) -> list[LedgerEntry]:
    """The trainings on a data set, oldest first; none where there is no such file yet.

    Raises:
        DataError: LS306, the file is damaged or of a newer version. It is never taken for empty.
    """
    return [_entry(stored, Path(path)) for stored in _read(Path(path))["datasets"].get(dataset, [])]


def record_in_ledger(
    path: str | Path, dataset: str, run: str, plan: PrivacyPlan, *, unsafe_key: bool = False
) -> list[LedgerEntry]:
    """Enter a training, atomically and against other writers; to be called before its first step.

    A training that is entered already under the same identity is not entered again, unless its plan differs: then both
    stand, since steps of both may have been released.

    Args:
        path: the ledger; created where it is missing.
        dataset: name of the data.
        run: identity of the training, the same when it is resumed.
        plan: what it will spend at most.
        unsafe_key: its draws come from a fixed key.

    Returns:
        All trainings on the data set, this one included.

    Raises:
        DataError: LS306, the file is damaged, or cannot be written.
    """
    path = Path(path)
    entry = LedgerEntry(
        run=run,
        begun=datetime.now(UTC).isoformat(timespec="seconds"),
        events=plan.all_events(),
        delta=plan.delta,
        epsilon=plan.epsilon,
        unsafe_key=unsafe_key,
    )
    with _locked(path):
        content = _read(path)
        entries = [_entry(stored, path) for stored in content["datasets"].get(dataset, [])]
        if not any(known.run == run and known.events == entry.events for known in entries):
            entries.append(entry)
            content["datasets"][dataset] = [_stored(known) for known in entries]
            write_json(path, content)
    return entries


def composed_epsilon(entries: Sequence[LedgerEntry], delta: float, *more: GaussianEvent) -> float:
    """Epsilon of all trainings together, and of `more` events, at `delta`; infinite where one has no bound."""
    if any(entry.unsafe_key for entry in entries):
        return math.inf
    return epsilon([*(event for entry in entries for event in entry.events), *more], delta)


def _read(path: Path) -> dict[str, Any]:
    import json

    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {"format_version": FORMAT_VERSION, "datasets": {}}
    except (OSError, ValueError):
        raise _damaged(path) from None
    if not isinstance(content, dict) or not isinstance(content.get("datasets"), dict):
        raise _damaged(path)
    check_format_version(content.get("format_version"), str(path))
    return content


def _entry(stored: Any, path: Path) -> LedgerEntry:
    try:
        epsilon_one = math.inf if stored["epsilon"] == "infinite" else float(stored["epsilon"])
        events = tuple(GaussianEvent(**event) for event in stored["events"])
        return LedgerEntry(**{**stored, "epsilon": epsilon_one, "events": events})
    except (TypeError, KeyError, ValueError):
        raise _damaged(path) from None


def _stored(entry: LedgerEntry) -> dict[str, Any]:
    return {**asdict(entry), "epsilon": entry.epsilon if math.isfinite(entry.epsilon) else "infinite"}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path.with_name(f".{path.name}.lock"), "w")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise DataError(
            f"LS306: --privacy-ledger '{path}' cannot be written ({error.strerror}); nothing was trained.", code="LS306"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _damaged(path: Path) -> DataError:
    return DataError(
        f"LS306: --privacy-ledger '{path}' is damaged or no ledger; restore it. It is not begun anew, since that would "
        "forget what was spent.",
        code="LS306",
    )
