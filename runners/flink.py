"""Run on Flink: complete the options, since Beam's defaults are Docker workers, one process and a download.

`--flink_master` distinguishes three cases: `[local]`, a Flink inside the job server; a cluster on this machine, whose
TaskManagers start `linesmith-worker`; a cluster on other machines, with a worker pool beside each TaskManager. Beam would
download its job server from a Maven repository on first use, which does not have it for every version (docs/flink.md); so the
options must name the jar or a running job server.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.addresses import redact_address, redact_text
from linesmith.core.errors import ParameterError
from linesmith.runners.direct import WORKER_PLUGINS
from linesmith.runners.flink_job_server import keep_on_loopback
from linesmith.runners.flink_rest import ClusterInfo, is_this_machine, query_cluster
from linesmith.runners.mounts import is_mounted
from linesmith.runners.versions import DRIVER_DIRECTORY, DRIVER_VERSIONS, installed_versions

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_log = logging.getLogger("linesmith")
RUNNER_NAMES = ("FlinkRunner",)
LOCAL_MASTERS = ("[local]", "[auto]", "[collection]")
WORKER_COMMAND = "linesmith-worker"
WORKER_POOL = "localhost:50000"  # where Beam's containers listen when they are started with --worker_pool
FLINK_VERSION = "1.19"  # of the job server that docs/flink.md assembles
# How long idle workers are kept. If they were not, each stage would start new ones, which import TensorFlow again.
_KEEP_ENVIRONMENT_MILLIS = 10 * 60 * 1000


def complete_options(options: PipelineOptions) -> None:
    """Fill in parallelism, worker processes, environment and threads where the arguments do not set them.

    Args:
        options: parsed arguments; changed in place.

    Raises:
        ParameterError: no job server is named, the cluster does not answer or has another version, or it cannot start
            Linesmith's workers.
    """
    from apache_beam.options.pipeline_options import FlinkRunnerOptions, PortableOptions, SetupOptions, StandardOptions

    from linesmith.runners.linesmith_options import LinesmithOptions

    options.view_as(StandardOptions).runner = "FlinkRunner"
    flink, portable = options.view_as(FlinkRunnerOptions), options.view_as(PortableOptions)
    linesmith_options = options.view_as(LinesmithOptions)
    if portable.job_endpoint is None and flink.flink_job_server_jar is None:
        raise ParameterError(
            "LS403",
            "--runner FlinkRunner",
            "needs a job server",
            "Give --flink_job_server_jar JAR or --job_endpoint HOST:PORT. docs/flink.md says how to assemble one with "
            "Maven; Beam would otherwise try to download it.",
        )
    local = flink.flink_master in LOCAL_MASTERS
    cluster = None if local else query_cluster(flink.flink_master)
    _check_versions(options, cluster)
    if portable.job_endpoint is None:
        keep_on_loopback(flink.flink_job_server_jar, local)
    if flink.parallelism in (None, -1):
        default = os.cpu_count() or 1 if cluster is None else max(1, cluster.task_managers)
        flink.parallelism = linesmith_options.workers or default
    _complete_environment(portable, local, cluster)
    _complete_workers(portable, linesmith_options, flink.parallelism, cluster)
    if portable.environment_cache_millis == 0:
        portable.environment_cache_millis = _KEEP_ENVIRONMENT_MILLIS
    setup = options.view_as(SetupOptions)
    if portable.environment_type != "LOOPBACK":
        setup.beam_plugins = [*(setup.beam_plugins or []), *WORKER_PLUGINS]
    _log.info("flink: %s", profile_summary(options))
    if cluster is not None and not cluster.restarts:
        # Beam's own options for retries apply to streaming jobs only.
        _log.warning(
            "the Flink cluster at %s does not restart a job after a failure: a lost TaskManager will end this command; set "
            "restart-strategy.type in its configuration",
            redact_address(flink.flink_master),
        )


def profile_summary(options: PipelineOptions) -> str:
    """Return the completed options in one line, for the log."""
    from apache_beam.options.pipeline_options import FlinkRunnerOptions, PortableOptions

    from linesmith.runners.linesmith_options import LinesmithOptions

    flink, portable = options.view_as(FlinkRunnerOptions), options.view_as(PortableOptions)
    facts = {
        "master": flink.flink_master,
        "job server": portable.job_endpoint or flink.flink_job_server_jar,
        "workers": portable.environment_type,
        "parallelism": flink.parallelism,
        "worker processes per TaskManager": portable.sdk_worker_parallelism,
        "threads per worker": options.view_as(LinesmithOptions).threads_per_worker or "all cores",
        "workers kept for ms": portable.environment_cache_millis,
    }
    return redact_text(", ".join(f"{name} {value}" for name, value in facts.items()))


def check_option_paths(options: PipelineOptions, paths: Mapping[str, str]) -> None:
    """Refuse a path on a disk of this machine if the workers run on other machines.

    Args:
        options: complete options.
        paths: paths by the option that named each.

    Raises:
        ParameterError: LS405, a relative path, or one on a disk of this machine.
    """
    from apache_beam.options.pipeline_options import FlinkRunnerOptions

    from linesmith.runners.linesmith_options import LinesmithOptions

    master = options.view_as(FlinkRunnerOptions).flink_master
    if options.view_as(LinesmithOptions).workers_share_files or master in LOCAL_MASTERS or is_this_machine(master):
        return
    for option, path in paths.items():
        if "://" in path:
            continue
        if not Path(path).is_absolute():
            raise ParameterError(
                "LS405",
                f"{option} '{path}'",
                f"a relative path, which means another place on the workers at --flink_master {master}",
                "Give it in full.",
            )
        if not is_mounted(Path(path)):
            raise ParameterError(
                "LS405",
                f"{option} '{path}'",
                f"on a disk of this machine, and the workers at --flink_master {master} run on others",
                "Give a bucket address or a path on a file system that all of them mount at the same place; if it is "
                "one that does not look like it, add --workers_share_files.",
            )


def _check_versions(options: PipelineOptions, cluster: ClusterInfo | None) -> None:
    """Check that the cluster has the job server's version of Flink and the job server has this process's version of Beam.

    Raises:
        ParameterError: LS404, versions differ; LS411, the job server's jar does not exist.
    """
    from apache_beam.options.pipeline_options import FlinkRunnerOptions

    flink = options.view_as(FlinkRunnerOptions)
    if not any(str(flag).startswith("--flink_version") for flag in options._flags):  # Beam's default is another
        flink.flink_version = FLINK_VERSION
    if cluster is not None and cluster.version.split(".")[:2] != flink.flink_version.split("."):
        raise ParameterError(
            "LS404",
            f"--flink_master {flink.flink_master}",
            f"the cluster runs Flink {cluster.version}, and the job server is for {flink.flink_version}: a job would fail there",
            f"Use a cluster of Flink {flink.flink_version}, or a job server for the cluster's version together with "
            "--flink_version.",
        )
    jar_version = re.search(r"-(\d+\.\d+\.\d+)\.jar$", flink.flink_job_server_jar or "")
    beam = installed_versions()["apache-beam"]
    if jar_version is not None and jar_version[1] != beam:
        raise ParameterError(
            "LS404",
            f"--flink_job_server_jar '{flink.flink_job_server_jar}'",
            f"of Beam {jar_version[1]}, and Python's Beam is {beam}",
            "Give the job server of the same version.",
        )
    if flink.flink_job_server_jar and "://" not in flink.flink_job_server_jar:
        jar = Path(flink.flink_job_server_jar)
        if not jar.is_file():
            raise ParameterError(
                "LS411",
                f"--flink_job_server_jar '{jar}'",
                "no such file",
                "Give a job server; docs/flink.md says how to make one.",
            )


def _complete_environment(portable: PipelineOptions, local: bool, cluster: ClusterInfo | None) -> None:
    """Set what runs the Python code: this process, a command on the cluster, or a worker pool beside each TaskManager.

    Raises:
        ParameterError: the cluster is on this machine, and the command is not installed here.
    """
    if portable.environment_type is None:
        # LOOPBACK: the workers are this process, which is sure to live as long as the job only with a local master.
        portable.environment_type = "LOOPBACK" if local else "PROCESS" if is_on_this_machine(cluster) else "EXTERNAL"
    if portable.environment_config is not None or portable.environment_options:
        return
    if portable.environment_type == "EXTERNAL":
        portable.environment_config = WORKER_POOL
    elif portable.environment_type == "PROCESS":
        variables = {DRIVER_VERSIONS: json.dumps(installed_versions()), DRIVER_DIRECTORY: str(Path.cwd())}
        if is_on_this_machine(cluster) and os.environ.get("PYTHONPATH"):
            variables["PYTHONPATH"] = os.environ["PYTHONPATH"]
        portable.environment_config = json.dumps({"command": _worker_command(cluster), "env": variables})


def _worker_command(cluster: ClusterInfo | None) -> str:
    """Return the path of `linesmith-worker`; its bare name where only the machines of the cluster can have it.

    Raises:
        ParameterError: LS403, the workers run on this machine, and the command is not installed here.
    """
    beside_python = Path(sys.executable).with_name(WORKER_COMMAND)
    found = str(beside_python) if beside_python.is_file() else shutil.which(WORKER_COMMAND)
    if found is None and is_on_this_machine(cluster):
        raise ParameterError(
            "LS403",
            "--environment_config",
            f"{WORKER_COMMAND} is not installed beside '{sys.executable}'",
            "Install Linesmith in this environment, or give --environment_config.",
        )
    return found or WORKER_COMMAND


def _complete_workers(
    portable: PipelineOptions, linesmith_options: PipelineOptions, parallelism: int, cluster: ClusterInfo | None
) -> None:
    """Set one process per task on each TaskManager, and divide the cores among the processes.

    Raises:
        ParameterError: LS410, the cluster has fewer slots than the job has tasks.
    """
    if portable.environment_type == "LOOPBACK":
        return
    tasks = math.ceil(parallelism / max(1, cluster.task_managers)) if cluster is not None else parallelism
    # 1 is Beam's default, with which all tasks of a TaskManager share one process.
    if int(portable.sdk_worker_parallelism) == 1:
        portable.sdk_worker_parallelism = tasks
    # The number of cores of other machines is not known here: there, a worker takes all.
    if linesmith_options.threads_per_worker is None and is_on_this_machine(cluster):
        linesmith_options.threads_per_worker = max(1, (os.cpu_count() or 1) // parallelism)
    if cluster is not None and parallelism > cluster.slots:
        raise ParameterError(
            "LS410",
            f"--parallelism {parallelism}",
            f"more than the {cluster.slots} slots of the cluster at {cluster.master}: the job would wait for ever",
            "Give a smaller --parallelism, or start more TaskManagers.",
        )


def is_on_this_machine(cluster: ClusterInfo | None) -> bool:
    """Return whether the workers run on this machine; None stands for a local master."""
    return cluster is None or is_this_machine(cluster.master)
