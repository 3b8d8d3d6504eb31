"""A standalone Flink cluster on this machine: one JobManager, two TaskManagers, and Beam's job server in front.

`make flink-up` and `make flink-down`. All jars come from the Maven repository (`tools.flink.downloads`), with the machine's
own Maven and Java; they and the cluster's files lie in a folder that git ignores. Nothing here is needed to use a cluster
that stands elsewhere.
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

from tools.flink.downloads import JAR, ClusterError, fetch

REST, JOBS, ARTIFACTS, EXPANSION = 8081, 8099, 8098, 8097
TASK_MANAGERS, SLOTS = 2, 2
_STARTED_WITHIN = 90.0
_OPENS = "java.base/java.lang java.base/java.util java.base/java.net java.base/java.io java.base/java.nio java.base/java.time"
_JAVA_17 = [f"--add-opens={one}=ALL-UNNAMED" for one in [*_OPENS.split(), "java.base/java.util.concurrent"]]
# Heaps are small: the data live in the Python workers, and Flink's own exchange fits in its network memory.
_HEAPS = {"jobmanager": "384m", "taskmanager": "512m", "jobserver": "384m"}
# Classes that must not be on the boot class path: Flink asks for their loader.
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
    # The memory that Flink's shell scripts would work out; started without them, a TaskManager must be told all of it.
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
    # Of the buffers that each blocking exchange must have; a pipeline of ours has a dozen exchanges.
    "taskmanager.network.sort-shuffle.min-buffers": "64",
    "taskmanager.memory.managed.size": "192m",
    # Two tasks go to two TaskManagers; after one dies, the other has room for both.
    "taskmanager.load-balance.mode": "SLOTS",
    # Beam's classes are in the cluster's own class path; what a job brings along is not used.
    "classloader.resolve-order": "parent-first",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "4",
    "restart-strategy.fixed-delay.delay": "2 s",
    "heartbeat.interval": "3000",
    "heartbeat.timeout": "20000",
    "akka.ask.timeout": "60 s",
}


class Cluster:
    """A cluster whose files lie in `home`; creating one starts nothing.

    Example:
        >>> Cluster("/nowhere").running()
        {}
    """

    def __init__(self, home: str | Path = ".flink") -> None:
        self.home = Path(home).absolute()

    @property
    def jar(self) -> Path:
        """The job server as one file, for `--flink_job_server_jar`."""
        return self.home / JAR

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def beam_args(self) -> list[str]:
        """What to give to a stage to run it here."""
        return ["--runner", "FlinkRunner", "--flink_master", f"localhost:{REST}", "--job_endpoint", f"localhost:{JOBS}"]

    def up(self) -> None:
        """Fetch what is missing, start everything and wait until it is ready; nothing runs on where that fails.

        Raises:
            ClusterError: no Java or Maven, a port in use, or a process that ended or did not become ready.
        """
        if self.running():
            raise ClusterError("the cluster, or a part of it, runs already; make flink-down first")
        java = fetch(self.home)
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
        """Start one TaskManager, as a replacement of one that died."""
        entry = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
        self._start(f"taskmanager-{number}", java or fetch(self.home), entry)

    def kill(self, name: str) -> None:
        """End one process at once, as a machine that loses power: for tests of faults."""
        os.kill(self.running()[name], signal.SIGKILL)

    def running(self) -> dict[str, int]:
        """Process ids by name of what runs."""
        found = {}
        for file in sorted((self.home / "run").glob("*.pid")):
            pid, started = file.read_text("utf-8").split()
            if _started(int(pid)) == started:
                found[file.stem] = int(pid)
        return found

    def down(self) -> None:
        """Stop what runs, in part started or not; says nothing where nothing does."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.running().values():
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
            end = time.monotonic() + 15
            while self.running() and time.monotonic() < end:
                time.sleep(0.1)
        shutil.rmtree(self.home / "run", ignore_errors=True)

    def overview(self) -> dict[str, Any]:
        """What the JobManager says about itself."""
        return _get("overview")

    def _configure(self) -> None:
        settings = {
            **_SETTINGS,
            "io.tmp.dirs": str(self.home / "run"),
            "blob.storage.directory": str(self.home / "run"),
        }
        lines = [f"{name}: {value}" for name, value in settings.items()]
        (self.home / "run" / "flink-conf.yaml").write_text("\n".join(lines) + "\n", "utf-8")

    def _start(self, name: str, java: str, main: str) -> None:
        self._spawn(name, java, ["-cp", f"{self.home / 'lib'}/*", main, "--configDir", str(self.home / "run")])

    def _start_job_server(self, java: str) -> None:
        ports = [f"--job-port={JOBS}", f"--artifact-port={ARTIFACTS}", f"--expansion-port={EXPANSION}"]
        where = [f"--flink-master=localhost:{REST}", f"--artifacts-dir={self.home / 'run' / 'artifacts'}"]
        # A job server uploads its whole class path, 157 MB, with every job, 20 s of work. The cluster has all of it; so what
        # can stand on the boot class path, which is not uploaded, does.
        jars = sorted(str(jar) for jar in (self.home / "lib").glob("*.jar"))
        own = [jar for jar in jars if Path(jar).name.startswith(_JOB_SERVER_OWN)]
        boot = f"-Xbootclasspath/a:{':'.join(jar for jar in jars if jar not in own)}"
        words = [boot, "-cp", ":".join(own), "org.apache.beam.runners.flink.FlinkJobServerDriver", *ports, *where]
        self._spawn("jobserver", java, words)

    def _spawn(self, name: str, java: str, words: Sequence[str]) -> None:
        heap = f"-Xmx{_HEAPS[name.partition('-')[0]]}"
        # The serial collector and one tier of compilation cost little beside the workers, which need the cores.
        line = [java, heap, "-XX:+UseSerialGC", *_JAVA_17, *words]
        with open(self.logs / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.home
            )
        (self.home / "run" / f"{name}.pid").write_text(f"{process.pid} {_started(process.pid)}", "utf-8")

    def _wait(self) -> None:
        end = time.monotonic() + _STARTED_WITHIN
        while time.monotonic() < end:
            gone = [one for one in self._expected() if one not in self.running()]
            if gone:
                raise ClusterError(f"{gone[0]} ended; its log:\n{self._tail(gone[0])}")
            if self._is_ready():
                return
            time.sleep(0.3)
        raise ClusterError(f"the cluster was not ready within {_STARTED_WITHIN:g} s; see {self.logs}")

    def _expected(self) -> list[str]:
        return ["jobmanager", *(f"taskmanager-{number}" for number in range(TASK_MANAGERS)), "jobserver"]

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection(("localhost", JOBS), timeout=1):
                return bool(self.overview().get("taskmanagers") == TASK_MANAGERS)
        except OSError:
            return False

    def _tail(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text("utf-8", "replace")[-2000:]


def _get(path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://localhost:{REST}/{path}", timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _started(pid: int) -> str | None:
    """When a process was started, so that a number that was given out again is not taken for it; None: it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def main(words: Sequence[str] | None = None) -> int:
    """`up`, `down` or `status`."""
    parser = argparse.ArgumentParser(prog="flink_cluster", description=str(__doc__).partition("\n")[0])
    parser.add_argument("what", choices=("up", "down", "status"))
    parser.add_argument("--home", default=".flink", help="folder of the jars, the logs and the running cluster")
    given = parser.parse_args(words)
    cluster = Cluster(given.home)
    try:
        if given.what == "down":
            cluster.down()
        elif given.what == "up":
            cluster.up()
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
