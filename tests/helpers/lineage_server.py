"""A server that takes OpenLineage events, on the loopback."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class LineageServer:
    """A running server.

    Attributes:
        url: its address.
        events: what it was sent.
        requests: path and headers of each request.
        status: it answers with.
    """

    url: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    status: int = 201


@contextlib.contextmanager
def lineage_server() -> Iterator[LineageServer]:
    """Run a server during a block."""
    state = LineageServer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            state.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            state.requests.append((self.path, dict(self.headers)))
            self.send_response(state.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
