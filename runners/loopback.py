"""Let the gRPC servers of Beam's local runners listen on the loopback only.

Beam binds them to all interfaces (`[::]:0`), without authentication, and has no option for it: raw records pass through them
between the driver and its workers, and whoever connects can take a worker's place. The workers connect to `localhost`, so the
loopback is enough. What is replaced is the name `grpc` in the modules of Beam that open servers, and nothing of gRPC itself:
other servers in this process, such as a user's own, are left alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

# Modules of Beam that call `grpc.server`, by what they serve.
WORKER_SERVERS = ("apache_beam.runners.portability.fn_api_runner.worker_handlers",)  # workers of this machine
JOB_SERVERS = (
    "apache_beam.runners.worker.worker_pool_main",  # LOOPBACK: workers in this process
    "apache_beam.runners.portability.abstract_job_service",  # files of a job whose jar this process submits
    "apache_beam.runners.portability.local_job_service",  # a job service in this process
)
_WILDCARD_HOSTS = ("", "*", "[::]", "0.0.0.0", "[::0]", "[0:0:0:0:0:0:0:0]")
_loopback_ports: set[int] = set()


def listen_on_loopback(modules: Iterable[str]) -> None:
    """Make the servers that modules of Beam open from now on listen on the loopback.

    Args:
        modules: names of the modules, of `WORKER_SERVERS` and `JOB_SERVERS`.

    Raises:
        RuntimeError: a module has no `grpc` with a function `server`: this version of Beam opens its servers in another way.
    """
    for name in modules:
        module = importlib.import_module(name)
        grpc = getattr(module, "grpc", None)
        if isinstance(grpc, _LoopbackGrpc):
            continue
        if not callable(getattr(grpc, "server", None)):
            raise RuntimeError(
                f"{name} of this Beam does not open its servers with grpc.server: check where they listen"
            )
        module.grpc = _LoopbackGrpc(grpc)  # type: ignore[attr-defined]


def check_loopback(ports: Iterable[int]) -> None:
    """Raise unless all ports were opened on the loopback by a server of `listen_on_loopback`.

    Args:
        ports: ports that servers of Beam listen on.

    Raises:
        RuntimeError: one is not.
    """
    others = sorted(set(ports) - _loopback_ports)
    if others:
        raise RuntimeError(f"Beam opened port {others[0]} past linesmith.runners.loopback, perhaps on all interfaces")


class _LoopbackGrpc(ModuleType):
    """The module `grpc` as a module of Beam sees it: the same, except that servers listen on the loopback."""

    def __init__(self, grpc: Any) -> None:
        super().__init__("grpc")
        self._grpc = grpc

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grpc, name)

    def server(self, *args: Any, **kwargs: Any) -> _LoopbackServer:
        """Return a server, as `grpc.server` does."""
        return _LoopbackServer(self._grpc.server(*args, **kwargs))


class _LoopbackServer:
    """A gRPC server that listens on the loopback where it is asked to listen on all interfaces."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def add_insecure_port(self, address: str) -> int:
        """Listen on an address, and return the port."""
        host, _, port = address.rpartition(":")
        bound = int(self._server.add_insecure_port(f"localhost:{port}" if host in _WILDCARD_HOSTS else address))
        _loopback_ports.add(bound)
        return bound
