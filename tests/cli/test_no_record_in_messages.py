"""No message holds a record's text: every command over input in which each record holds a known text, most of it faulty.

Searched are standard output and error with the logs of all libraries on them, and every file that a command leaves, but for
those that are meant to hold records or values.
"""

from __future__ import annotations

import bz2
import gzip
import json
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linesmith.cli import app as cli
from linesmith.core.library_logging import NOISY_LOGGERS
from linesmith.model.sampling.sampler import Sample, SampleRequest
from linesmith.pipelines.generate import stage
from tests.helpers.conditioned_run import conditioned_run
from tests.helpers.generation_fakes import FakeSampler, fake_run

pytestmark = pytest.mark.integration

WORD, NUMBER = "Xyzzyplugh", "7319731973197319"
SECRET = re.compile(rb"xyzzyp|zzyplu|zyplugh|73197319", re.IGNORECASE)
# Files that hold records or values of them, as docs/ says of each.
HOLD_RECORDS = (
    "in/*",
    "out/rejects/*",
    "out/synthetic/**/part-*",
    "out/invalid/*",
    "out/tokenizer/*",
    "out/audit/**/*",
)
HOLD_RECORDS += ("out/training_data/statistics.json", "out/training_data/**/*.tfrecord*", "out/training_data/tft/**/*")
HOLD_RECORDS += ("out/report/index.html", "out/report/report.json", "out/.tmp/**/*", "out/warehouse/**/*")
COMMA = ("--field-delimiter", ",")
SMALL = ("--vocab-size", "0", "--epochs", "1", "--rnn-units", "8", "--embedding-dim", "8", "--rnn-layers", "1")
SMALL += ("--batch-size", "8", "--num-lines", "6")


def line(number: int) -> str:
    return f"{WORD} {'abc'[number % 3]},{NUMBER}{number % 7},2024-01-1{number % 9}"


ROWS = [line(number) for number in range(120)]
TEXT = "name,id,day\n" + "".join(f"{row}\n" for row in ROWS)


