"""On Flink: a profile without gaps, since Beam's defaults are Docker workers, one process and a download.

Three places, told apart by `--flink_master`: `[local]`, inside the job server; a cluster on this machine, whose
TaskManagers start `linesmith-worker`; a cluster elsewhere, with a worker pool beside each TaskManager. Beam would fetch its
job server from a Maven repository on first use, from which it cannot be had for every version (docs/flink.md); so the jar,
or a job server that runs already, must be named.
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

from linesmith.core.errors import ParameterError
from linesmith.runners.direct import WORKER_PLUGINS
from linesmith.runners.flink_rest import ClusterInfo, ask, is_this_machine
from linesmith.runners.mounts import is_mounted
from linesmith.runners.versions import DRIVER_DIRECTORY, DRIVER_VERSIONS, versions

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_log = logging.getLogger("linesmith")
NAMES = ("FlinkRunner",)
LOCAL_MASTERS = ("[local]", "[auto]", "[collection]")
WORKER_COMMAND = "linesmith-worker"
WORKER_POOL = "localhost:50000"  # where Beam's containers listen when they are started with --worker_pool
FLINK_VERSION = "1.19"  # of the job server that docs/flink.md assembles
_KEEP_ENVIRONMENT_MILLIS = 10 * 60 * 1000  # without it every stage starts its workers, and imports TensorFlow, anew


def complete(options: PipelineOptions) -> None:
    """Fill in parallelism, worker processes, environment and threads where the arguments leave them open.

    Raises:
        ParameterError: no job server is named, the cluster does not answer or has another version, or it cannot start our
            workers.
    """
    from apache_beam.options.pipeline_options import FlinkRunnerOptions, PortableOptions, SetupOptions, StandardOptions

    from linesmith.runners.linesmith_options import LinesmithOptions

    options.view_as(StandardOptions).runner = "FlinkRunner"
    flink, portable = options.view_as(FlinkRunnerOptions), options.view_as(PortableOptions)
    own = options.view_as(LinesmithOptions)
    if portable.job_endpoint is None and flink.flink_job_server_jar is None:
        raise ParameterError(
            "LS403: --runner FlinkRunner needs a job server: give --flink_job_server_jar JAR or --job_endpoint HOST:PORT. "
            "docs/flink.md says how to assemble one with Maven; Beam would otherwise try to download it."
        )
    local = flink.flink_master in LOCAL_MASTERS
    facts = None if local else ask(flink.flink_master)
    _check_versions(options, facts)
    if flink.parallelism in (None, -1):
        flink.parallelism = own.workers or (os.cpu_count() or 1 if facts is None else max(1, facts.task_managers))
    _complete_environment(portable, local, facts)
    _complete_workers(portable, own, flink.parallelism, facts)
    if portable.environment_cache_millis == 0:
        portable.environment_cache_millis = _KEEP_ENVIRONMENT_MILLIS
    setup = options.view_as(SetupOptions)
    if portable.environment_type != "LOOPBACK":
        setup.beam_plugins = [*(setup.beam_plugins or []), *WORKER_PLUGINS]
    _log.info("flink: %s", describe(options))
    if facts is not None and not facts.restarts:
        # Beam hands its own options about retries to streaming jobs only.
        _log.warning(
            "the Flink cluster at %s starts no job again after a failure: a lost TaskManager will end this command; set "
            "restart-strategy.type in its configuration",
            flink.flink_master,
        )


def describe(options: PipelineOptions) -> str:
    """The resolved profile in one line."""
    from apache_beam.options.pipeline_options import FlinkRunnerOptions, PortableOptions

    from linesmith.runners.linesmith_options import LinesmithOptions

    flink, portable = options.view_as(FlinkRunnerOptions), options.view_as(PortableOptions)
    shown = {
        "master": flink.flink_master,
        "job server": portable.job_endpoint or flink.flink_job_server_jar,
        "workers": portable.environment_type,
        "parallelism": flink.parallelism,
        "worker processes a TaskManager": portable.sdk_worker_parallelism,
        "threads a worker": options.view_as(LinesmithOptions).threads_per_worker or "as TensorFlow chooses",
        "workers kept for ms": portable.environment_cache_millis,
    }
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def check_option_paths(options: PipelineOptions, paths: Mapping[str, str]) -> None:
    """Refuse a path on a disk of this machine where the workers run on others.

    Args:
        options: complete options.
        paths: by the option that named each.

    Raises:
        ParameterError: LS405.
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
                f"LS405: {option} '{path}' is a relative path, which means another place on the workers at --flink_master "
                f"{master}; give it in full."
            )
        if not is_mounted(Path(path)):
            raise ParameterError(
                f"LS405: {option} '{path}' is on a disk of this machine, and the workers at --flink_master {master} run on "
                "others. Give a bucket address or a path on a file system that all of them mount at the same place; if it is "
                "one that does not look like it, add --workers_share_files."
            )


