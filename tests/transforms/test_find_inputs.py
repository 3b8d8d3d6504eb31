"""Finding and inspecting inputs on the driver: what is refused, and how packed and encoded files are recognised."""

from __future__ import annotations

import base64
import bz2
import gzip
import http.server
import io
import lzma
import os
import threading

import pytest
import zstandard

from linesmith.core.addresses import redact_address
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.records.input.input_files import DECOMPRESSION_ERRORS, decompress
from linesmith.records.input.input_ranges import FileRange, plan_input_units
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
from linesmith.transforms.find_inputs import find_inputs, input_digests
from linesmith.transforms.read_records import RangeReader, ReadSettings

pytestmark = pytest.mark.integration

PACKERS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda content: zstandard.ZstdCompressor().compress(content),
}
LINES = [f"{number},line ä{number}" for number in range(500)]
TEXT = "".join(line + "\n" for line in LINES)


def found(tmp_path, given, **settings):
    config = TensorFlowConfig(input_data_path=given if isinstance(given, list) else str(given), **settings)
    return find_inputs(config, tmp_path / "scratch")


def read(files, unit_bytes=1 << 20, **settings):
    """Texts and rejects of a list of files."""
    config = TensorFlowConfig(**settings)
    reading = ReadSettings(RecordFormat.from_config(config), DatasetSplitter(0.05, True), config.header)
    texts, rejects, counts = [], [], []
    for unit in plan_input_units(files, unit_bytes):
        for source in unit.ranges:
            reader = RangeReader(source, reading, rejects.append)
            for batch in reader.batches():
                texts += batch["text"].to_pylist()
            counts.append(reader.count)
    return texts, rejects, counts


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("named", [True, False])
def test_packed_files_are_read(kind, named, tmp_path):
    path = tmp_path / (f"input.{kind}" if named else "input")
    path.write_bytes(PACKERS[kind](TEXT.encode()))
    files = found(tmp_path, path)
    assert files[0].compression == kind
    assert read(files)[0] == LINES


@pytest.mark.parametrize("kind", PACKERS)
def test_two_packed_members_are_one_file(kind):
    content = PACKERS[kind](b"a\n") + PACKERS[kind](b"b\n")
    assert decompress(io.BytesIO(content), kind).read(100) == b"a\nb\n"


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_cut_off_files_are_refused_on_the_driver_and_by_the_reader(kind, share, tmp_path):
    content = PACKERS[kind](os.urandom(200_000).hex().encode())
    cut = content[: int(len(content) * share)]
    path = tmp_path / f"input.{kind}"
    path.write_bytes(cut)
    with pytest.raises(DataError, match="LS206") as caught:
        found(tmp_path, path)
    assert str(path) in str(caught.value)
    with pytest.raises(DECOMPRESSION_ERRORS):
        stream = decompress(io.BytesIO(cut), kind)
        while stream.read(1 << 16):
            pass


def test_the_reader_reports_a_file_that_breaks_off(tmp_path):
    path = tmp_path / "input.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    files = found(tmp_path, path)
    path.write_bytes(path.read_bytes()[:-40])
    assert [count.damaged for count in read(files)[2]] == [True]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("empty.txt", b"", "is empty"),
        ("mark.txt", b"\xef\xbb\xbf", "is empty"),
        ("a.gz", b"no gzip at all\n", "named like gz"),
        ("nothing.gz", gzip.compress(b""), "is empty"),
        ("a.zip", b"PK\x03\x04" + bytes(100), "ZIP"),
        ("a.parquet", b"PAR1" + bytes(100), "Parquet"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
        ("packed.gz", gzip.compress(bytes(range(256)) * 40), "text"),
        ("noise", bytes(range(128, 256)) * 40, "utf-8"),
        ("wide.txt", TEXT.encode("utf-16"), "--encoding utf-16"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # contents hold the time of day, and are long
)
def test_a_wrong_file_among_good_ones_is_named(name, content, told, tmp_path):
    (tmp_path / "good.csv").write_text(TEXT)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"LS20[56]|LS217") as caught:
        found(tmp_path, [str(tmp_path / "good.csv"), str(tmp_path / name)])
    assert told in str(caught.value)
    assert name in str(caught.value)
    assert "good.csv" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_that_begins_like_a_binary_file_is_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("GIF8,1\nPAR1,2\n")
    assert read(found(tmp_path, path))[0] == ["GIF8,1", "PAR1,2"]


def test_missing_inputs(tmp_path):
    (tmp_path / "folder").mkdir()
    for given, told in (
        (tmp_path / "no.csv", "no such file"),
        (tmp_path / "*.no", "no file"),
        (tmp_path / "folder", "directory"),
    ):
        with pytest.raises(DataError, match="LS205") as caught:
            found(tmp_path, given)
        assert told in str(caught.value)
        assert str(given) in str(caught.value)
    with pytest.raises(ParameterError, match="--input"):
        find_inputs(TensorFlowConfig(), tmp_path)


def test_globs_are_sorted_and_files_taken_once(tmp_path):
    for name in ("b.csv", "a.csv", "c.txt", "[x].csv"):
        (tmp_path / name).write_text("1\n")
    files = found(tmp_path, [str(tmp_path / "*.csv"), str(tmp_path / "b.csv")])
    assert [os.path.basename(file.name) for file in files] == ["[x].csv", "a.csv", "b.csv"]
    assert [os.path.basename(file.name) for file in found(tmp_path, tmp_path / "[x].csv")] == ["[x].csv"]


