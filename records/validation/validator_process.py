"""Run the user's validator in a separate process, so that one that hangs, exits or crashes costs a record and not the run.

The parent sends a batch of texts; the child answers record by record, so that each record has its own time limit. A record
without an answer in time is invalid with the reason `timeout`; the child is killed and a new one checks the rest. If the child
ends by itself, its record is invalid with the reason `validator`.

A validator that fails on many records in a row would keep a run busy for days, so it ends the run.

Results near the time limit depend on the load of the machine: the limit is meant for validators that never end.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
import weakref
from collections.abc import Sequence
from dataclasses import asdict

from linesmith.core.child_process import python_command, python_environment
from linesmith.core.errors import ParameterError, error_from_dict
from linesmith.records.validation.record_validator import BatchValidator, ValidationResult
from linesmith.records.validation.user_validator import ValidatorSource
from linesmith.records.validation.validator_process_main import HEADER, send_message

_START_SECONDS = 120.0  # imports may take a while, whatever the time limit per record is
_BATCH_SIZE = 256  # records per message
MAX_CONSECUTIVE_FAILURES = 20  # records on which the validator hung or ended its process, without a result in between

_open_processes: weakref.WeakSet[ValidatorProcess] = weakref.WeakSet()


def close_validator_processes() -> None:
    """End all validator processes that this process has started.

    A runner may keep the model, and the `ValidatorProcess` with it, longer than the run.
    """
    for process in list(_open_processes):
        process.close()


class ValidatorProcess(BatchValidator):
    """Checks texts in a child process, which is started with the first batch and restarted after a failure.

    Args:
        source: where the validator comes from.
        timeout: most seconds per record.
    """

    def __init__(self, source: ValidatorSource, timeout: float) -> None:
        self._source = source
        self._timeout = timeout
        self._child: _Child | None = None
        self._consecutive_failures = 0
        _open_processes.add(self)

    def start(self) -> None:
        """Start the child and load the validator now.

        Raises:
            ParameterError: the validator cannot be loaded.
        """
        self._running_child()

    def validate_batch(self, texts: Sequence[str]) -> list[ValidationResult]:
        """Check records. A batch costs one round trip; the time limit is per record all the same.

        Args:
            texts: records.

        Returns:
            Results in the order of the texts.

        Raises:
            ParameterError: the validator cannot be loaded, gives no answer, or failed on `MAX_CONSECUTIVE_FAILURES` records in a
                row.
        """
        results: list[ValidationResult] = []
        while len(results) < len(texts):
            results += self._validate_some(texts[len(results) : len(results) + _BATCH_SIZE])
        return results

    def close(self) -> None:
        """Kill the child, if there is one."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _validate_some(self, texts: Sequence[str]) -> list[ValidationResult]:
        """Return results for at least one of the texts, from the first on."""
        child = self._running_child()
        results: list[ValidationResult] = []
        try:
            child.send(list(texts))
            for _ in texts:
                answer = child.receive(self._timeout)
                if isinstance(answer, dict):
                    self.close()
                    raise error_from_dict(answer)
                results.append(ValidationResult(*answer) if isinstance(answer, list) else ValidationResult(True))
                self._consecutive_failures = 0
        except TimeoutError:
            results.append(
                self._count_failure(
                    ValidationResult(False, "timeout", f"the validator took longer than {self._timeout:g} s")
                )
            )
        except (EOFError, OSError):
            results.append(self._count_failure(ValidationResult(False, "validator", "the validator ended its process")))
        return results

    def _count_failure(self, result: ValidationResult) -> ValidationResult:
        """Kill the child after a failure and return the result for the record that caused it."""
        self.close()
        self._consecutive_failures += 1
        if self._consecutive_failures >= MAX_CONSECUTIVE_FAILURES:
            raise ParameterError(
                "LS121",
                f"--line-validator (line_validator) '{self._source.option}'",
                f"{result.explain}, for {self._consecutive_failures} records in a row",
                "Mend it, or give it more time (--validator-timeout).",
            )
        return result

    def _running_child(self) -> _Child:
        """Return the child; starts one and loads the validator if there is none."""
        if self._child is None:
            child = _Child()
            try:
                child.send(asdict(self._source))
                answer = child.receive(_START_SECONDS)
            except (TimeoutError, EOFError, OSError) as error:
                child.kill()
                what = (
                    f"took longer than {_START_SECONDS:g} s to load"
                    if isinstance(error, TimeoutError)
                    else "ended the process while it was loaded"
                )
                raise ParameterError(
                    "LS121",
                    f"--line-validator (line_validator) '{self._source.option}'",
                    what,
                    "Mend what it does when it is imported.",
                ) from None
            if answer is not True:
                child.kill()
                raise ParameterError.from_message("LS107", str(answer))
            self._child = child
        return self._child


class _Child:
    """The child process and its two pipes."""

    def __init__(self) -> None:
        to_child, self._request_pipe = os.pipe()
        self._answer_pipe, from_child = os.pipe()
        try:
            self._process = subprocess.Popen(
                python_command(
                    "-m", "linesmith.records.validation.validator_process_main", str(to_child), str(from_child)
                ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(to_child, from_child),
                env=python_environment(),
            )
        finally:
            os.close(to_child)
            os.close(from_child)
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(self._answer_pipe, select.POLLIN)
        # Also called when this object is garbage collected, and at exit.
        self._kill = weakref.finalize(self, _kill, self._process, self._request_pipe, self._answer_pipe)

    def send(self, message: object) -> None:
        """Send a message of plain JSON types."""
        send_message(self._request_pipe, message)

    def receive(self, seconds: float) -> object:
        """Return the next message.

        Raises:
            TimeoutError: the message is not complete in time.
            EOFError: the child has ended.
        """
        deadline = time.monotonic() + seconds
        (length,) = HEADER.unpack(self._read(HEADER.size, deadline))
        return json.loads(self._read(length, deadline))

    def kill(self) -> None:
        """Kill the process and close the pipes."""
        self._kill()

    def _read(self, count: int, deadline: float) -> bytes:
        while len(self._buffer) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(1000 * left):
                raise TimeoutError
            more = os.read(self._answer_pipe, 1 << 16)
            if not more:
                raise EOFError
            self._buffer += more
        content = bytes(self._buffer[:count])
        del self._buffer[:count]
        return content


def _kill(process: subprocess.Popen, *pipes: int) -> None:
    process.kill()
    process.wait()
    for pipe in pipes:
        os.close(pipe)
