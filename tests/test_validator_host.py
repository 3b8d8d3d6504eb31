"""Validators in a process of their own: verdicts as without it, and hanging, exiting and crashing ones cost one record."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.errors import ParameterError
from model.validation import Verdict, ask
from model.validator_host import ValidatorHost, close_hosts
from model.validators import validator_source

CODE = """
import os, time
def judge(text):
    print("a validator may print")
    if text == "spin":
        while True:
            pass
    if text == "sleep":
        time.sleep(60)
    if text == "exit":
        os._exit(3)
    if text == "raise":
        raise KeyError("no")
    return text != "bad"
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ValidatorHost]:
    (tmp_path / "v.py").write_text(CODE)
    host = ValidatorHost(validator_source(f"{tmp_path / 'v.py'}:judge"), 0.5)
    yield host
    host.close()


def test_verdicts_are_those_of_the_function_itself(host: ValidatorHost) -> None:
    texts = ["a", "bad", "raise", "é\u2028\n\0", "x" * 100_000] * 120
    function = host._source.load()
    assert host.ask(texts) == [ask(function, text) for text in texts]
    assert host("a") == Verdict(True)


@pytest.mark.parametrize(("text", "reason"), [("spin", "timeout"), ("sleep", "timeout"), ("exit", "validator")])
def test_one_record_is_lost_and_the_rest_are_judged(host: ValidatorHost, text: str, reason: str) -> None:
    host("a")
    began = time.monotonic()
    assert [verdict.reason for verdict in host.ask(["a", text, "bad", "a"])] == [None, reason, "validator", None]
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("code", "found"),
    [("import nowhere", "line 1"), ("x = 1", "has no 'judge'"), ("import os\nos._exit(0)", "ended the process")],
)
def test_what_does_not_load_is_the_users(tmp_path: Path, code: str, found: str) -> None:
    (tmp_path / "v.py").write_text(code)
    with pytest.raises(ParameterError, match=f"^LS107: --line-validator.*{found}"):
        ValidatorHost(validator_source(f"{tmp_path / 'v.py'}:judge"), 1.0).start()


@pytest.mark.parametrize("how", ["close", "close_hosts", "forget"])
def test_no_process_is_left(tmp_path: Path, how: str) -> None:
    (tmp_path / "v.py").write_text(CODE)
    host = ValidatorHost(validator_source(f"{tmp_path / 'v.py'}:judge"), 0.5)
    host.start()
    assert host._child is not None
    child = host._child._process.pid
    if how == "close":
        host.close()
    elif how == "close_hosts":
        close_hosts()
    del host
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
