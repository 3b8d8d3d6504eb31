"""Starts, stops and restarts a real S3 server (Versity's gateway over a folder) and a server of Google's storage API.

Both listen on a free port of the loopback. Credentials are made up for each start and reach the commands under test as the
ecosystem wants them: `AWS_*` variables, and a service account's key file whose tokens come from a small endpoint here.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BINARIES = Path(__file__).resolve().parent / ".bin"


@dataclass
class Store:
    """A running server.

    Attributes:
        bucket: address of an empty bucket.
        environment: what a client needs.
        command: how it is started again.
    """

    bucket: str
    environment: dict[str, str]
    command: list[str]
    port: int
    log: Path
    server_environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.server_environment},
                preexec_fn=_die_with_parent,  # noqa: PLW1509  (no thread of ours holds a lock that it needs)
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.1)
        raise RuntimeError(f"the store did not start: {self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


def _die_with_parent() -> None:
    """No server outlives a test that was killed (Linux: PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def s3(place: Path) -> Iterator[Store]:
    """An S3 server with one bucket; it checks signatures."""
    root, port = place / "s3", free_port()
    root.mkdir(parents=True)
    key, secret = "linesmith" + secrets.token_hex(4), secrets.token_urlsafe(24)
    command = [str(BINARIES / "versitygw"), "--port", f"127.0.0.1:{port}", "--quiet", "posix", str(root)]
    environment = {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
    }
    store = Store("s3://lines", environment, command, port, place / "s3.log")
    store.server_environment = {"ROOT_ACCESS_KEY": key, "ROOT_SECRET_KEY": secret}
    store.start()
    try:
        _s3_client(environment).create_bucket(Bucket="lines")
        yield store
    finally:
        store.stop()


def _s3_client(environment: dict[str, str]):
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )


@contextlib.contextmanager
def gcs(place: Path) -> Iterator[Store]:
    """A server of the JSON API with one bucket. It takes any token; the endpoint of the tokens is ours."""
    root, port = place / "gcs", free_port()
    root.mkdir(parents=True)
    url = f"http://127.0.0.1:{port}"
    command = [str(BINARIES / "fake-gcs-server"), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    command += ["-backend", "filesystem", "-filesystem-root", str(root), "-external-url", url, "-log-level", "error"]
    command += ["-public-host", f"127.0.0.1:{port}"]
    with _tokens() as token_uri:
        key = place / "service-account.json"
        key.write_text(json.dumps(_service_account(token_uri)))
        environment = {
            "GOOGLE_APPLICATION_CREDENTIALS": str(key),
            "STORAGE_EMULATOR_HOST": url,
            "GOOGLE_CLOUD_PROJECT": "lines",
        }
        store = Store("gs://lines", environment, command, port, place / "gcs.log")
        store.start()
        try:
            body = json.dumps({"name": "lines"}).encode()
            request = urllib.request.Request(f"{url}/storage/v1/b", body, {"Content-Type": "application/json"})
            urllib.request.urlopen(request).close()
            yield store
        finally:
            store.stop()


def _service_account(token_uri: str) -> dict[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": "lines",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "writer@lines.iam.example.com",
        "client_id": "1",
        "token_uri": token_uri,
    }


class _Token(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps({"access_token": secrets.token_hex(8), "expires_in": 3600, "token_type": "Bearer"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def _tokens() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Token)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token"
    finally:
        server.shutdown()
        server.server_close()
