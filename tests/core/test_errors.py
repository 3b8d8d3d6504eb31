"""Errors: one form of message, a code from the table, and the same error on the other side of a process boundary."""

from __future__ import annotations

import pickle

import pytest

from linesmith.core import errors
from linesmith.core.errors import (
    DataError,
    GenerationError,
    LinesmithError,
    ParameterError,
    ShortfallError,
    TokenizerError,
    TooFewRecordsError,
    TooManyInvalidError,
    VocabSizeTooSmall,
    error_from_dict,
)

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LinesmithError)]


def test_the_message_is_one_paragraph_of_code_option_found_and_remedy():
    error = DataError("LS205", "--input 'x.csv'", "no such file", "Give a file of lines.")
    assert str(error) == "LS205: --input 'x.csv': no such file. Give a file of lines."
    assert error.code == "LS205"
    assert str(DataError("LS201", None, "it is gone", "Run again.")) == "LS201: it is gone. Run again."


def test_a_code_that_is_not_in_the_table_fails_at_once():
    with pytest.raises(KeyError, match="LS999"):
        ParameterError("LS999", None, "x", "Y.")


@pytest.mark.parametrize("kind", CLASSES)
def test_class_code_and_message_survive_pickle_and_json(kind):
    error = kind("LS223", "--input 'x'", "found", "Remedy.")
    for copy in (pickle.loads(pickle.dumps(error)), error_from_dict(error.as_dict())):
        assert type(copy) is kind
        assert (copy.code, str(copy)) == ("LS223", str(error))


def test_an_error_can_get_another_message_and_an_unknown_class_is_a_data_error():
    error = TooFewRecordsError("LS207", None, "none", "Give more.").with_message("LS207: none in s3://b.")
    assert (type(error), error.code, str(error)) == (TooFewRecordsError, "LS207", "LS207: none in s3://b.")
    for name in ("NoSuchError", "Self", "ERROR_CODES"):
        assert type(error_from_dict({"error": name, "code": "LS201", "message": "x"})) is DataError


def test_families_and_exit_codes():
    for kind in (ParameterError, VocabSizeTooSmall, DataError, TooFewRecordsError):
        assert issubclass(kind, ValueError)
    for kind in (GenerationError, TooManyInvalidError, ShortfallError):
        assert issubclass(kind, RuntimeError)
    assert ParameterError("LS101", None, "x", "Y.").exit_code == 2
    assert ShortfallError("LS502", None, "x", "Y.").exit_code == 4


def test_a_tokenizer_error_says_why_a_generated_record_is_invalid():
    reasons = {code: TokenizerError(code, None, "x", "Y.").reason for code in ("LS223", "LS224", "LS225", "LS226")}
    assert reasons == {"LS223": "unknown", "LS224": "range", "LS225": "utf8", "LS226": "escape"}
