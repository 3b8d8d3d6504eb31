"""On Flink: a profile without gaps, since Beam's defaults are Docker workers, one process and a download.

Beam would fetch its job server from a Maven repository on first use, from which it cannot be had for every version
(docs/stack.md); so the jar, or a job server that runs already, must be named.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from model.errors import ParameterError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

NAMES = ("FlinkRunner",)
_LOCAL_MASTERS = ("[local]", "[auto]")
_KEEP_ENVIRONMENT_MILLIS = 10 * 60 * 1000  # without it every stage starts its workers, and imports TensorFlow, anew


def complete(options: PipelineOptions) -> None:
    """Fill in parallelism, worker processes and environment where the arguments leave them open.

    Raises:
        ParameterError: no job server is named.
    """
    from apache_beam.options.pipeline_options import FlinkRunnerOptions, PortableOptions, StandardOptions

    options.view_as(StandardOptions).runner = "FlinkRunner"
    flink = options.view_as(FlinkRunnerOptions)
    portable = options.view_as(PortableOptions)
    if portable.job_endpoint is None and flink.flink_job_server_jar is None:
        raise ParameterError(
            "LS403: --runner FlinkRunner needs a job server: give --flink_job_server_jar JAR or --job_endpoint HOST:PORT. "
            "docs/stack.md says how to assemble one with Maven; Beam would otherwise try to download it."
        )
    local = flink.flink_master in _LOCAL_MASTERS
    if portable.environment_type is None:
        # LOOPBACK: the workers are this process, which lives as long as the job only on a local master.
        portable.environment_type = "LOOPBACK" if local else "DOCKER"
    if portable.environment_cache_millis == 0:
        portable.environment_cache_millis = _KEEP_ENVIRONMENT_MILLIS
    if local and flink.parallelism in (None, -1):
        flink.parallelism = os.cpu_count() or 1
    if portable.sdk_worker_parallelism == 1 and portable.environment_type != "LOOPBACK":
        portable.sdk_worker_parallelism = 0  # 0: the runner decides, one worker a core
