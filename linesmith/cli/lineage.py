"""Record a command as a run of OpenLineage, if that is asked for."""

from __future__ import annotations

from collections.abc import Callable

from linesmith.cli.errors import explain
from linesmith.core.errors import EXIT_INTERRUPTED
from linesmith.pipelines.lineage.datasets import Datasets
from linesmith.pipelines.lineage.recorder import LineageJob, LineageRecorder, check_lineage


def with_lineage(
    target: str | None, job: LineageJob, datasets: Callable[[bool], Datasets], action: Callable[[], int]
) -> int:
    """Run a command and return its exit code; send events when it starts and when it ends.

    Args:
        target: value of `--openlineage`; None: it is not given, and the client's variables decide.
        job: what is run.
        datasets: return what the command reads and writes; the argument says whether its manifests are there.
        action: run the command.

    Raises:
        ParameterError: LS106, LS129: events cannot be sent to the target.
    """
    if not check_lineage(target):
        return action()
    recorder = LineageRecorder(target, job)
    recorder.start(lambda: datasets(False))
    try:
        exit_code = action()
    except BaseException as error:
        message, code = explain(error)
        code = EXIT_INTERRUPTED if isinstance(error, KeyboardInterrupt) else code
        recorder.end(code, lambda: datasets(False), "interrupted" if isinstance(error, KeyboardInterrupt) else message)
        raise
    recorder.end(exit_code, lambda: datasets(True))
    return exit_code
