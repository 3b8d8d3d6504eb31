"""Checks before a job is submitted: versions, paths that workers can see, and whether more workers help."""

from __future__ import annotations

import http.server
import json
import logging
import os
import threading
import zipfile
from pathlib import Path
from typing import ClassVar

import grpc
import pytest
from apache_beam.options.pipeline_options import FlinkRunnerOptions, PortableOptions, SetupOptions

from linesmith.core import library_logging
from linesmith.core.errors import ParameterError
from linesmith.runners import (
    check_shared_paths,
    direct,
    flink,
    flink_worker,
    idle_worker_notice,
    pipeline_options,
    threads_per_worker,
    worker_count,
)
from linesmith.runners.flink_rest import ClusterInfo
from linesmith.runners.mounts import is_mounted
from linesmith.runners.versions import DRIVER_VERSIONS, installed_versions, version_differences
from linesmith.transforms.worker_errors import reraise_worker_errors

pytestmark = pytest.mark.integration

_ENDPOINT = ["--runner", "FlinkRunner", "--job_endpoint", "localhost:8099"]


@pytest.fixture
def cluster(monkeypatch):
    """Fake the REST service of a JobManager with two TaskManagers of two slots each, on this machine or another."""
    monkeypatch.setattr(flink.shutil, "which", lambda name: f"/usr/bin/{name}")

    def make(version="1.19.0", here=True):
        monkeypatch.setattr(flink, "query_cluster", lambda master: ClusterInfo(master, version, 2, 4))
        monkeypatch.setattr(flink, "is_this_machine", lambda master: here)
        return [*_ENDPOINT, "--flink_master", "jobmanager:8081"]

    return make


