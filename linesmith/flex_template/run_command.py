"""Run a whole command as a step of a pipeline, in a process of its own on a worker.

A runner retries a step that failed (Dataflow: up to four attempts), whatever the reason. So there are two steps with a barrier
between them. A failure that another attempt may not have (a killed process, an unreachable store, an earlier attempt that still
writes) fails the first step: the command runs again and continues from what the run directory holds. A failure that every
attempt would have (a setting, the input, a quality gate) is passed on and fails the second step: then only a comparison is
retried four times, not the command.
"""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apache_beam as beam

from linesmith.core.child_process import python_command, python_environment
from linesmith.core.errors import EXIT_QUALITY, EXIT_SHORTFALL, EXIT_SUCCESS, EXIT_USER_ERROR, LinesmithError

_log = logging.getLogger("linesmith")
# Exit codes of a result that another attempt would not change.
_FINAL_EXIT_CODES = (EXIT_SUCCESS, EXIT_USER_ERROR, EXIT_QUALITY, EXIT_SHORTFALL)
# Errors with exit code 2 that may pass: another attempt still writes; a store was unreachable.
_TRANSIENT_CODES = ("LS203", "LS213")
# The command must end with its worker (1 is PR_SET_PDEATHSIG): if it lived on, the next attempt could not start.
PROGRAM = (
    "import ctypes, signal, sys; sys.platform == 'linux' and ctypes.CDLL(None).prctl(1, signal.SIGKILL); "
    "from linesmith.cli.app import main; main()"
)


@dataclass(frozen=True)
class Outcome:
    """Result of a command.

    Attributes:
        command: name of the command.
        exit_code: as on a command line; minus the number of the signal that ended it, if one did.
        error: its error message; empty if there was none.
    """

    command: str
    exit_code: int
    error: str = ""

    @property
    def is_final(self) -> bool:
        """Whether another attempt would have the same result."""
        return self.exit_code in _FINAL_EXIT_CODES and self.code not in _TRANSIENT_CODES

    @property
    def code(self) -> str | None:
        """The LS code that the error begins with; None if there is none."""
        found = re.match(r"LS\d{3}", self.error)
        return found and found[0]

    def raise_for_exit_code(self) -> None:
        """Raise an error with the command's message, unless the command succeeded.

        Raises:
            LinesmithError: the exit code is not 0.
        """
        if self.exit_code != EXIT_SUCCESS:
            why = self.error or "Its messages are in the log of the worker, above this one."
            raise LinesmithError("LS413", None, f"linesmith {self.command} ended with exit code {self.exit_code}", why)


class RunCommand(beam.PTransform):
    """Transform that runs each command, given as its name and arguments, and fails if a command fails."""

    def expand(self, commands: beam.PCollection[Sequence[str]]) -> beam.PCollection[None]:
        """Run the commands; the output has one None per command."""
        return (
            commands
            | "Run" >> beam.ParDo(_RunFn())
            | "Settle" >> beam.Reshuffle()
            | "Judge" >> beam.Map(Outcome.raise_for_exit_code)
        )


class _RunFn(beam.DoFn):
    def process(self, arguments: Sequence[str]) -> Iterator[Outcome]:
        outcome = run_command(arguments)
        if not outcome.is_final:
            outcome.raise_for_exit_code()
        yield outcome


def run_command(arguments: Sequence[str]) -> Outcome:
    """Run one command in a process of its own and write its output, which quotes no record, to the log.

    Args:
        arguments: name of the command and its arguments.
    """
    error = ""
    with subprocess.Popen(
        python_command("-c", PROGRAM, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=python_environment(),
    ) as process:
        for line in process.stdout or ():
            text = line.rstrip()
            _log.info("%s", text)
            if text.startswith("error: "):
                error = text.removeprefix("error: ")
    return Outcome(arguments[0], process.returncode, error)