def with_rows(*rows: str, header: str = "name,id,day") -> bytes:
    """Return the rows with others among them, as UTF-8."""
    return "\n".join([header, *ROWS[:50], *rows, *ROWS[50:], ""]).encode()


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Path]:
    """Start in an empty directory; afterwards look for the text. What the command line does to logging is undone."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)
    loggers = [logging.getLogger(name) for name in ("", "linesmith", *NOISY_LOGGERS)]
    before = [(log.level, list(log.handlers), log.propagate) for log in loggers]
    with warnings.catch_warnings():
        yield tmp_path
    for log, (level, handlers, propagate) in zip(loggers, before, strict=True):
        log.setLevel(level)
        log.handlers, log.propagate = handlers, propagate
    shown = capfd.readouterr()
    assert not SECRET.search((shown.out + shown.err).encode()), shown
    allowed = {path for pattern in HOLD_RECORDS for path in tmp_path.glob(pattern)}
    files = {path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()} - allowed
    assert [path for path in files if SECRET.search(path.read_bytes())] == []


def run(*arguments: object) -> int:
    return cli.run_command_line([str(word) for word in arguments])


def put(name: str, content: bytes | str) -> str:
    path = Path("in") / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_the_text_is_found_where_it_is(told, capfd):
    with capfd.disabled():
        assert SECRET.search(ROWS[0].encode()) and SECRET.search(NUMBER[4:].encode())


LONG = f"{WORD}{'x' * 3000},1,2"
INPUTS = {
    "ragged": (with_rows(f"{WORD},1", f"{WORD},{NUMBER},1,2"), [*COMMA, "--header", "--max-reject-rate", "0.001"]),
    "ragged, no header": (with_rows(f"{WORD},1", header=ROWS[0]), [*COMMA, "--max-reject-rate", "0"]),
    "very ragged": (with_rows(*[f"{WORD},{n}" for n in range(60)]), [*COMMA, "--header"]),
    "names": (with_rows(header=ROWS[0]), [*COMMA, "--columns", "a,b"]),
    "short header": (with_rows(header=f"{WORD},{NUMBER}"), [*COMMA, "--header"]),
    "line end in quotes": (with_rows(f'"{WORD}', f'{WORD}",1,2'), [*COMMA, "--header", "--quoted"]),
    "open quote": (with_rows(f'"{WORD},1,2'), [*COMMA, "--header", "--quoted", "--max-reject-rate", "0"]),
    "not UTF-8": (with_rows(*[f"{WORD},1,2"] * 3).replace(b",1,2", b"\xff,1,2"), [*COMMA, "--max-reject-rate", "0"]),
    "nothing is UTF-8": (TEXT.replace(",", "ÿ,").encode("latin-1"), [*COMMA]),
    "UTF-16 cut": (TEXT.encode("utf-16")[:-1], [*COMMA, "--encoding", "utf-16"]),
    "not UTF-16": (TEXT.encode() + b"\n", [*COMMA, "--encoding", "utf-16"]),
    "too long": (with_rows(LONG), [*COMMA, "--max-line-len", "100", "--max-reject-rate", "0"]),
    "all too long": (with_rows(), [*COMMA, "--max-line-len", "5"]),
    "NUL": (with_rows(f"{WORD}\0,1,2"), [*COMMA, "--header", "--max-reject-rate", "0"]),
    "Avro's beginning": (b"Obj\x01" + TEXT.encode(), [*COMMA]),
    "few": ("\n".join(ROWS[:1]).encode(), [*COMMA, "--holdout-fraction", "0.9"]),
    "words": (with_rows(), ["--vocab-size", "7"]),
    "schema": (with_rows(), [*COMMA, "--header", "--schema-file", "in/narrow.avsc"]),
    "condition": (with_rows(), [*COMMA, "--condition-on", "day"]),
    "key": (with_rows(), [*COMMA, "--header", "--dp", "--privacy-key-field", "9", "--dp-target-epsilon", "4"]),
    "charged": (
        with_rows(),
        [*COMMA, "--header", "--dp", "--dp-vocabulary", "public", "--dp-public-vocabulary", "in/v"],
    ),
    "cut.gz": (gzip.compress(TEXT.encode())[:-9], [*COMMA]),
    "cut.bz2": (bz2.compress(TEXT.encode())[:-9], [*COMMA]),
    "not.gz": (TEXT.encode(), [*COMMA]),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", INPUTS)
def test_an_input(told, kind):
    content, options = INPUTS[kind]
    put("narrow.avsc", json.dumps({"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}))
    put("v", "abc\n")
    name = kind.rpartition(" ")[2] if kind.endswith((".gz", ".bz2")) else "rows.csv"
    small = SMALL[2:] if "--vocab-size" in options else SMALL
    assert run("tokenize", "--input", put(name, content), "--output", "out", *small, *options) in (0, 2)


@pytest.mark.slow
def test_a_whole_run_with_rejects(told):
    bad = [f"{WORD},1", f"{WORD},x,2024-13-99", f"{WORD},1e999,2024-02-30"]
    source = put("rows.csv", with_rows(*bad).replace(b"e999", b"\xff"))
    formats = ["--output-format", "text,jsonl,avro,parquet"]
    assert run("run", "--input", source, "--output", "out", *COMMA, "--header", *SMALL, *formats) == 0
    assert run("audit", "--output", "out", "--records", "8", "--canaries", "4", "--no-reference") in (0, 2)
    assert run("plan", "--output", "out") == 0
    assert run("compare", "out", "out") == 0
    assert run("export", "out", "model.tar.gz") == 0


def broken_records(seed: int, request: SampleRequest) -> Sample:
    texts = [line(request.index), f"{WORD},1", f"{WORD},{NUMBER},{NUMBER}", WORD, f'"{WORD},{NUMBER},1']
    return Sample(request, texts[request.attempt % len(texts)], "newline")


VALIDATORS = """
import json, os, re, sys, warnings
from datetime import date
from decimal import Decimal

def raises(text):
    raise ValueError(f"bad record: {text}")

def key(text):
    return dict()[text]

def parses(text):
    return int(text.split(",")[1] + "x")

def chained(text):
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise RuntimeError(text.lower()[1:9]) from error

def encoded(text):
    text.encode("utf-16").decode("ascii")

def reads(text):
    return json.loads(text)

def opens(text):
    return open(text)

def subclass(text):
    raise type(text[:5], (Exception,), {})()

def exits(text):
    sys.exit(text)

def dies(text):
    os._exit(3)

def says(text):
    return text

class Odd:
    def __init__(self, text):
        self.text = text
    def __bool__(self):
        raise ValueError(self.text)
    def __repr__(self):
        return self.text

def odd(text):
    return Odd(text)

def deferred(text):
    yield text
