"""Beam's clients of object stores, and a check that there is a store at an address.

Credentials and endpoints come from where the store's own tools look for them, and are never repeated in a message.
"""

from __future__ import annotations

import contextlib
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from linesmith.transforms.storage.retries import with_retries

_CONNECT_WAITS = (1, 2, 4, 8, 15)
_CONNECT_SECONDS = 10
# Idle clients by scheme, options and environment.
_idle: dict[tuple[Any, ...], list[Any]] = {}


@contextlib.contextmanager
def store_client(address: str) -> Iterator[Any]:
    """Provide Beam's client of a store. No two threads share one; idle clients are used again, since a new one takes a while."""
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    options = FileSystems._pipeline_options or PipelineOptions([])
    chosen_options = str(options.get_all_options(drop_default=True))
    idle = _idle.setdefault((address[:2].lower(), chosen_options, *_environment()), [])
    client = idle.pop() if idle else _new_client(address, options)
    yield client
    idle.append(client)  # not in a `finally` block: a client that failed is not used again


def _environment() -> tuple[str, ...]:
    """Return the environment variables that a client depends on."""
    return tuple(
        value for name, value in sorted(os.environ.items()) if name.startswith(("AWS_", "GOOGLE_", "STORAGE_"))
    )


def _new_client(address: str, options: Any) -> Any:
    if address.lower().startswith("s3://"):
        from apache_beam.io.aws.s3io import S3IO

        return S3IO(options=options)
    from apache_beam.io.gcp.gcsio import GcsIO

    return GcsIO(pipeline_options=options)


def check_reachable(address: str) -> None:
    """Connect to a store, to find out soon if there is none; the store's own library would try for many minutes.

    Raises:
        DataError: LS213, nothing answers at the address.
    """
    endpoint = with_retries(lambda: _endpoint(address), address, "reached")
    if endpoint is None or endpoint.hostname is None or urllib.request.getproxies().get(endpoint.scheme):
        return  # behind a proxy, only the proxy knows
    port = endpoint.port or {"http": 80}.get(endpoint.scheme, 443)
    host = endpoint.hostname

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
        except OSError:
            raise ConnectionError(f"{host}:{port}") from None  # the reason may be an OSError of any kind

    with_retries(connect, address, "reached", _CONNECT_WAITS)


def _endpoint(address: str) -> urllib.parse.SplitResult | None:
    """Return the URL to which the store's library connects."""
    if address.lower().startswith("s3://"):
        with store_client(address) as client:
            boto_client = client.client.client  # S3IO → Beam's wrapper of boto3 → boto3
        return urllib.parse.urlsplit(str(boto_client.meta.endpoint_url))
    host = os.environ.get("STORAGE_EMULATOR_HOST", "https://storage.googleapis.com")
    return urllib.parse.urlsplit(host if "://" in host else f"http://{host}")
