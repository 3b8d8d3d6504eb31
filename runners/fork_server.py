"""Start worker processes as forks of one process that has imported their libraries.

TensorFlow, tf.Transform and Beam take ten seconds to import, each stage runs several pipelines, and Beam starts new workers
for every pipeline. A command with `--workers N` therefore starts one server process, which only imports the libraries while
the driver prepares. Every worker is a fork of the server: it starts at once and shares the memory of the libraries.

    python -m linesmith.runners.fork_server HIDDEN MODULE …      started by `ForkServer`; not for use by hand

The server reads one line of JSON per worker, `{"name": …, "directory": …, "environment": {…}}`, and writes
`{"name": …, "status": …}` when that worker has ended; `status` is an exit code, or minus the number of a signal. When its
input ends, which is when the driver ends, however it ends, the server kills its workers and exits.

The standard library's forkserver is not used: its preparation data runs the user's script again in each worker, one server is
shared by everything in the process (a user's own program may need it), and a driver that ends early cannot end it while it
imports, so that whoever reads the driver's output would wait.
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
from linesmith.core.import_blocker import hidden_packages, import_without

# Modules that workers use. They are only imported: threads and gRPC channels would not survive a fork.
_PRELOAD = (
    "linesmith.runners.worker_logging",  # first: it suppresses what the others write while they load
    "apache_beam.runners.worker.sdk_worker_main",
    "linesmith.transforms.generate_records",
)
_PRELOAD_WITH_TENSORFLOW = ("tensorflow", "tensorflow_transform.beam", "linesmith.transforms.encode_records")
_CLOSE_SECONDS = 2.0  # a server that is in its loop ends within this time


class ForkServer:
    """Driver's side of the server. A process normally has one: see `shared_fork_server`."""

    def __init__(self) -> None:
        # Workers load what the driver has loaded: a command that only generates or evaluates has no TensorFlow.
        modules = (*_PRELOAD, *(_PRELOAD_WITH_TENSORFLOW if "tensorflow" in sys.modules else ()))
        # One BLAS thread: other threads would not survive the fork.
        environment = python_environment({**os.environ, "OPENBLAS_NUM_THREADS": "1"})
        self._process = subprocess.Popen(
            python_command("-m", "linesmith.runners.fork_server", ",".join(hidden_packages), *modules),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._ended: dict[str, Callable[[int], None]] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="fork_server", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the server process runs."""
        return self._process.poll() is None

    def start(self, name: str, environment: Mapping[str, str], on_end: Callable[[int], None]) -> None:
        """Start a worker.

        Args:
            name: unique name of the worker.
            environment: all environment variables of the worker.
            on_end: called once, in another thread, with the exit code, or minus the number of the signal that killed it.
        """
        line = json.dumps({"name": name, "directory": os.getcwd(), "environment": dict(environment)})
        stdin = self._process.stdin
        with self._lock:
            self._ended[name] = on_end
            if stdin is not None:
                stdin.write(line.encode() + b"\n")
                stdin.flush()

    def close(self) -> None:
        """End the server and every worker that still runs."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:  # it is still importing, and has no workers
            self._process.kill()
            self._process.wait()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            report = json.loads(line)
            with self._lock:
                on_end = self._ended.pop(report["name"], None)
            if on_end is not None:
                on_end(report["status"])
        # The server is gone. Nobody can report how the remaining workers end, so they count as killed.
        with self._lock:
            remaining, self._ended = list(self._ended.values()), {}
        for on_end in remaining:
            on_end(-signal.SIGKILL)


_shared: list[ForkServer] = []


def shared_fork_server() -> ForkServer:
    """Return the server of this process; start it if there is none. It is closed when the process ends."""
    if not _shared or not _shared[0].alive:
        if not _shared:
            atexit.register(_close_shared)
        _shared[:] = [ForkServer()]
    return _shared[0]


def _close_shared() -> None:
    _shared[0].close()


def _python_path(environment: Mapping[str, str]) -> list[str]:
    return [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]


class _Server:
    """Server's side: fork a worker for each request and report each worker that ended."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}  # by process id
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)  # what a worker prints must not be taken for a report

    def run(self) -> None:
        """Serve until the input ends. Only the server returns from here; a worker's process ends in `_run_worker`."""
        # SIGCHLD writes a byte to the pipe, so that the selector wakes up when a worker has ended.
        wakeup_read, wakeup_write = os.pipe()
        os.set_blocking(wakeup_write, False)
        os.set_blocking(wakeup_read, False)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler, no byte is written
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            selector.register(wakeup_read, selectors.EVENT_READ)
            pending = b""  # of a line that is not complete yet
            while True:
                for key, _ in selector.select():
                    data = os.read(key.fd, 1 << 16)
                    if key.fd == wakeup_read:
                        self._report_ended()
                    elif not data:
                        return self._kill_workers()
                    else:
                        *lines, pending = (pending + data).split(b"\n")
                        for line in lines:
                            self._fork(json.loads(line), (wakeup_read, wakeup_write))

    def _fork(self, request: dict[str, object], server_descriptors: tuple[int, int]) -> None:
        pid = os.fork()
        if pid:
            self._names[pid] = str(request["name"])
            return
        signal.set_wakeup_fd(-1)
        for descriptor in server_descriptors:
            os.close(descriptor)
        self._out.close()
        _run_worker(request)

    def _report_ended(self) -> None:
        while self._names:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            report = {"name": self._names.pop(pid), "status": os.waitstatus_to_exitcode(status)}
            self._out.write(json.dumps(report).encode() + b"\n")

    def _kill_workers(self) -> None:
        for pid in self._names:
            os.kill(pid, signal.SIGKILL)


def _run_worker(request: dict[str, object]) -> None:
    """Run a Beam worker in this process, a fork of the server, and end the process."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        environment, directory = request["environment"], str(request["directory"])
        os.environ.clear()
        os.environ.update(environment)  # type: ignore[call-overload]
        os.chdir(directory)
        # Not the working directory: a file there may have the name of a module that is imported later.
        sys.path[:0] = [entry for entry in _python_path(os.environ) if entry not in sys.path]
        importlib.import_module("apache_beam.runners.worker.sdk_worker_main").main(["worker"])
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)  # sys.exit would run the exit handlers of the server


def main() -> None:
    """Import the libraries, then serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver handles Ctrl-C, and then closes the server's input
    server = _Server()
    hidden, *modules = sys.argv[1:]
    with import_without(*filter(None, hidden.split(","))):
        for name in modules:
            importlib.import_module(name)
    server.run()


if __name__ == "__main__":
    main()
