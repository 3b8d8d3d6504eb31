"""Servers that Beam opens on this machine listen on the loopback only."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.runners import pipeline_options
from linesmith.runners.loopback import JOB_SERVERS, WORKER_SERVERS, check_loopback, listen_on_loopback
from tests.helpers.listening_sockets import beyond_loopback, listening_addresses, watch_sockets

pytestmark = pytest.mark.integration


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_the_servers_for_workers_are_on_the_loopback() -> None:
    pipeline_options([])
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    before = listening_addresses([os.getpid()])
    server = worker_handlers.GrpcServer(None, None, None)
    try:
        opened = listening_addresses([os.getpid()]) - before
        ports = {server.control_port, server.data_port, server.state_port, server.logging_port}
        assert {port for _, port in opened} == ports
        assert beyond_loopback(opened) == []
        check_loopback(ports)
    finally:
        server.close()


def test_a_worker_pool_in_this_process_is_on_the_loopback() -> None:
    listen_on_loopback(JOB_SERVERS)
    from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer

    before = listening_addresses([os.getpid()])
    _, server = BeamFnExternalWorkerPoolServicer.start(use_process=False)
    try:
        opened = listening_addresses([os.getpid()]) - before
        assert opened and beyond_loopback(opened) == []
    finally:
        server.stop(0)


def test_a_server_of_somebody_else_in_this_process_stays_where_it_is(executor: ThreadPoolExecutor) -> None:
    listen_on_loopback(WORKER_SERVERS)
    before = listening_addresses([os.getpid()])
    server = grpc.server(executor)
    port = server.add_insecure_port("[::]:0")
    server.start()
    try:
        assert {port for _, port in beyond_loopback(listening_addresses([os.getpid()]) - before)} == {port}
        with pytest.raises(RuntimeError, match=f"port {port} past"):
            check_loopback([port])
    finally:
        server.stop(0)


def test_a_beam_that_opens_servers_in_another_way_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.import_module", types.ModuleType)
    with pytest.raises(RuntimeError, match="check where they listen"):
        listen_on_loopback(WORKER_SERVERS)


@pytest.mark.slow
def test_no_socket_of_two_workers_leaves_this_machine(tmp_path: Path) -> None:
    from linesmith.pipelines.generate.stage import generate
    from linesmith.pipelines.tokenize.stage import tokenize
    from tests.helpers.tiny_model import tiny_run

    (tmp_path / "lines.txt").write_text("".join(f"{n % 10}, ab{n}\n" for n in range(400)))
    tiny_run(tmp_path / "trained")
    workers = ["--workers", "2"]
    with watch_sockets(os.getpid()) as tokenizing:
        tokenize(
            TensorFlowConfig(
                input_data_path=tmp_path / "lines.txt",
                checkpoint_dir=tmp_path / "run",
                field_delimiter=", ",
                vocab_size=0,
            ),
            workers,
        )
    with watch_sockets(os.getpid()) as generating:
        generate(TensorFlowConfig(checkpoint_dir=tmp_path / "trained", gen_lines=60, unit_size=20), workers)
    for seen in (tokenizing, generating):
        assert len(seen) >= 4, "no server was seen: the watch is blind"
        assert beyond_loopback(seen) == []
