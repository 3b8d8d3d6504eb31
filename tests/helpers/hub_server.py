"""A server of the part of the Hugging Face Hub's API that uploads and downloads of models use, on the loopback."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_of_the_test"
_COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """A running server.

    Attributes:
        url: its address.
        files: content of the files of each repository.
        private: whether each repository is private.
        objects: content of large files, by SHA-256.
        status: answer with this status; 0: as the Hub would.
    """

    url: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    status: int = 0


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, body: bytes | dict[str, Any], status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _is_refused(self) -> bool:
        status = self.hub.status
        if not status and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status = 401
        if status:
            self._answer({"error": "refused, as the test wants"}, status)
        return bool(status)

    def do_PUT(self) -> None:
        content = self._body()
        self.hub.objects[hashlib.sha256(content).hexdigest()] = content
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        if self._is_refused():
            return
        path = self.path.partition("?")[0]
        if path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.hub.files.setdefault(name, {})
            self.hub.private[name] = bool(asked.get("private")) or asked.get("visibility") == "private"
            self._answer({"url": f"{self.hub.url}/{name}", "name": name, "id": name})
        elif "/preupload/" in path:
            files = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(".gz") else "regular",
                    "shouldIgnore": False,
                }
                for one in json.loads(body)["files"]
            ]
            self._answer({"files": files})
        elif path.endswith("/info/lfs/objects/batch"):
            wanted = [{"oid": one["oid"], "size": one["size"]} for one in json.loads(body)["objects"]]
            upload = {one["oid"]: {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}} for one in wanted}
            objects = [{**one, "actions": upload[one["oid"]]} for one in wanted]
            self._answer({"transfer": "basic", "objects": objects}, Content_Type="application/vnd.git-lfs+json")
        elif "/commit/" in path:
            name = "/".join(path.split("/")[3:5])
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    self.hub.files[name][value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    self.hub.files[name][value["path"]] = self.hub.objects[value["oid"]]
            url = f"{self.hub.url}/{name}/commit/{_COMMIT}"
            self._answer({"success": True, "commitUrl": url, "commitOid": _COMMIT, "hookOutput": ""})
        else:
            self._answer({"error": f"not played here: {path}"}, 501)

    def do_GET(self) -> None:
        if self._is_refused():
            return
        owner, name, *rest = self.path.lstrip("/").split("/")
        found = self.hub.files.get(f"{owner}/{name}")
        if found is None:
            self._answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        elif rest[:1] != ["resolve"] or rest[2] not in found:
            self._answer({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound", X_Repo_Commit=_COMMIT)
        else:
            content = found[rest[2]]
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            self._answer(content, X_Repo_Commit=_COMMIT, ETag=etag, Content_Type="application/octet-stream")

    do_HEAD = do_GET


@contextlib.contextmanager
def run_hub() -> Iterator[Hub]:
    """Run a server while the block runs."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
