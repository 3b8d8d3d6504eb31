"""Beam arguments become complete options, or an error that names what is missing. No job is submitted."""

from __future__ import annotations

import importlib.util

import pytest
from apache_beam.options.pipeline_options import DirectOptions, FlinkRunnerOptions, PortableOptions, SetupOptions

from linesmith.core.errors import ParameterError
from linesmith.runners import check_beam_args, flink, pipeline_options, runner_name
from linesmith.runners.flink_rest import ClusterInfo

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "arguments",
    [[], ["--runner", "DirectRunner"], ["--runner=direct"], ["--runner", "FnApiRunner"], ["--runner", "directrunner"]],
)
def test_the_default_is_the_in_process_runner(arguments):
    options = pipeline_options(arguments)
    assert runner_name(options) == "FnApiRunner"
    assert options.view_as(DirectOptions).direct_running_mode == "in_memory"


@pytest.mark.parametrize(
    ("workers", "mode"), [("1", "in_memory"), ("2", "multi_processing"), ("0", "multi_processing")]
)
def test_several_workers_are_several_processes(workers, mode):
    options = pipeline_options(["--direct_num_workers", workers])
    assert options.view_as(DirectOptions).direct_running_mode == mode
    plugins = options.view_as(SetupOptions).beam_plugins or []
    assert all(importlib.util.find_spec(name) for name in plugins)
    assert bool(plugins) == (mode == "multi_processing")


def test_a_mode_that_was_asked_for_stays():
    options = pipeline_options(["--direct_num_workers", "2", "--direct_running_mode", "multi_threading"])
    assert options.view_as(DirectOptions).direct_running_mode == "multi_threading"


def test_flink_on_this_machine_is_complete():
    options = pipeline_options(
        ["--runner", "FlinkRunner", "--flink_master", "[local]", "--job_endpoint", "localhost:8099"]
    )
    assert runner_name(options) == "FlinkRunner"
    portable = options.view_as(PortableOptions)
    assert portable.environment_type == "LOOPBACK"
    assert portable.environment_cache_millis > 0
    assert options.view_as(FlinkRunnerOptions).parallelism >= 1


def test_flink_on_a_cluster_keeps_what_was_given(monkeypatch, tmp_path):
    monkeypatch.setattr(flink, "query_cluster", lambda master: ClusterInfo(master, "1.19.3", 4, 8))
    (tmp_path / "server.jar").touch()
    arguments = [
        "--runner",
        "flink",
        "--flink_master",
        "host:8081",
        "--flink_job_server_jar",
        str(tmp_path / "server.jar"),
        "--parallelism",
        "8",
    ]
    arguments += ["--environment_type", "EXTERNAL", "--sdk_worker_parallelism", "2"]
    options = pipeline_options(arguments)
    given, portable = options.view_as(FlinkRunnerOptions), options.view_as(PortableOptions)
    assert (given.flink_job_server_jar, given.parallelism) == (str(tmp_path / "server.jar"), 8)
    assert (portable.environment_type, portable.sdk_worker_parallelism) == ("EXTERNAL", "2")


def test_dataflow_ships_the_setup_file():
    arguments = ["--runner", "DataflowRunner", "--project", "p", "--region", "r", "--temp_location", "gs://lines/t"]
    assert pipeline_options(arguments).view_as(SetupOptions).setup_file.endswith("setup.py")


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--runner", "FlinkRunner"], "LS403", "--flink_job_server_jar"),
        (["--runner", "DataflowRunner", "--project", "p"], "LS403", "--region, --temp_location"),
        (["--runner", "Flunkrunner"], "LS401", "FlinkRunner"),
        (["--runner", "no.such.module.Runner"], "LS401", "no.such.module.Runner"),
        (["--runner", "PrismRunner"], "LS401", "--prism_location"),
        (["--job_name"], "LS122", "expected one argument"),
        (["--parallelism", "two"], "LS122", "two"),
        (["--sdk_worker_paralelism", "2"], "LS110", "--sdk_worker_parallelism"),
        (["-x"], "LS110", "-x"),
    ],
)
def test_what_cannot_run_is_refused(arguments, code, named):
    with pytest.raises(ParameterError, match=code) as refusal:
        pipeline_options(arguments)
    assert named in str(refusal.value)


def test_options_of_every_installed_runner_are_known():
    check_beam_args(
        ["--project", "p", "--spark_version", "3", "--prism_location", "x", "--s3_region_name", "r", "--hdfs_port", "1"]
    )
