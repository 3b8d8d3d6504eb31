"""The in-process runner's several-process mode, whose workers are told how much to log.

Beam starts these workers without any pipeline options, so that they log at INFO to the terminal they share with us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, WorkerOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo
from apache_beam.utils.proto_utils import pack_Struct

if TYPE_CHECKING:
    from apache_beam.pipeline import Pipeline
    from apache_beam.runners.runner import PipelineResult


class ProcessesRunner(FnApiRunner):
    """Passes the log level and the plug-ins to the workers; nothing else, since options may hold credentials."""

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> PipelineResult:
        told = {
            "beam:option:default_sdk_harness_log_level:v1": options.view_as(
                WorkerOptions
            ).default_sdk_harness_log_level,
            "beam:option:beam_plugins:v1": list(options.view_as(SetupOptions).beam_plugins or []),
        }
        self._provision_info = ExtendedProvisionInfo(
            beam_provision_api_pb2.ProvisionInfo(retrieval_token="unused", pipeline_options=pack_Struct(**told))
        )
        return super().run_pipeline(pipeline, options)
