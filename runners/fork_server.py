"""Worker processes that need not load their libraries: each is a fork of one process that has.

TensorFlow, tf.Transform and Beam take ten seconds to import, each stage runs several pipelines, and Beam starts its workers
anew for every one of them. So a command with `--workers N` starts one process that imports everything and nothing more, while
the driver prepares, and every worker is a fork of it: it begins at once and shares the memory of the libraries.

    python -m linesmith.runners.fork_server      started by `ForkServer`, and of no use otherwise

It reads a line of JSON for each worker, `{"name": …, "directory": …, "environment": {…}}`, and writes `{"name": …, "status": …}`
when that worker has ended; `status` is an exit code, or minus a signal's number. It ends, and its workers with it, when its
input does: nothing survives the driver.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping

from linesmith.core.child_process import python_command, python_environment

# What workers use. They are imported, and nothing of them is run: threads and channels do not live through a fork.
PRELOAD = (
    "linesmith.runners.worker_logging",  # first: it holds back what the others write while they load
    "apache_beam.runners.worker.sdk_worker_main",
    "tensorflow",
    "tensorflow_transform.beam",
    "linesmith.transforms.encode_records",
    "linesmith.transforms.generate_records",
)
_PATIENCE = 2.0  # seconds for a server that is at its loop to end


class ForkServer:
    """The driver's end. One for the life of the process is enough: see `shared`."""

    def __init__(self) -> None:
        # One thread of BLAS: its others would not live through the fork.
        environment = python_environment({**os.environ, "OPENBLAS_NUM_THREADS": "1"})
        self._process = subprocess.Popen(
            python_command("-m", "linesmith.runners.fork_server"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._ended: dict[str, Callable[[int], None]] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="fork_server", daemon=True).start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def start(self, name: str, environment: Mapping[str, str], on_end: Callable[[int], None]) -> None:
        """Start a worker.

        Args:
            name: tells it from the others.
            environment: all its environment variables.
            on_end: told of its exit code, or of minus the signal that killed it, in another thread.
        """
        line = json.dumps({"name": name, "directory": os.getcwd(), "environment": dict(environment)})
        stdin = self._process.stdin
        with self._lock:
            self._ended[name] = on_end
            if stdin is not None:
                stdin.write(line.encode() + b"\n")
                stdin.flush()

    def close(self) -> None:
        """End it, and every worker that still runs."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:  # it still imports, and has no workers
            self._process.kill()
            self._process.wait()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            said = json.loads(line)
            with self._lock:
                on_end = self._ended.pop(said["name"], None)
            if on_end is not None:
                on_end(said["status"])
        # It was killed: so are its workers, or they will be without a parent that could tell.
        with self._lock:
            left, self._ended = list(self._ended.values()), {}
        for on_end in left:
            on_end(-signal.SIGKILL)


_shared: list[ForkServer] = []


def shared() -> ForkServer:
    """The one of this process, started where there is none. It is closed when the process ends."""
    if not _shared or not _shared[0].alive:
        if not _shared:
            atexit.register(_close_shared)
        _shared[:] = [ForkServer()]
    return _shared[0]


def _close_shared() -> None:
    _shared[0].close()


def _python_path(environment: Mapping[str, str]) -> list[str]:
    return [place for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place]


class _Server:
    """Forks on request, and says who ended."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)  # what a worker prints is not an answer of ours

    def run(self) -> None:
        """Until the input ends. Returns in the server only; a worker's process ends in `_become`."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            pending = b""
            while True:
                for key, _ in selector.select():
                    read = os.read(key.fd, 1 << 16)
                    if key.fd == woken:
                        self._reap()
                    elif not read:
                        return self._end()
                    else:
                        *lines, pending = (pending + read).split(b"\n")
                        for line in lines:
                            self._fork(json.loads(line), (woken, wake))

    def _fork(self, wanted: dict[str, object], ours: tuple[int, int]) -> None:
        pid = os.fork()
        if pid:
            self._names[pid] = str(wanted["name"])
            return
        signal.set_wakeup_fd(-1)
        for descriptor in ours:
            os.close(descriptor)
        self._out.close()
        _become(wanted)

    def _reap(self) -> None:
        while self._names:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            said = {"name": self._names.pop(pid), "status": os.waitstatus_to_exitcode(status)}
            self._out.write(json.dumps(said).encode() + b"\n")

    def _end(self) -> None:
        for pid in self._names:
            os.kill(pid, signal.SIGKILL)


def _become(wanted: dict[str, object]) -> None:
    """Run a worker in this process, a fork, and end it."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        environment, directory = wanted["environment"], str(wanted["directory"])
        os.environ.clear()
        os.environ.update(environment)  # type: ignore[call-overload]
        os.chdir(directory)
        sys.path[:0] = [place for place in (directory, *_python_path(os.environ)) if place not in sys.path]
        importlib.import_module("apache_beam.runners.worker.sdk_worker_main").main(["worker"])
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)  # the server's own clean-up is not ours to run


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle; it closes our input
    server = _Server()
    for name in PRELOAD:
        importlib.import_module(name)
    server.run()


if __name__ == "__main__":
    main()
