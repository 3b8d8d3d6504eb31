"""Run a standalone Flink cluster on this machine: one JobManager, two TaskManagers and Beam's job server.

`make flink-up` and `make flink-down` call it. All jars come from the Maven repository (`tools.flink.downloads`), by way of the
machine's own Maven and Java; the jars and the cluster's files lie in a folder that git ignores. A cluster on other machines
needs nothing from here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.flink.downloads import JAR, ClusterError, fetch_software, pin_jars
from tools.flink.loopback import LOOPBACK_JAR

REST, JOBS, ARTIFACTS, EXPANSION = 8081, 8099, 8098, 8097
TASK_MANAGERS, SLOTS = 2, 2
_START_SECONDS = 90.0
_OPENS = "java.base/java.lang java.base/java.util java.base/java.net java.base/java.io java.base/java.nio java.base/java.time"
_JAVA_17 = [f"--add-opens={package}=ALL-UNNAMED" for package in [*_OPENS.split(), "java.base/java.util.concurrent"]]
# Small heaps are enough: the data is in the Python workers, and Flink exchanges it through its network memory.
_HEAPS = {"jobmanager": "384m", "taskmanager": "512m", "jobserver": "384m"}
# Jars that must not be on the boot class path: Flink uses the class loader of their classes, which is null there.
_JOB_SERVER_OWN = ("beam-runners-flink", "flink-java", "flink-clients", "flink-optimizer", "flink-streaming-java")
_SETTINGS = {
    "jobmanager.rpc.address": "localhost",
    "jobmanager.bind-host": "localhost",
    "jobmanager.rpc.port": "6123",
    "rest.address": "localhost",
    "rest.bind-address": "localhost",
    "rest.port": str(REST),
    "taskmanager.bind-host": "localhost",
    "taskmanager.host": "localhost",
    "taskmanager.numberOfTaskSlots": str(SLOTS),
    # Flink's shell scripts would compute these sizes; a TaskManager that is started without them needs all of them.
    "taskmanager.cpu.cores": str(float(SLOTS)),
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "64m",
    "taskmanager.memory.jvm-metaspace.size": "192m",
    "taskmanager.memory.jvm-overhead.min": "128m",
    "taskmanager.memory.jvm-overhead.max": "128m",
    "taskmanager.memory.task.heap.size": "384m",
    "taskmanager.memory.task.off-heap.size": "64m",
    "taskmanager.memory.network.min": "192m",
    "taskmanager.memory.network.max": "192m",
    # Each blocking exchange holds at least so many network buffers, and a pipeline of Linesmith has a dozen exchanges.
    "taskmanager.network.sort-shuffle.min-buffers": "64",
    "taskmanager.memory.managed.size": "192m",
    # Spread two tasks over the two TaskManagers; if one dies, the other has a slot for both.
    "taskmanager.load-balance.mode": "SLOTS",
    # Beam's classes are on the cluster's own class path; those that a job uploads are not used.
    "classloader.resolve-order": "parent-first",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "4",
    "restart-strategy.fixed-delay.delay": "2 s",
    "heartbeat.interval": "3000",
    "heartbeat.timeout": "20000",
    "akka.ask.timeout": "60 s",
}


class Cluster:
    """Cluster whose files are in `home`; creating an object starts nothing.

    Args:
        home: folder of the jars, the logs and the running cluster.
        streams: the job server can submit streaming jobs. It then uploads its jars with each job, which takes 20 s.

    Example:
        >>> Cluster("/nowhere").running()
        {}
    """

    def __init__(self, home: str | Path = ".flink", streams: bool = False) -> None:
        self.home = Path(home).absolute()
        self._streams = streams

    @property
    def jar(self) -> Path:
        """Jar of the job server, for `--flink_job_server_jar`."""
        return self.home / JAR

    @property
    def logs(self) -> Path:
        """Folder with one log per process."""
        return self.home / "logs"

    @property
    def beam_args(self) -> list[str]:
        """Beam arguments that run a stage on this cluster."""
        return ["--runner", "FlinkRunner", "--flink_master", f"localhost:{REST}", "--job_endpoint", f"localhost:{JOBS}"]

    def up(self) -> None:
        """Download what is missing, start all processes and wait until they are ready; on failure, stop them again.

        Raises:
            ClusterError: there is no Java or Maven, a port is in use, or a process ended or did not become ready.
        """
        if self.running():
            raise ClusterError("the cluster, or a part of it, runs already; make flink-down first")
        java = fetch_software(self.home)
        for port in (REST, JOBS, ARTIFACTS, EXPANSION):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("localhost", port))
                except OSError:
                    raise ClusterError(f"port {port} of this machine is in use; end what listens there") from None
        shutil.rmtree(self.home / "run", ignore_errors=True)
        (self.home / "run").mkdir(parents=True)
        self.logs.mkdir(exist_ok=True)
        try:
            self._configure()
            self._start("jobmanager", java, "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint")
            for number in range(TASK_MANAGERS):
                self.start_task_manager(number, java)
            self._start_job_server(java)
            self._wait()
        except BaseException:
            self.down()
            raise

    def start_task_manager(self, number: int, java: str | None = None) -> None:
        """Start one TaskManager, for example to replace one that died."""
        entry = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
        self._start(f"taskmanager-{number}", java or fetch_software(self.home), entry)

    def kill(self, name: str) -> None:
        """Kill one process, as if its machine had lost power: for tests of faults."""
        os.kill(self.running()[name], signal.SIGKILL)

    def running(self) -> dict[str, int]:
        """Return the ids of the running processes by name."""
        processes = {}
        for file in sorted((self.home / "run").glob("*.pid")):
            pid, start_time = file.read_text("utf-8").split()
            if _start_time(int(pid)) == start_time:
                processes[file.stem] = int(pid)
        return processes

    def down(self) -> None:
        """Stop every process of the cluster that runs, even if only some do; do nothing if none does."""
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.running().values():
                try:
                    os.kill(pid, signal_number)
                except ProcessLookupError:
                    continue
            deadline = time.monotonic() + 15
            while self.running() and time.monotonic() < deadline:
                time.sleep(0.1)
        shutil.rmtree(self.home / "run", ignore_errors=True)

    def overview(self) -> dict[str, Any]:
        """Return the overview of the JobManager's REST service."""
        with urllib.request.urlopen(f"http://localhost:{REST}/overview", timeout=5) as response:
            overview: dict[str, Any] = json.load(response)
        return overview

    def _configure(self) -> None:
        settings = {
            **_SETTINGS,
            "io.tmp.dirs": str(self.home / "run"),
            "blob.storage.directory": str(self.home / "run"),
        }
        lines = [f"{name}: {value}" for name, value in settings.items()]
        (self.home / "run" / "flink-conf.yaml").write_text("\n".join(lines) + "\n", "utf-8")

    def _start(self, name: str, java: str, main: str) -> None:
        # Two jars hold classes of the same name, and those that Beam's own sinks report metrics with differ between them: in an
        # order that the file system decides, the job server could not read what a TaskManager wrote.
        jars = [str(self.home / LOOPBACK_JAR), *self._jars()]
        self._spawn(name, java, ["-cp", ":".join(jars), main, "--configDir", str(self.home / "run")])

    def _jars(self) -> list[str]:
        return sorted(str(jar) for jar in (self.home / "lib").glob("*.jar"))

    def _start_job_server(self, java: str) -> None:
        ports = [f"--job-port={JOBS}", f"--artifact-port={ARTIFACTS}", f"--expansion-port={EXPANSION}"]
        addresses = [f"--flink-master=localhost:{REST}", f"--artifacts-dir={self.home / 'run' / 'artifacts'}"]
        # A job server uploads its whole class path, 157 MB, with every job, which takes 20 s. The cluster has all of these
        # jars; so every jar that can be is on the boot class path, which is not uploaded.
        # Classes that are there do not see java.sql, which Flink wants for the types of a stream.
        jars = self._jars()
        uploaded = [jar for jar in jars if Path(jar).name.startswith(_JOB_SERVER_OWN)]
        kept = [str(self.home / LOOPBACK_JAR), *(jar for jar in jars if jar not in uploaded)]
        paths = [f"-Xbootclasspath/a:{':'.join(kept)}", "-cp", ":".join(uploaded)]
        if self._streams:
            paths = ["-cp", ":".join([*kept, *uploaded])]
        main = "org.apache.beam.runners.flink.FlinkJobServerDriver"
        self._spawn("jobserver", java, [*paths, main, *ports, *addresses])

    def _spawn(self, name: str, java: str, arguments: Sequence[str]) -> None:
        heap = f"-Xmx{_HEAPS[name.partition('-')[0]]}"
        # The serial collector needs one thread; the Python workers need the cores.
        command = [java, heap, "-XX:+UseSerialGC", *_JAVA_17, *arguments]
        with open(self.logs / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.home
            )
        (self.home / "run" / f"{name}.pid").write_text(f"{process.pid} {_start_time(process.pid)}", "utf-8")

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            ended = [name for name in self._expected_processes() if name not in self.running()]
            if ended:
                raise ClusterError(f"{ended[0]} ended; its log:\n{self._tail(ended[0])}")
            if self._is_ready():
                return
            time.sleep(0.3)
        raise ClusterError(f"the cluster was not ready within {_START_SECONDS:g} s; see {self.logs}")

    def _expected_processes(self) -> list[str]:
        return ["jobmanager", *(f"taskmanager-{number}" for number in range(TASK_MANAGERS)), "jobserver"]

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection(("localhost", JOBS), timeout=1):
                return bool(self.overview().get("taskmanagers") == TASK_MANAGERS)
        except OSError:
            return False

    def _tail(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text("utf-8", "replace")[-2000:]


def _start_time(pid: int) -> str | None:
    """Return when a process was started, in clock ticks since boot; None if there is none, or it is a zombie.

    The system reuses process ids; an id together with its start time is unique.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the cluster, stop it, pin the jars it is made of, or print what runs; return the exit code."""
    parser = argparse.ArgumentParser(prog="flink_cluster", description=str(__doc__).partition("\n")[0])
    parser.add_argument("action", choices=("up", "down", "status", "pin"))
    parser.add_argument("--home", default=".flink", help="folder of the jars, the logs and the running cluster")
    parsed = parser.parse_args(arguments)
    cluster = Cluster(parsed.home)
    try:
        if parsed.action == "down":
            cluster.down()
        elif parsed.action == "up":
            cluster.up()
        elif parsed.action == "pin":
            print(f"flink: {pin_jars()} jars pinned")  # noqa: T201
            return 0
    except ClusterError as error:
        print(f"flink: {error}", file=sys.stderr)  # noqa: T201
        return 1
    running = cluster.running()
    print(f"flink: {', '.join(running) or 'nothing runs'}")  # noqa: T201
    if running:
        print(f"flink: options: {' '.join(cluster.beam_args)}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
