"""Secrets of an input's address are in no file of the run directory and in no output."""

from __future__ import annotations

import base64
import gzip
import http.server
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from linesmith.cli.app import run_command_line

SECRETS = ("ann7user", "pw7SECRET", "sig7SECRET")
CREDENTIALS = f"Basic {base64.b64encode(f'{SECRETS[0]}:{SECRETS[1]}'.encode()).decode()}"


class _Guarded(http.server.BaseHTTPRequestHandler):
    """Gives lines to those who know user, password and query."""

    def do_GET(self) -> None:
        allowed = self.headers["Authorization"] == CREDENTIALS and self.path.endswith(f"?sig={SECRETS[2]}")
        if not allowed or "missing" in self.path:
            self.send_error(404 if allowed else 403)
            return
        draw = random.Random(0)
        body = (
            "".join(f"{draw.randint(1, 9)},{draw.choice(['red', 'green'])}\n" for _ in range(150)).encode()
            + b"\n\xff\n"
        )
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Guarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{SECRETS[0]}:{SECRETS[1]}@127.0.0.1:{server.server_port}/NAME.csv?sig={SECRETS[2]}"
    server.shutdown()


def holders(directory: Path) -> list[str]:
    """Return the files that hold a secret, in their content or in their name."""
    found = []
    for path in sorted(directory.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        if any(secret in str(path) or secret.encode() in content for secret in SECRETS):
            found.append(str(path.relative_to(directory)))
    return found


def commands(address: str, out: Path) -> list[tuple[int, list[str]]]:
    """Return the exit code of each command and the command, in order."""
    lines, missing = (address.replace("NAME", name) for name in ("lines", "missing"))
    settings = ["--output", str(out), "--field-delimiter", ",", "--vocab-size", "0"]
    small = ["--rnn-units", "8", "--rnn-layers", "1", "--embedding-dim", "4", "--epochs", "2", "--no-report"]
    generated = ["--num-lines", "3", "--min-valid-rate", "0"]
    return [
        (0, ["plan", "--input", lines, *settings]),
        (2, ["tokenize", "--input", missing, *settings]),
        (2, ["tokenize", "--input", missing, *settings, "--debug"]),
        (0, ["run", "--input", lines, *settings, *small, *generated]),
        (2, ["run", "--input", f"{lines}&more=1", *settings, *small, *generated]),
        (0, ["evaluate", "--real", lines, "--synthetic", lines, "--output", str(out / "files")]),
    ]


@pytest.mark.slow
def test_no_stage_stores_or_shows_a_secret(address: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out, shown = tmp_path / "out", ""
    for expected, arguments in commands(address, out):
        code = run_command_line(arguments)
        captured = capfd.readouterr()
        assert code == expected, captured.err
        shown += captured.out + captured.err
    assert "/missing.csv?redacted=" in shown  # the address is shown, without its secrets
    assert [secret for secret in SECRETS if secret in shown] == []
    manifest = (out / "training_data/manifest.json").read_text()
    assert manifest.count("/lines.csv?redacted=") == 3  # the setting, the name of the input, and its digest
    assert any((out / "files").rglob("report.json"))
    assert holders(out) == []