def _check_versions(options: PipelineOptions, facts: ClusterInfo | None) -> None:
    """Flink's version must be the one that the job server speaks, and the job server's Beam must be ours.

    Raises:
        ParameterError: they differ.
    """
    from apache_beam.options.pipeline_options import FlinkRunnerOptions

    flink = options.view_as(FlinkRunnerOptions)
    if not any(str(flag).startswith("--flink_version") for flag in options._flags):  # Beam's default is another
        flink.flink_version = FLINK_VERSION
    if facts is not None and facts.version.split(".")[:2] != flink.flink_version.split("."):
        raise ParameterError(
            f"LS404: the cluster at --flink_master {flink.flink_master} runs Flink {facts.version}, and the job server is for "
            f"{flink.flink_version}: a job would fail there. Use a cluster of Flink {flink.flink_version}, or a job server for "
            "the cluster's version together with --flink_version."
        )
    named = re.search(r"-(\d+\.\d+\.\d+)\.jar$", flink.flink_job_server_jar or "")
    beam = versions()["apache-beam"]
    if named is not None and named[1] != beam:
        raise ParameterError(
            f"LS404: --flink_job_server_jar '{flink.flink_job_server_jar}' is of Beam {named[1]}, and Python's is {beam}; give "
            "the job server of the same version."
        )
    if flink.flink_job_server_jar and "://" not in flink.flink_job_server_jar:
        jar = Path(flink.flink_job_server_jar)
        if not jar.is_file():
            raise ParameterError(
                f"LS403: --flink_job_server_jar '{jar}' is no file; docs/flink.md says how to make one."
            )


def _complete_environment(portable: PipelineOptions, local: bool, facts: ClusterInfo | None) -> None:
    """What runs our code: this process, a command on the cluster, or a worker pool beside each TaskManager.

    Raises:
        ParameterError: the command is not installed here, and so not on a cluster on this machine.
    """
    if portable.environment_type is None:
        # LOOPBACK: the workers are this process, which lives as long as the job only on a local master.
        portable.environment_type = "LOOPBACK" if local else "PROCESS" if is_here(facts) else "EXTERNAL"
    if portable.environment_config is not None or portable.environment_options:
        return
    if portable.environment_type == "EXTERNAL":
        portable.environment_config = WORKER_POOL
    elif portable.environment_type == "PROCESS":
        variables = {DRIVER_VERSIONS: json.dumps(versions()), DRIVER_DIRECTORY: str(Path.cwd())}
        if is_here(facts) and os.environ.get("PYTHONPATH"):
            variables["PYTHONPATH"] = os.environ["PYTHONPATH"]
        portable.environment_config = json.dumps({"command": _worker_command(facts), "env": variables})


def _worker_command(facts: ClusterInfo | None) -> str:
    """Path of `linesmith-worker`. A cluster elsewhere has it on its own path, or says where with --environment_config."""
    beside = Path(sys.executable).with_name(WORKER_COMMAND)
    found = str(beside) if beside.is_file() else shutil.which(WORKER_COMMAND)
    if found is None and is_here(facts):
        raise ParameterError(
            f"LS403: {WORKER_COMMAND} is not installed beside '{sys.executable}': install Linesmith in this environment, or "
            "give --environment_config."
        )
    return found or WORKER_COMMAND


def _complete_workers(
    portable: PipelineOptions, own: PipelineOptions, parallelism: int, facts: ClusterInfo | None
) -> None:
    """As many processes a TaskManager as it has tasks of ours, and the cores shared out among them."""
    if portable.environment_type == "LOOPBACK":
        return
    tasks = math.ceil(parallelism / max(1, facts.task_managers)) if facts is not None else parallelism
    if int(portable.sdk_worker_parallelism) == 1:  # Beam's default, and wrong for more than one task a TaskManager
        portable.sdk_worker_parallelism = tasks
    if own.threads_per_worker is None and (facts is None or is_here(facts)):
        own.threads_per_worker = max(1, (os.cpu_count() or 1) // parallelism)
    if facts is not None and parallelism > facts.slots:
        raise ParameterError(
            f"LS403: --parallelism {parallelism} is more than the {facts.slots} slots of the cluster at {facts.master}: the job "
            "would wait for ever. Give a smaller --parallelism, or start more TaskManagers."
        )


def is_here(facts: ClusterInfo | None) -> bool:
    """Whether the workers run on this machine."""
    return facts is None or is_this_machine(facts.master)
