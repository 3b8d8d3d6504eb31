"""The in-process runner's several-process mode, with workers that start at once, log quietly, and are missed when they die.

Beam starts these workers as new interpreters, without pipeline options (so that they log at INFO to the terminal they share
with us), and waits for ever for one that was killed.
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
from linesmith.runners.fork_server import shared
from linesmith.runners.workers import threads_per_worker

if TYPE_CHECKING:
    from apache_beam.pipeline import Pipeline
    from apache_beam.runners.portability.fn_api_runner.worker_handlers import GrpcServer, StateServicer
    from apache_beam.runners.runner import PipelineResult

_FORKED = "linesmith:environment:forked:v1"


class ProcessesRunner(FnApiRunner):
    """Passes the log level, the plug-ins and the threads to the workers; nothing else, since options may hold credentials."""

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> PipelineResult:
        told = {
            "beam:option:default_sdk_harness_log_level:v1": options.view_as(
                WorkerOptions
            ).default_sdk_harness_log_level,
            "beam:option:beam_plugins:v1": list(options.view_as(SetupOptions).beam_plugins or []),
            "beam:option:threads_per_worker:v1": threads_per_worker(options),
        }
        self._provision_info = ExtendedProvisionInfo(
            beam_provision_api_pb2.ProvisionInfo(retrieval_token="unused", pipeline_options=pack_Struct(**told))
        )
        return super().run_pipeline(pipeline, options)

    def run_via_runner_api(self, pipeline: beam_runner_api_pb2.Pipeline, options: PipelineOptions) -> PipelineResult:
        for environment in pipeline.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.urn = _FORKED
        return super().run_via_runner_api(pipeline, options)


@WorkerHandler.register_environment(_FORKED, bytes)
class ForkedWorkerHandler(GrpcWorkerHandler):
    """A worker process that is a fork of `fork_server`'s."""

    def __init__(
        self, command: bytes, state: StateServicer, provision_info: ExtendedProvisionInfo, grpc_server: GrpcServer
    ) -> None:
        super().__init__(state, provision_info, grpc_server)
        self._over = threading.Event()
        self._stopping = False

    def start_worker(self) -> None:
        options = self.provision_info.provision_info.pipeline_options
        own = {
            "CONTROL_API_SERVICE_DESCRIPTOR": _descriptor(self.control_address),
            "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(self.logging_api_service_descriptor()),
            "PIPELINE_OPTIONS": json_format.MessageToJson(options),
            "WORKER_ID": self.worker_id,
        }
        shared().start(self.worker_id, {**os.environ, **own}, self._on_end)

    def stop_worker(self) -> None:
        self._stopping = True
        self._over.wait()

    def _on_end(self, status: int) -> None:
        self._over.set()
        if self._stopping or not status:
            return
        how = f"was killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
        why = (
            " The system kills a process when memory runs out: give fewer --workers."
            if status == -signal.SIGKILL
            else ""
        )
        message = f"LS408: a worker process {how} before its work was done.{why} Nothing unfinished was put in place."
        self.control_conn.abort(ParameterError(message, code="LS408"))


def _descriptor(url: str) -> str:
    return text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=url))
