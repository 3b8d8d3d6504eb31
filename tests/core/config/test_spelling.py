"""Settings in messages: flags where a command line was typed, names and arguments in a call from Python."""

from __future__ import annotations

import logging

import pytest

from linesmith.core.config.setting_field import flag_name, option_text
from linesmith.core.config.spelling import python_call, settings_typed_as, without_flags
from linesmith.core.config.tensorflow_config import fields
from linesmith.core.errors import DataError, ParameterError, ShortfallError
from linesmith.core.library_logging import quiet_calls


def error_of(option: str | None, remedy: str, arguments: dict[str, str] | None = None) -> str:
    with pytest.raises(ParameterError) as caught, python_call(arguments):
        raise ParameterError("LS101", option, "is wrong", remedy)
    assert caught.value.code == "LS101"
    return str(caught.value)


@pytest.mark.parametrize("name", fields())
def test_every_setting_has_its_name_in_a_call_from_python(name):
    message = error_of(option_text(name), f"Leave {flag_name(name)} out.")
    assert "--" not in message and message.startswith(f"LS101: {name}")


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("--where 'n=3'", "where 'n=3'"),
        ("--no-header", "header=False"),
        ("--dp", "dp=True"),
        ("--output (checkpoint_dir) 'out'", "checkpoint_dir 'out'"),
        ("--dp-delta 0.5", "dp_delta 0.5"),
        ("--where-file, --balance and --impute", "where_file, balance and impute"),
        ("--s3_region_name", "--s3_region_name"),
        ("a -- b --- c", "a -- b --- c"),
        ("two-word hyphens", "two-word hyphens"),
    ],
)
def test_flags_become_names(typed, named):
    assert without_flags(typed) == named


def test_arguments_of_the_call_have_their_own_names():
    arguments = {"--output": "path", "TARGET": "path", "--max-training-time-seconds 90": "minutes 1.5"}
    found = error_of("--output (checkpoint_dir) 'x'", "Change TARGET or --max-training-time-seconds 90.", arguments)
    assert found == "LS101: path 'x': is wrong. Change path or minutes 1.5."


def test_the_arguments_of_the_outer_call_hold():
    with pytest.raises(DataError, match="LS205: data 'x': missing"), python_call({"--input": "data"}), quiet_calls():
        raise DataError("LS205", "--input 'x'", "missing", "Give one.")


def test_a_command_repeats_flags_as_typed():
    typed = settings_typed_as({"input_data_path": "--input"})
    with pytest.raises(DataError, match="--input 'x'"), typed, python_call({"--input": "data"}):
        raise DataError("LS205", "--input 'x'", "missing", "Give one.")


def test_notes_are_renamed_as_well_and_only_during_the_call(caplog):
    log = logging.getLogger("linesmith")
    with python_call():
        log.warning("--where %s: %d %%", "x", 3)
    log.warning("--where")
    assert caplog.messages == ["where x: 3 %", "--where"]


def test_other_errors_pass_unchanged():
    with pytest.raises(KeyError, match="--where"), python_call():
        raise KeyError("--where")


def test_the_class_of_an_error_is_kept():
    with pytest.raises(ShortfallError) as caught, python_call():
        raise ShortfallError("LS204", "--output", "exists", "Pass --overwrite.")
    assert str(caught.value) == "LS204: checkpoint_dir: exists. Pass overwrite=True."