@pytest.mark.parametrize(
    ("written", "encoding"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("latin-1", "latin-1"),
        ("utf-16", "utf-16"),
        ("utf-16-be", "utf-16-be"),
        ("utf-16-le", "utf-16"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
        ("gb18030", "gb18030"),
        ("cp037", "cp037"),
    ],
)
def test_encodings(written, encoding, tmp_path):
    path = tmp_path / "input.txt"
    path.write_bytes(TEXT.encode(written))
    files = found(tmp_path, path, encoding=encoding)
    assert read(files, unit_bytes=100, encoding=encoding)[0] == LINES
    assert files[0].splittable == (not written.startswith(("utf-16", "utf-32")))


def test_big_endian_mark_is_obeyed_and_dropped(tmp_path):
    path = tmp_path / "input.txt"
    path.write_bytes(b"\xfe\xff" + TEXT.encode("utf-16-be"))
    assert read(found(tmp_path, path, encoding="utf-16"), encoding="utf-16")[0] == LINES


@pytest.mark.parametrize("unit_bytes", [50, 1000, 1 << 20])
def test_rejects_are_told_by_place_and_reason(unit_bytes, tmp_path):
    path = tmp_path / "input.txt"
    path.write_bytes(b"\xef\xbb\xbfhead\ngood\n\xff\xfebad\n\n" + b"x" * 100_000 + b"\r\ngood again")
    texts, rejects, counts = read(found(tmp_path, path, max_line_len=10), unit_bytes, max_line_len=10, header=True)
    assert texts == ["good", "good again"]
    assert [(row["offset"], row["reason"], row["bytes"]) for row in rejects] == [
        (13, "encoding", 5),
        (19, "empty", 0),
        (20, "too_long", 100_001),
    ]
    assert rejects[0]["base64"] == "//5iYWQ="
    assert len(rejects[2]["text"]) == 65_536
    assert sum(count.lines for count in counts) == 6
    assert sum(count.headers for count in counts) == 1
    assert counts[0].columns == ["head"]


def test_limit_of_a_range(tmp_path):
    path = tmp_path / "input.txt"
    path.write_text("a\n\nb\nc\n")
    source = FileRange(found(tmp_path, path)[0], 0, None, limit=2)
    reader = RangeReader(source, ReadSettings(RecordFormat(), DatasetSplitter(0, False), False))
    assert [text for batch in reader.batches() for text in batch["text"].to_pylist()] == ["a", "b"]
    assert (reader.count.lines, reader.count.rejected) == (3, {"empty": 1})


_CREDENTIALS = base64.b64encode(b"ann:p@SS").decode()


class _Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/guarded") and self.headers["Authorization"] != f"Basic {_CREDENTIALS}":
            self.send_error(401)
            return
        if self.path.startswith("/elsewhere"):
            self.send_response(302)
            self.send_header("Location", "/guarded.csv")
            self.end_headers()
            return
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        self.send_response(200)
        body = TEXT.encode()
        self.send_header("Content-Length", str(len(body) + (10 if self.path.startswith("/cut") else 0)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()


def test_an_address_is_fetched_once_and_checked(server, tmp_path):
    files = found(tmp_path, f"{server}/input.csv?key=1")
    assert files[0].name == redact_address(f"{server}/input.csv?key=1")
    assert os.path.dirname(files[0].path) == str(tmp_path / "scratch")
    assert read(files)[0] == LINES
    for path, told in (("/cut", "LS206"), ("/missing", "404")):
        with pytest.raises(DataError, match=told):
            found(tmp_path, server + path)
    config = TensorFlowConfig(input_data_path=f"{server}/input.csv")
    assert input_digests(config) == {f"{server}/input.csv": f"address:{server}/input.csv"}


def test_user_and_password_of_an_address_are_sent_and_never_shown(server, tmp_path):
    guarded = server.replace("://", "://ann:p%40SS@") + "/guarded.csv?sig=SECRET"
    files = found(tmp_path, guarded)
    assert files[0].name == redact_address(guarded)
    assert read(files)[0] == LINES
    digests = input_digests(TensorFlowConfig(input_data_path=guarded))
    assert digests == input_digests(TensorFlowConfig(input_data_path=guarded))
    assert digests != input_digests(TensorFlowConfig(input_data_path=guarded + "2"))
    assert "SECRET" not in str(digests) and "SS@" not in str(digests)
    # A redirection may lead to somebody else's server: it is not given the password.
    for path, told in (("/elsewhere", "401"), ("/missing", "404"), ("/a b", "InvalidURL")):
        with pytest.raises(DataError, match=told) as error:
            found(tmp_path, server.replace("://", "://ann:p%40SS@") + path + "?sig=SECRET")
        assert "SECRET" not in str(error.value) and "SS@" not in str(error.value)


def test_two_addresses_that_differ_in_their_query_are_two_inputs(server, tmp_path):
    config = TensorFlowConfig(input_data_path=[f"{server}/export?table=a", f"{server}/export?table=b"])
    files = find_inputs(config, tmp_path / "scratch")
    assert len({file.name for file in files}) == len({file.path for file in files}) == 2
