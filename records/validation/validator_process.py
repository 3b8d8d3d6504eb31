"""A validator in a process of its own, so that one that hangs, exits or crashes costs a record and not the run.

The parent sends a batch of texts; the child answers record by record, so that each has its own time limit. A record whose
answer does not come in time is invalid with the reason `timeout`; the child is ended and a fresh one judges the rest. A child
that ends by itself makes its record invalid with the reason `validator`.

A validator that loses many records in a row works for none of them, and would keep a run busy for days: it ends the run.

A time limit depends on the machine: a validator that is near it gives other records on a busier one. It is meant for
validators that never end.
"""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import time
import weakref
from collections.abc import Sequence
from dataclasses import asdict

from linesmith.core.child_process import python_command, python_environment
from linesmith.core.errors import ParameterError
from linesmith.records.validation.record_validator import BatchValidator, Verdict
from linesmith.records.validation.user_validator import ValidatorSource

_HEAD = struct.Struct("<I")
_START_SECONDS = 120.0  # importing what a validator needs may take a while, whatever its limit a record is
_BATCH = 256
MAX_CONSECUTIVE_FAILURES = 20  # records that hung or ended the process, with none judged between them


_hosts: weakref.WeakSet[ValidatorProcess] = weakref.WeakSet()


def close_validator_processes() -> None:
    """End the children of this process: a runner may keep the model, and the host with it, longer than the run."""
    for host in list(_hosts):
        host.close()


class ValidatorProcess(BatchValidator):
    """Judges texts in a child process; started at the first question, restarted when it has to be.

    Args:
        source: where the validator comes from.
        timeout: most seconds for one record.
    """

    def __init__(self, source: ValidatorSource, timeout: float) -> None:
        self._source = source
        self._timeout = timeout
        self._child: _Child | None = None
        self._lost = 0  # records in a row
        _hosts.add(self)

    def start(self) -> None:
        """Load the validator now.

        Raises:
            ParameterError: LS107, it cannot be loaded.
        """
        self._started()

    def many(self, texts: Sequence[str]) -> list[Verdict]:
        """Verdicts, in order. A batch costs one round trip; the time limit is that of a record all the same.

        Raises:
            ParameterError: LS107, the validator cannot be loaded, or lost `MAX_CONSECUTIVE_FAILURES` records in a row.
        """
        verdicts: list[Verdict] = []
        while len(verdicts) < len(texts):
            verdicts += self._ask(texts[len(verdicts) : len(verdicts) + _BATCH])
        return verdicts

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _ask(self, texts: Sequence[str]) -> list[Verdict]:
        """Verdicts about at least one of the texts, from the first on."""
        child = self._started()
        verdicts: list[Verdict] = []
        try:
            child.send(list(texts))
            for _ in texts:
                verdicts.append(_verdict(child.receive(self._timeout)))
                self._lost = 0
        except TimeoutError:
            verdicts.append(
                self._lose(Verdict(False, "timeout", f"the validator took longer than {self._timeout:g} s"))
            )
        except (EOFError, OSError):
            verdicts.append(self._lose(Verdict(False, "validator", "the validator ended its process")))
        return verdicts

    def _lose(self, verdict: Verdict) -> Verdict:
        """The verdict about a record that cost its process."""
        self.close()
        self._lost += 1
        if self._lost >= MAX_CONSECUTIVE_FAILURES:
            raise ParameterError(
                f"LS107: --line-validator (line_validator) '{self._source.option}': {verdict.explain}, for {self._lost} records "
                "in a row. Mend it, or give it more time (--validator-timeout).",
                code="LS107",
            )
        return verdict

    def _started(self) -> _Child:
        if self._child is None:
            child = _Child()
            try:
                child.send(asdict(self._source))
                answer = child.receive(_START_SECONDS)
            except (TimeoutError, EOFError, OSError) as error:
                child.end()
                what = (
                    f"took longer than {_START_SECONDS:g} s to load"
                    if isinstance(error, TimeoutError)
                    else "ended the process"
                )
                raise ParameterError(
                    f"LS107: --line-validator (line_validator) '{self._source.option}' {what} while it was loaded; mend what "
                    "it does when it is imported.",
                    code="LS107",
                ) from None
            if answer is not True:
                child.end()
                raise ParameterError(str(answer), code="LS107")
            self._child = child
        return self._child


def _verdict(answer: object) -> Verdict:
    return Verdict(*answer) if isinstance(answer, list) else Verdict(True)


class _Child:
    """The process, and its two pipes. Messages are JSON behind their length."""

    def __init__(self) -> None:
        to_child, self._out = os.pipe()
        self._in, from_child = os.pipe()
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
        self._poll.register(self._in, select.POLLIN)
        self._end = weakref.finalize(self, _end, self._process, self._out, self._in)

    def send(self, message: object) -> None:
        content = json.dumps(message).encode()
        view = memoryview(_HEAD.pack(len(content)) + content)
        while view:
            view = view[os.write(self._out, view) :]

    def receive(self, seconds: float) -> object:
        """
        Raises:
            TimeoutError: the whole message did not come in time.
            EOFError: the child ended.
        """
        deadline = time.monotonic() + seconds
        (length,) = _HEAD.unpack(self._read(_HEAD.size, deadline))
        return json.loads(self._read(length, deadline))

    def end(self) -> None:
        self._end()

    def _read(self, count: int, deadline: float) -> bytes:
        while len(self._buffer) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(1000 * left):
                raise TimeoutError
            more = os.read(self._in, 1 << 16)
            if not more:
                raise EOFError
            self._buffer += more
        content = bytes(self._buffer[:count])
        del self._buffer[:count]
        return content


def _end(process: subprocess.Popen, *pipes: int) -> None:
    process.kill()
    process.wait()
    for pipe in pipes:
        os.close(pipe)
