"""Beam's clients of object stores, and whether there is a store at all where an address points.

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
_idle: dict[tuple[Any, ...], list[Any]] = {}


@contextlib.contextmanager
def store_client(address: str) -> Iterator[Any]:
    """Beam's client of a store. One is made for each thread that needs one at a time, since making one takes a while."""
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    options = FileSystems._pipeline_options or PipelineOptions([])
    made_of = str(options.get_all_options(drop_default=True))
    idle = _idle.setdefault((address[:2].lower(), made_of, *_environment()), [])
    client = idle.pop() if idle else _new_client(address, options)
    yield client
    idle.append(client)  # only here: one that failed is not used again


def _environment() -> tuple[str, ...]:
    """What a client was made from, besides options."""
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
    """Find out soon that a store's address is wrong; the store's own library would try for many minutes.

    Raises:
        DataError: LS213, nothing answers there.
    """
    endpoint = with_retries(lambda: _endpoint(address), address, "reached")
    if endpoint is None or endpoint.hostname is None or urllib.request.getproxies().get(endpoint.scheme):
        return  # by way of a proxy, only the proxy can tell
    port = endpoint.port or {"http": 80}.get(endpoint.scheme, 443)
    host = endpoint.hostname

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            raise ConnectionError(f"{host}:{port}") from error

    with_retries(connect, address, "reached", _CONNECT_WAITS)


def _endpoint(address: str) -> urllib.parse.SplitResult | None:
    """Where a store's library would connect to."""
    if address.lower().startswith("s3://"):
        with store_client(address) as beams:
            client = beams.client.client
        return urllib.parse.urlsplit(str(client.meta.endpoint_url))
    given = os.environ.get("STORAGE_EMULATOR_HOST", "https://storage.googleapis.com")
    return urllib.parse.urlsplit(given if "://" in given else f"http://{given}")
