"""Results of validation, and how validators are loaded."""

from __future__ import annotations

from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from linesmith.core.errors import ParameterError
from linesmith.model.sampling.sampler import Sample, SampleRequest
from linesmith.records.fields import FieldFormat
from linesmith.records.validation.record_validator import RecordValidator
from linesmith.records.validation.user_validator import validator_source


def sample(text: str, finish_reason: str = "newline", error: str | None = None) -> Sample:
    return Sample(SampleRequest(0, 0), text, finish_reason, error)


@pytest.mark.parametrize(
    ("answer", "valid"),
    [
        (True, True),
        (None, True),
        (False, False),
        (np.True_, True),
        (np.False_, False),
        (0, True),
        ("", True),
        ([], True),
    ],
)
def test_only_false_and_exceptions_make_a_record_invalid(answer: object, valid: bool) -> None:
    assert RecordValidator(lambda text: answer)(sample("a")).valid is valid


def test_an_exception_is_explained() -> None:
    def fail(text: str) -> None:
        raise KeyError("country")

    result = RecordValidator(fail)(sample("a"))
    assert (result.valid, result.reason, result.explain) == (False, "validator", "KeyError: 'country'")


@pytest.mark.parametrize(
    ("checked", "reason"),
    [
        (sample("", error="utf8"), "utf8"),
        (sample("", error="escape"), "escape"),
        (sample("a,b", "length"), "length"),
        (sample(""), "empty"),
        (sample("a"), "field_count"),
        (sample("a,b,"), "field_count"),
        (sample("a,no"), "validator"),
        (sample("a,b"), None),
        (sample("a,b", "gen_chars"), None),
        (sample("a", "gen_chars"), "field_count"),
    ],
)
def test_checks_run_in_their_order(checked: Sample, reason: str | None) -> None:
    result = RecordValidator(lambda text: not text.endswith("no"), 2, FieldFormat(","))(checked)
    assert result.reason == reason
    assert result.valid is (reason is None)
    assert (result.explain is None) is (reason is None)


def test_quoted_fields_are_counted_as_csv_reads_them() -> None:
    assert RecordValidator(None, 2, FieldFormat(",", quoted=True))(sample('"a,b",c')).valid is True
    assert RecordValidator(None, 2, FieldFormat(","))(sample('"a,b",c')).valid is False


def test_the_result_without_any_check_is_none() -> None:
    assert RecordValidator()(sample("a")).valid is None
    assert RecordValidator(None, 1, FieldFormat(","))(sample("a")).valid is True


def test_a_file_is_sent_as_its_text(tmp_path: Path) -> None:
    file = tmp_path / "rules.py"
    file.write_text(
        "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass Rule:\n    end: str = 'x'\n"
        "    def check(self, text: str) -> bool:\n        return text.endswith(self.end)\nrule = Rule()\n"
    )
    source = validator_source(f"{file}:rule.check")
    packed = cloudpickle.dumps(source)
    file.unlink()
    check = cloudpickle.loads(packed).load()
    assert (check("ax"), check("xa")) == (True, False)
    assert source.identity["sha256"] is not None


def test_two_files_of_the_same_name_are_two_validators(tmp_path: Path) -> None:
    found = []
    for answer in ("True", "False"):
        file = tmp_path / "rules.py"
        file.write_text(f"def f(text): return {answer}\n")
        found.append(validator_source(f"{file}:f").load()(""))
    assert found == [True, False]


def test_an_import_path_is_imported() -> None:
    assert validator_source("json:loads").load()("1") == 1
    assert validator_source("os.path:isabs").load()("/") is True


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("rules", None, "names no function"),
        ("rules.py", None, "names no function"),
        (":f", None, "names no function"),
        ("a:b c", None, "names no function"),
        ("{dir}/absent.py:f", None, "cannot be read .No such file"),
        ("{dir}/rules.py:f", b"\xff\xfe", "not UTF-8"),
        ("{dir}/rules.py:f", b"def g(t): pass", "has no 'f'"),
        ("{dir}/rules.py:f", b"f = 5", "of type int and cannot be called"),
        ("{dir}/rules.py:f", b"a = 1\ndef f(:", r"line 2 \(SyntaxError"),
        ("{dir}/rules.py:f", b"\nimport nowhere_at_all", r"line 2 \(ModuleNotFoundError: No module"),
        ("{dir}/rules.py:f", b"import sys\nsys.exit(0)", r"line 2 \(SystemExit"),
        ("nowhere_at_all.rules:f", None, "does not import .ModuleNotFoundError"),
        ("json:no_such", None, "'json' has no 'no_such'"),
        ("json:__name__", None, "cannot be called"),
    ],
)
def test_the_error_of_a_validator_that_does_not_load_names_option_value_and_remedy(
    tmp_path: Path, option: str, text: bytes | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "rules.py").write_bytes(text)
    value = option.replace("{dir}", str(tmp_path))
    with pytest.raises(ParameterError, match=message) as caught:
        validator_source(value).load()
    message_found = str(caught.value)
    assert message_found.startswith(f"LS107: --line-validator (line_validator) '{value}': ")
    assert "\n" not in message_found
    assert caught.value.exit_code == 2
