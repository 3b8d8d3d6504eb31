"""What is said about a validator that raises, and validators that give no answer."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from linesmith.core.errors import ParameterError
from linesmith.records.validation.record_validator import run_validator
from linesmith.records.validation.user_validator import InProcessValidator, pickled_validator_source, validator_source
from linesmith.records.validation.validator_faults import describe_exception

RECORD = "Rome,42,ok"


async def coroutine(text):
    return False


async def async_generator(text):
    yield False


def generator(text):
    yield False


class AsyncCall:
    async def __call__(self, text):
        return False


@pytest.mark.parametrize(
    "function",
    [coroutine, async_generator, generator, AsyncCall(), functools.partial(coroutine), AsyncCall().__call__],
)
def test_a_function_that_gives_no_answer_is_refused_when_it_is_loaded(function):
    with pytest.raises(ParameterError, match=r"LS107: --line-validator .*(async|generator) function"):
        InProcessValidator(function).load()
    with pytest.raises(ParameterError, match="LS107"):
        pickled_validator_source(function).load()


def test_so_is_one_of_a_file(tmp_path):
    (tmp_path / "v.py").write_text("async def check(text):\n    return False\n")
    with pytest.raises(ParameterError, match=r"LS107.*async"):
        validator_source(f"{tmp_path}/v.py:check").load()


def calls_coroutine(text):
    return coroutine(text)


def calls_generator(text):
    return generator(text)


@pytest.mark.parametrize("function", [calls_coroutine, calls_generator])
def test_and_one_that_hides_it_when_it_is_called(function):
    with pytest.raises(ParameterError, match=r"LS107: .*it returned a (coroutine|generator) in place of an answer"):
        run_validator(function, RECORD)


def raises(text):
    values = text.split(",")
    return values[9]


def test_an_exception_has_its_type_its_line_and_a_message_without_the_record():
    fault = run_validator(raises, RECORD).fault
    line = raises.__code__.co_firstlineno + 2
    assert fault == f"IndexError at line {line} of {Path(__file__).name} (list index out of range)"
    assert run_validator(lambda: None, RECORD).fault.startswith("TypeError")


@pytest.mark.parametrize(
    "message", [RECORD, "Rome", "rome!", "no 42", "'Rome'", "ROME", "R: Rom", "4", "it is Rometown", "not ok", "o k: o"]
)
def test_a_message_that_may_quote_the_record_is_left_out(message):
    assert describe_exception(ValueError(message), RECORD) == "ValueError"


def test_the_last_line_of_the_validator_s_own_file_is_named():
    fault = run_validator(lambda text: os.stat(f"/no/{len(text)}/such"), "zzz").fault
    assert f"of {Path(__file__).name}" in fault
