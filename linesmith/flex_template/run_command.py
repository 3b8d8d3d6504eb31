"""A whole command as a step of a pipeline: a worker runs it in a process of its own, as a person would on their machine.

A runner starts a step again that failed (Dataflow: up to four attempts), whatever the reason. So there are two steps with a
barrier between them. An end that another attempt may mend (a killed process, a store that was away, a former attempt that
still writes) fails the first step: the command runs again, and goes on from what the run directory holds. An end that every
attempt would meet again (a setting, the input, a quality gate) is handed on and fails the second step: what is tried four times
is then a comparison, not the command.
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
_SETTLED = (EXIT_SUCCESS, EXIT_USER_ERROR, EXIT_QUALITY, EXIT_SHORTFALL)
_PASSING = ("LS203", "LS213")  # with exit code 2 too: another attempt still writes; a store was away
# The command ends with its worker (Linux: PR_SET_PDEATHSIG): one that lived on would keep the next attempt out.
PROGRAM = (
    "import ctypes, signal, sys; sys.platform == 'linux' and ctypes.CDLL(None).prctl(1, signal.SIGKILL); "
    "from linesmith.cli.app import main; main()"
)


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        command: its name.
        exit_code: as on a command line; below 0 where a signal ended it.
        error: the paragraph it ended with; empty where there was none.
    """

    command: str
    exit_code: int
    error: str = ""

    @property
    def settled(self) -> bool:
        """Whether another attempt would end in the same way."""
        return self.exit_code in _SETTLED and self.code not in _PASSING

    @property
    def code(self) -> str | None:
        """The LS code that the error begins with."""
        found = re.match(r"LS\d{3}", self.error)
        return found and found[0]

    def raise_for_exit_code(self) -> None:
        """Raise what a log should say of an end that is not a good one.

        Raises:
            LinesmithError: the exit code is not 0.
        """
        if self.exit_code != EXIT_SUCCESS:
            why = self.error or "its messages are in the log of the worker, above this one."
            raise LinesmithError(
                f"linesmith {self.command} ended with exit code {self.exit_code}: {why}", code=self.code
            )


class RunCommand(beam.PTransform):
    """Words of commands → nothing; fails where a command does."""

    def expand(self, words: beam.PCollection[Sequence[str]]) -> beam.PCollection[None]:
        return (
            words
            | "Run" >> beam.ParDo(_RunFn())
            | "Settle" >> beam.Reshuffle()
            | "Judge" >> beam.Map(Outcome.raise_for_exit_code)
        )


class _RunFn(beam.DoFn):
    def process(self, words: Sequence[str]) -> Iterator[Outcome]:
        outcome = run_command(words)
        if not outcome.settled:
            outcome.raise_for_exit_code()
        yield outcome


def run_command(words: Sequence[str]) -> Outcome:
    """Run one command in a process of its own and hand its lines to the log. None of them quotes a record."""
    error = ""
    with subprocess.Popen(
        python_command("-c", PROGRAM, *words),
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
    return Outcome(words[0], process.returncode, error)