def test_a_job_server_of_this_machine_is_kept_on_the_loopback(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("FLINK_CONF_DIR", raising=False)
    patched, plain = tmp_path / "patched.jar", tmp_path / "plain.jar"
    for jar, classes in ((patched, "loopback.jar lib/a.jar"), (plain, "lib/a.jar")):
        with zipfile.ZipFile(jar, "w") as archive:
            archive.writestr("META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\r\nClass-Path: {classes}\r\n")
    local = ["--runner", "FlinkRunner", "--flink_master", "[local]", "--flink_job_server_jar"]
    pipeline_options([*local, str(patched)])
    configuration = Path(os.environ["FLINK_CONF_DIR"], "flink-conf.yaml").read_text()
    assert "rest.bind-address: localhost" in configuration and "jobmanager.bind-host: localhost" in configuration
    assert "all interfaces" not in caplog.text
    monkeypatch.setenv("FLINK_CONF_DIR", "mine")
    pipeline_options([*local, str(plain)])
    assert os.environ["FLINK_CONF_DIR"] == "mine"
    assert "plain.jar' listens on all interfaces" in caplog.text


def test_a_cluster_here_starts_worker_processes(cluster):
    options = pipeline_options(cluster())
    portable = options.view_as(PortableOptions)
    assert portable.environment_type == "PROCESS"
    environment = json.loads(portable.environment_config)
    assert environment["command"].endswith("linesmith-worker")
    assert json.loads(environment["env"][DRIVER_VERSIONS]) == installed_versions()
    assert options.view_as(FlinkRunnerOptions).parallelism == 2
    assert int(portable.sdk_worker_parallelism) == 1
    assert threads_per_worker(options) == max(1, (flink.os.cpu_count() or 1) // 2)
    assert "linesmith.runners.worker_threads" in options.view_as(SetupOptions).beam_plugins


def test_a_cluster_elsewhere_has_worker_pools(cluster):
    options = pipeline_options([*cluster(here=False), "--workers", "4"])
    portable = options.view_as(PortableOptions)
    assert (portable.environment_type, portable.environment_config) == ("EXTERNAL", "localhost:50000")
    assert (worker_count(options), int(portable.sdk_worker_parallelism)) == (4, 2)
    assert threads_per_worker(options) is None


@pytest.mark.parametrize(
    ("more", "version", "code", "named"),
    [
        ([], "1.20.1", "LS404", "1.20.1"),
        (["--flink_version", "1.20"], "1.19.0", "LS404", "1.20"),
        (["--flink_job_server_jar", "beam-runners-flink-1.19-job-server-2.60.0.jar"], "1.19.0", "LS404", "2.60.0"),
        (["--flink_job_server_jar", "nowhere.jar"], "1.19.0", "LS411", "nowhere.jar"),
        (["--parallelism", "5"], "1.19.0", "LS410", "4 slots"),
    ],
)
def test_what_would_fail_on_the_cluster_is_refused(cluster, more, version, code, named):
    with pytest.raises(ParameterError, match=code) as refusal:
        pipeline_options([*cluster(version), *more])
    assert named in str(refusal.value)


def test_a_master_that_does_not_answer_is_named():
    with pytest.raises(ParameterError, match=r"LS412: --flink_master localhost:1"):
        pipeline_options([*_ENDPOINT, "--flink_master", "localhost:1"])


class Answers(http.server.BaseHTTPRequestHandler):
    """A REST service that says what `answers` has for a path, and an empty list to all else."""

    answers: ClassVar[dict[str, object]] = {}

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.answers.get(self.path, [])).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(Answers, "answers", {})
    with http.server.ThreadingHTTPServer(("localhost", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"localhost:{server.server_port}"
        server.shutdown()


def test_a_master_that_is_something_else_is_named(service):
    with pytest.raises(ParameterError, match="no Flink JobManager answers"):
        pipeline_options([*_ENDPOINT, "--flink_master", service])


@pytest.mark.parametrize(("strategy", "restarts"), [(None, False), ("none", False), ("fixed-delay", True)])
def test_a_cluster_that_starts_no_job_again_is_told(service, caplog, strategy, restarts):
    settings = [] if strategy is None else [{"key": "restart-strategy.type", "value": strategy}]
    Answers.answers |= {
        "/overview": {"flink-version": "1.19.1", "taskmanagers": 2, "slots-total": 4},
        "/jobmanager/config": settings,
    }
    with caplog.at_level(logging.INFO, "linesmith"):
        pipeline_options([*_ENDPOINT, "--flink_master", service, "--environment_type", "EXTERNAL"])
    assert ("restart-strategy" in caplog.text) != restarts
    assert "parallelism 2" in caplog.text


def test_paths_of_this_machine_are_refused_where_workers_are_elsewhere(cluster, tmp_path):
    options = pipeline_options(cluster(here=False))
    with pytest.raises(ParameterError, match="LS405: --output"):
        check_shared_paths(options, {"--input": "s3://bucket/lines", "--output": tmp_path})
    with pytest.raises(ParameterError, match="LS405: --output 'out': a relative path"):
        check_shared_paths(options, {"--output": "out"})
    check_shared_paths(options, {"--output": "gs://bucket/run", "--other": None})
    check_shared_paths(pipeline_options([*cluster(here=False), "--workers_share_files"]), {"--output": tmp_path})
    check_shared_paths(pipeline_options(cluster(here=True)), {"--output": tmp_path})
    check_shared_paths(pipeline_options(), {"--output": tmp_path})


def test_the_longest_mount_decides(tmp_path):
    table = "x / nfs4 rw 0 0\ny /a/local ext4 rw 0 0\nz /a/local/far\\040away fuse.s3fs rw 0 0\n"
    assert [is_mounted(type(tmp_path)(p), table) for p in ("/b", "/a/local/b", "/a/local/far away/b")] == [
        True,
        False,
        True,
    ]


def test_workers_are_one_flag(monkeypatch):
    monkeypatch.setattr(direct, "available_bytes", lambda: 64_000_000_000)
    options = pipeline_options(["--workers", "2"])
    assert worker_count(options) == 2
    assert threads_per_worker(options) == max(1, (direct.os.cpu_count() or 1) // 2)
    assert worker_count(pipeline_options(["--workers", "1"])) == 1
    assert threads_per_worker(pipeline_options(["--workers", "1"])) is None
    assert threads_per_worker(pipeline_options(["--workers", "2", "--threads_per_worker", "3"])) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--workers", "0"], "LS409", "--workers 0"),
        (["--workers", "2", "--direct_num_workers", "3"], "LS409", "--direct_num_workers 3"),
        (["--workers", "9"], "LS406", "--workers 8"),
    ],
)
def test_workers_that_cannot_be_had_are_refused(monkeypatch, arguments, code, named):
    monkeypatch.setattr(direct, "available_bytes", lambda: 8 * direct.WORKER_BYTES)
    with pytest.raises(ParameterError, match=code) as refusal:
        pipeline_options(arguments)
    assert named in str(refusal.value)


def test_workers_that_cannot_help_are_told(monkeypatch):
    monkeypatch.setattr(direct, "available_bytes", lambda: None)
    two = pipeline_options(["--workers", "2"])
    assert "1 of them stands idle" in (idle_worker_notice(two, "tokenize", 1) or "")
    assert idle_worker_notice(two, "tokenize", 2) is None
    assert "takes longer" in (idle_worker_notice(two, "tokenize", 2, seconds=3.0) or "")
    assert idle_worker_notice(pipeline_options(), "tokenize", 1) is None


def test_versions_that_differ_are_named():
    there = {**installed_versions(), "apache-beam": "2.1.0", "numpy": None}
    said = version_differences(json.dumps(there))
    assert "apache-beam" in said and "2.1.0 there" in said and "numpy" in said
    assert "tensorflow" not in said
    assert version_differences(json.dumps(installed_versions())) == ""


def test_a_worker_with_other_versions_is_known_by_how_it_ends(monkeypatch):
    monkeypatch.setenv(DRIVER_VERSIONS, json.dumps({**installed_versions(), "tensorflow": "1.0"}))
    assert flink_worker.main(["--id", "1", "--provision_endpoint", "nowhere:1"]) == flink_worker.EXIT_VERSION_MISMATCH
    died = f"java.lang.IllegalStateException: Process died with exit code {flink_worker.EXIT_VERSION_MISMATCH}"
    said = f"Pipeline x failed in state FAILED: {died}"
    with pytest.raises(ParameterError, match="LS404"), reraise_worker_errors():
        raise RuntimeError(said)
    with pytest.raises(RuntimeError), reraise_worker_errors():
        raise RuntimeError(said.replace("code 64", "code 640"))


def test_a_job_server_that_goes_away_is_told():
    """Make a real call to a port where nothing listens."""
    with grpc.insecure_channel("localhost:1") as channel:
        call = channel.unary_unary("/none/Call")
        with pytest.raises(ParameterError, match="LS407"), reraise_worker_errors():
            call(b"", timeout=20)


def test_a_thread_whose_connection_broke_leaves_no_traceback_and_another_does(monkeypatch, capsys):
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    library_logging._quiet_broken_connections()
    with grpc.insecure_channel("localhost:1") as channel:
        call = channel.unary_unary("/none/Call")
        for target in (lambda: call(b"", timeout=20), lambda: 1 / 0):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    said = capsys.readouterr().err
    assert said.count("Traceback") == 1 and "ZeroDivisionError" in said