"""


@pytest.mark.parametrize("timeout", [0, 5])
@pytest.mark.parametrize("function", re.findall(r"^def (\w+)", VALIDATORS, re.MULTILINE))
def test_a_validator(told, monkeypatch, function, timeout):
    if (function, timeout) == ("dies", 0):
        pytest.skip("it would end this process")
    monkeypatch.setattr(stage, "open_sampler", lambda *_: FakeSampler(broken_records))
    fake_run(told / "out", columns=["name", "id", "day"])
    put("v.py", VALIDATORS)
    options = ["--line-validator", f"in/v.py:{function}", "--validator-timeout", timeout, "--max-attempts", 3]
    options += ["--start-strings-file", put("starts.txt", "a,\nb,\n")] if timeout else []
    assert run("generate", "--output", "out", "--num-lines", 4, *options) in (0, 2, 4)


RULES = {
    "type": {"field": "id", "type": "date"},
    "range": {"field": "id", "range": [0, 5]},
    "pattern": {"field": "name", "pattern": "[a-c]"},
    "check": {"check": "int(id) + day > name", "name": "sum"},
    "text": {"check": "date(id) > date(day)"},
    "divide": {"check": "float(name) / 0 > 1"},
}


@pytest.mark.parametrize("kind", RULES)
def test_a_rule(told, monkeypatch, kind):
    monkeypatch.setattr(stage, "open_sampler", lambda *_: FakeSampler(broken_records))
    fake_run(told / "out", columns=["name", "id", "day"])
    rules = ["--rules", put("rules.json", json.dumps([RULES[kind]]))]
    assert run("generate", "--output", "out", "--num-lines", 4, "--max-attempts", 3, *rules) in (0, 2, 4)


@pytest.mark.parametrize("field", ["int", "date", "double", "long", "boolean", "decimal"])
def test_a_schema(told, monkeypatch, field):
    monkeypatch.setattr(stage, "open_sampler", lambda *_: FakeSampler(broken_records))
    fake_run(told / "out", columns=["name", "id", "day"])
    kinds: dict[str, object] = {"date": {"type": "int", "logicalType": "date"}}
    kinds["decimal"] = {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}
    fields = [{"name": name, "type": kinds.get(field, field)} for name in ("name", "id", "day")]
    schema = ["--schema-file", put("s.avsc", json.dumps({"type": "record", "name": "R", "fields": fields}))]
    formats = ["--output-format", "jsonl,avro,parquet"]
    assert run("generate", "--output", "out", "--num-lines", 4, "--max-attempts", 3, *schema, *formats) in (0, 2, 4)


def test_partitions_and_a_table(told, monkeypatch):
    monkeypatch.setattr(stage, "open_sampler", lambda *_: FakeSampler(broken_records))
    fake_run(told / "out", columns=["name", "id", "day"])
    generate = ["generate", "--output", "out", "--num-lines", 40, "--max-attempts", 1, "--overwrite"]
    assert run(*generate, "--iceberg-table", "a.b", "--output-types", "text") in (0, 4)
    assert run(*generate, "--partition-by", "id", "--max-partitions", 2) in (0, 2, 4)


def typed_file(kind: str, rows: list[dict]) -> str:
    path = Path("in") / f"rows.{kind}"
    if kind == "avro":
        fields = [{"name": name, "type": ["null", "string"]} for name in rows[0]]
        with path.open("wb") as stored:
            fastavro.writer(stored, {"type": "record", "name": "R", "fields": fields}, rows)
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def damaged(path: str, how: str) -> str:
    """Damage a file: cut it, change bytes in its middle, or put other text at its end."""
    content = Path(path).read_bytes()
    middle = len(content) // 2
    changed = {
        "cut": content[: middle + 3],
        "changed": content[:middle]
        + bytes(255 - byte for byte in content[middle : middle + 9])
        + content[middle + 9 :],
        "added": content + f'{{"country": {WORD}\n'.encode(),
        "other": f"{WORD},{NUMBER}\n".encode() * 9,
    }
    Path(path).write_bytes(changed[how])
    return path


PARTIAL = {
    "no header": ("csv", f"{WORD},{NUMBER}\n{WORD},1\n"),
    "unseen": ("csv", f"country\n{WORD}\n{NUMBER}\n"),
    "contradiction": ("csv", f"country,height\nFR,{WORD}\nFR,{NUMBER}{NUMBER}\n"),
    "ragged": ("csv", f"country\nFR\n{WORD},{WORD}\n"),
    "quotes": ("csv", f'country\n"{WORD}"{WORD}\n'),
    "bytes": ("csv", b"country\n" + WORD.encode() + b"\xff\n"),
    "line end": ("csv", f'country\n"{WORD}\n{WORD}"\n'),
    "no JSON": ("jsonl", f'{{"country": {WORD}}}\n'),
    "no object": ("jsonl", f'"{WORD}"\n'),
    "nested": ("jsonl", f'{{"country": ["{WORD}", {{"x": {NUMBER}}}]}}\n'),
    "number": ("jsonl", f'{{"height": {NUMBER}{NUMBER}}}\n{{"height": 1e{NUMBER}}}\n'),
}


@pytest.mark.parametrize("option", ["--where-file", "--impute", "--start-strings-file"])
@pytest.mark.parametrize("strict", [(), ("--strict-conditions",)])
@pytest.mark.parametrize("kind", PARTIAL)
def test_partial_records(told, kind, option, strict):
    if strict and option == "--start-strings-file":
        pytest.skip("they are not conditions")
    conditioned_run(told / "out")
    suffix, content = PARTIAL[kind]
    options = [option, put(f"given.{suffix}", content), *strict, "--max-attempts", 3, "--output-format", "text,parquet"]
    assert run("generate", "--output", "out", *options) in (0, 2, 4)


@pytest.mark.parametrize("option", ["--where-file", "--impute", "--start-strings-file"])
@pytest.mark.parametrize("how", ["cut", "changed", "added", "other"])
@pytest.mark.parametrize("kind", ["avro", "parquet", "jsonl"])
def test_damaged_typed_partial_records(told, kind, how, option):
    conditioned_run(told / "out")
    path = damaged(typed_file(kind, [{"country": WORD}] * 50), how)
    assert run("generate", "--output", "out", option, path, "--max-attempts", 2) in (0, 2, 4)


SETS = {
    "ragged": ("csv", with_rows(f"{WORD},{NUMBER}", f"{WORD},1,2,3,4")),
    "bytes": ("csv", with_rows(f"{WORD},1,2").replace(b",1,2", b"\xff,1,2")),
    "quotes": ("csv", with_rows(f'"{WORD},1,2', f'a{WORD}",1,2')),
    "other names": ("csv", with_rows(header=f"{WORD},{NUMBER},x")),
    "no header": ("csv", with_rows(header=ROWS[0])),
    "one field": ("csv", f"{WORD}\n{NUMBER}\n"),
    "empty": ("csv", "name,id,day\n"),
    "NUL": ("csv", with_rows(f"{WORD}\0,{NUMBER},2")),
    "no JSON": ("jsonl", f'{{"name": {WORD}}}\n'),
    "no object": ("jsonl", f'"{WORD}"\n'),
    "other keys": ("jsonl", f'{{"name": "{WORD}", "id": {NUMBER}, "day": 1}}\n{{"{WORD}": 1, "id": 2}}\n'),
    "nested": ("jsonl", f'{{"name": ["{WORD}"], "id": {{"x": {NUMBER}}}, "day": 1e400}}\n' * 9),
    "numbers": ("jsonl", f'{{"name": NaN, "id": {NUMBER * 30}, "day": 1e{NUMBER}}}\n'),
    "cut": ("csv.gz", gzip.compress(TEXT.encode())[:-12]),
}


@pytest.mark.parametrize("quoted", [(), ("--quoted",)])
@pytest.mark.parametrize("kind", SETS)
def test_sets_of_records(told, kind, quoted):
    suffix, content = SETS[kind]
    real, other = put("real.csv", TEXT), put(f"other.{suffix}", content)
    options = ["--output", "out", *COMMA, *quoted, "--overwrite"]
    assert run("evaluate", "--real", real, "--synthetic", other, *options) in (0, 2)
    assert run("evaluate", "--real", other, "--synthetic", real, "--holdout", other, *options) in (0, 2)
    assert run("evaluate", "--real", other, "--synthetic", real, *options, "--role", "name=number") in (
        0,
        2,
    )


@pytest.mark.parametrize("how", ["cut", "changed", "added", "other"])
@pytest.mark.parametrize("kind", ["avro", "parquet", "jsonl"])
def test_damaged_typed_sets(told, kind, how):
    rows = [dict(zip(("name", "id", "day"), row.split(","), strict=True)) for row in ROWS]
    path = damaged(typed_file(kind, rows), how)
    assert run("evaluate", "--real", put("real.csv", TEXT), "--synthetic", path, "--output", "out", *COMMA) in (0, 2)


def test_a_file_name_is_no_record_and_may_be_shown(tmp_path, monkeypatch, capsys):
    """A control of the search: a text in a name that the user typed is found in the message."""
    monkeypatch.chdir(tmp_path)
    assert run("plan", "--input", f"{WORD}.csv") == 2
    assert SECRET.search(os.fsencode(capsys.readouterr().err))
