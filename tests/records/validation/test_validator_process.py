"""Validators in a separate process: the same results, and a validator that hangs, exits or crashes costs one record."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from linesmith.core.errors import ParameterError
from linesmith.model.sampling.sampler import Sample, SampleRequest
from linesmith.records.fields import FieldFormat
from linesmith.records.validation import validator_process
from linesmith.records.validation.record_validator import RecordValidator, ValidationResult, run_validator
from linesmith.records.validation.user_validator import validator_source
from linesmith.records.validation.validator_process import ValidatorProcess, close_validator_processes

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
def host(tmp_path: Path) -> Iterator[ValidatorProcess]:
    (tmp_path / "v.py").write_text(CODE)
    host = ValidatorProcess(validator_source(f"{tmp_path / 'v.py'}:judge"), 0.5)
    yield host
    host.close()


def test_results_equal_those_of_the_function_itself(host: ValidatorProcess) -> None:
    texts = ["a", "bad", "raise", "é\u2028\n\0", "x" * 100_000] * 120
    function = host._source.load()
    assert host.validate_batch(texts) == [run_validator(function, text) for text in texts]
    assert host("a") == ValidationResult(True)


@pytest.mark.integration
@pytest.mark.parametrize(("text", "reason"), [("spin", "timeout"), ("sleep", "timeout"), ("exit", "validator")])
def test_one_record_is_lost_and_the_rest_are_checked(host: ValidatorProcess, text: str, reason: str) -> None:
    host("a")
    start_time = time.monotonic()
    assert [result.reason for result in host.validate_batch(["a", text, "bad", "a"])] == [
        None,
        reason,
        "validator",
        None,
    ]
    assert time.monotonic() - start_time < 20


@pytest.mark.parametrize(
    ("code", "found"),
    [("import nowhere", "line 1"), ("x = 1", "has no 'judge'"), ("import os\nos._exit(0)", "ended the process")],
)
def test_a_validator_that_does_not_load_is_a_user_error(tmp_path: Path, code: str, found: str) -> None:
    (tmp_path / "v.py").write_text(code)
    with pytest.raises(ParameterError, match=f"^LS1(07|21): --line-validator.*{found}"):
        ValidatorProcess(validator_source(f"{tmp_path / 'v.py'}:judge"), 1.0).start()


@pytest.mark.integration
@pytest.mark.parametrize("how", ["close", "close_validator_processes", "forget"])
def test_the_process_ends(tmp_path: Path, how: str) -> None:
    (tmp_path / "v.py").write_text(CODE)
    host = ValidatorProcess(validator_source(f"{tmp_path / 'v.py'}:judge"), 0.5)
    host.start()
    assert host._child is not None
    child = host._child._process.pid
    if how == "close":
        host.close()
    elif how == "close_validator_processes":
        close_validator_processes()
    del host
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_batch_is_one_message_each_way(host: ValidatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    host("a")
    assert host._child is not None
    sent: list[int] = []
    send = host._child.send
    monkeypatch.setattr(host._child, "send", lambda texts: (sent.append(len(texts)), send(texts))[1])
    record_validator, texts = RecordValidator(host, 1, FieldFormat(",")), ["a", "a,b", "bad", ""] * 100
    samples = [Sample(SampleRequest(n, 0), text, "newline") for n, text in enumerate(texts)]
    results = record_validator.validate_batch(samples)
    assert sent == [200], "records of a wrong shape are not sent"
    assert results == [record_validator(sample) for sample in samples]
    assert Counter(result.reason for result in results) == {
        None: 100,
        "field_count": 100,
        "validator": 100,
        "empty": 100,
    }


@pytest.mark.integration
def test_the_right_record_of_a_batch_is_lost(host: ValidatorProcess) -> None:
    texts = [str(n) for n in range(600)]
    texts[250], texts[300], texts[599] = "spin", "exit", "sleep"
    reasons = {n: result.reason for n, result in enumerate(host.validate_batch(texts)) if result.reason is not None}
    assert reasons == {250: "timeout", 300: "validator", 599: "timeout"}


@pytest.mark.integration
def test_a_validator_that_hangs_does_not_outlive_its_parent(tmp_path: Path) -> None:
    (tmp_path / "v.py").write_text(CODE + f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n")
    parent = f"""
import threading, time
from linesmith.records.validation.validator_process import ValidatorProcess
from linesmith.records.validation.user_validator import validator_source
host = ValidatorProcess(validator_source({str(tmp_path / "v.py") + ":judge"!r}), 600.0)
host.start()
threading.Thread(target=lambda: host("spin"), daemon=True).start()
time.sleep(600)
"""
    running = subprocess.Popen([sys.executable, "-c", parent])
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.1)
    time.sleep(0.5)
    running.kill()
    running.wait()
    child = int((tmp_path / "pid").read_text())
    while Path(f"/proc/{child}").exists() and "State:\tZ" not in Path(f"/proc/{child}/status").read_text():
        assert time.monotonic() < deadline, "the child still runs"
        time.sleep(0.2)


@pytest.mark.integration
@pytest.mark.parametrize(("text", "found"), [("spin", "took longer than 0.2 s"), ("exit", "ended its process")])
def test_a_validator_that_loses_every_record_ends_the_run(
    tmp_path: Path, text: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validator_process, "MAX_CONSECUTIVE_FAILURES", 3)
    (tmp_path / "v.py").write_text(CODE)
    with contextlib.closing(ValidatorProcess(validator_source(f"{tmp_path / 'v.py'}:judge"), 0.2)) as host:
        host.validate_batch([text] * 2 + ["a"] + [text] * 2)  # a record with a result resets the count
        with pytest.raises(ParameterError, match=rf"^LS121: --line-validator.*{found}, for 3 records in a row"):
            host(text)
