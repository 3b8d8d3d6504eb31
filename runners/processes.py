"""Run the in-process runner with several worker processes, which are forks of `fork_server`.

Beam's own mode of several processes starts a new interpreter per worker, passes it no pipeline options (so that it logs at
INFO to the driver's terminal), and waits forever for a worker that was killed. Here workers start at once, log quietly, and
one that dies ends the run with LS408.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, WorkerOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_provision_api_pb2, beam_runner_api_pb2, endpoints_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo
from apache_beam.runners.portability.fn_api_runner.worker_handlers import GrpcWorkerHandler, WorkerHandler
from apache_beam.utils.proto_utils import pack_Struct
from google.protobuf import json_format, text_format

from linesmith.core.errors import ParameterError
from linesmith.runners.fork_server import shared_fork_server
from linesmith.runners.loopback import WORKER_SERVERS, check_loopback, listen_on_loopback
from linesmith.runners.workers import threads_per_worker

if TYPE_CHECKING:
    from apache_beam.pipeline import Pipeline
    from apache_beam.runners.portability.fn_api_runner.worker_handlers import GrpcServer, StateServicer
    from apache_beam.runners.runner import PipelineResult

_FORKED_ENVIRONMENT = "linesmith:environment:forked:v1"


class ProcessesRunner(FnApiRunner):
    """Runner that starts workers as forks.

    Workers are given the log level, the plug-ins and the number of threads, and no other option: options may hold credentials.
    """

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> PipelineResult:
        """Run a pipeline as `FnApiRunner` does, with options for the workers."""
        worker_options = {
            "beam:option:default_sdk_harness_log_level:v1": options.view_as(
                WorkerOptions
            ).default_sdk_harness_log_level,
            "beam:option:beam_plugins:v1": list(options.view_as(SetupOptions).beam_plugins or []),
            "beam:option:threads_per_worker:v1": threads_per_worker(options),
        }
        self._provision_info = ExtendedProvisionInfo(
            beam_provision_api_pb2.ProvisionInfo(
                retrieval_token="unused", pipeline_options=pack_Struct(**worker_options)
            )
        )
        return super().run_pipeline(pipeline, options)

    def run_via_runner_api(self, pipeline: beam_runner_api_pb2.Pipeline, options: PipelineOptions) -> PipelineResult:
        """Run a pipeline in its portable form, with forked workers in place of new interpreters."""
        listen_on_loopback(WORKER_SERVERS)
        for environment in pipeline.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.urn = _FORKED_ENVIRONMENT
        return super().run_via_runner_api(pipeline, options)


@WorkerHandler.register_environment(_FORKED_ENVIRONMENT, bytes)
class ForkedWorkerHandler(GrpcWorkerHandler):
    """Beam's handle of one worker process, which is a fork of the fork server."""

    def __init__(
        self, command: bytes, state: StateServicer, provision_info: ExtendedProvisionInfo, grpc_server: GrpcServer
    ) -> None:
        super().__init__(state, provision_info, grpc_server)
        # Before any record is sent: a Beam that opens its servers in another way must not do so unnoticed.
        check_loopback(getattr(grpc_server, f"{name}_port") for name in ("control", "data", "state", "logging"))
        self._ended = threading.Event()
        self._stopping = False

    def start_worker(self) -> None:
        """Start the worker; return without waiting for it."""
        options = self.provision_info.provision_info.pipeline_options
        # The variables that Beam's sdk_worker_main reads.
        variables = {
            "CONTROL_API_SERVICE_DESCRIPTOR": _descriptor(self.control_address),
            "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(self.logging_api_service_descriptor()),
            "PIPELINE_OPTIONS": json_format.MessageToJson(options),
            "WORKER_ID": self.worker_id,
        }
        shared_fork_server().start(self.worker_id, {**os.environ, **variables}, self._on_end)

    def stop_worker(self) -> None:
        """Wait until the worker has ended, which it does when Beam closes its control connection."""
        self._stopping = True
        self._ended.wait()

    def _on_end(self, status: int) -> None:
        self._ended.set()
        if self._stopping or not status:
            return
        how = f"was killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
        remedy = (
            "The system kills a process when memory runs out: give fewer --workers."
            if status == -signal.SIGKILL
            else "Run the same command again."
        )
        error = ParameterError(
            "LS408",
            None,
            f"a worker process {how} before its work was done",
            f"{remedy} Nothing unfinished was put in place.",
        )
        self.control_conn.abort(error)  # without it, Beam waits forever for the worker's answer


def _descriptor(url: str) -> str:
    return text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=url))
