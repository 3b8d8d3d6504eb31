"""The Python interface with a fake sampler, in this process and in loky workers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import (
    DataError,
    GenerationError,
    LinesmithError,
    ParameterError,
    ShortfallError,
    TooManyInvalidError,
)
from linesmith.model.generation import local_model
from linesmith.model.generation.python_api import UNIT_RECORDS, SeedingGenerator, generate_text
from linesmith.records.fields import GenText
from tests.helpers import generation_fakes
from tests.helpers.generation_fakes import fake_run

pytestmark = pytest.mark.integration


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TensorFlowConfig:
    monkeypatch.setattr(local_model, "open_sampler", generation_fakes.open_fake)
    return config_from_model_dir(fake_run(tmp_path / "run"))


def plain(text: GenText) -> tuple:
    return text.valid, text.text, text.explain


def test_without_a_validator_only_malformed_records_are_invalid(config: TensorFlowConfig) -> None:
    records = list(generate_text(config, num_lines=40, parallelism=1))
    good = [record for record in records if record.valid is None]
    bad = [record for record in records if record.valid is False]
    assert len(good) == 40 and len(bad) > 3
    assert len(good) + len(bad) == len(records)
    assert [int(record.text.split(",")[0]) for record in good] == list(range(40))
    assert {record.text.count(",") for record in good} == {2, 3}, "field counts are not checked here"
    assert all(record.explain for record in bad) and not any(record.explain for record in good)
    assert good[0].delimiter == ","
    assert good[0].values_as_list() == good[0].text.split(",")


def test_with_a_validator_only_valid_records_count(config: TensorFlowConfig) -> None:
    def even(line: str) -> object:
        number = int(line.split(",")[2])
        if number % 3 == 0:
            raise ValueError("three")
        return np.bool_(number % 2 == 0)

    records = list(generate_text(config, line_validator=even, num_lines=30, parallelism=1))
    assert sum(record.valid is True for record in records) == 30
    explanations = {record.explain for record in records if record.valid is False}
    assert {"ValueError: three", "the validator returned False"} <= explanations
    assert all(int(record.text.split(",")[2]) % 2 == 0 for record in records if record.valid)


def test_fewer_records_are_the_first_of_more(config: TensorFlowConfig) -> None:
    few = [plain(record) for record in generate_text(config, num_lines=10, parallelism=1)]
    many = [plain(record) for record in itertools.islice(generate_text(config, num_lines=600, parallelism=1), len(few))]
    assert few == many


def test_worker_processes_give_the_same_records_and_take_closures(config: TensorFlowConfig) -> None:
    lines, bound = 2 * UNIT_RECORDS + 10, 700_000
    expected = [plain(r) for r in generate_text(config, None, lambda t: int(t.split(",")[2]) < bound, None, lines, 1)]
    found = generate_text(config, None, lambda t: int(t.split(",")[2]) < bound, None, lines, 2)
    assert [plain(record) for record in found] == expected
    assert sum(valid for valid, *_ in expected) == lines


def test_errors_of_a_worker_keep_their_type(config: TensorFlowConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_model, "open_sampler", generation_fakes.open_broken)
    with pytest.raises(DataError, match="LS214: the weights are damaged"):
        list(generate_text(config, num_lines=2 * UNIT_RECORDS, parallelism=2))


def test_closing_ends_the_workers(config: TensorFlowConfig) -> None:
    psutil = pytest.importorskip("psutil")

    def workers() -> list:
        return [p for p in psutil.Process().children(recursive=True) if "popen_loky" in " ".join(p.cmdline())]

    before = len(workers())
    records = generate_text(config, num_lines=10 * UNIT_RECORDS, parallelism=2)
    next(records)
    assert len(workers()) > before
    records.close()
    assert len(workers()) == before


def test_the_error_for_unpicklable_validators_explains_the_reason(config: TensorFlowConfig, tmp_path: Path) -> None:
    with open(tmp_path / "log", "w") as log:
        records = generate_text(
            config, line_validator=lambda text: bool(log.write(text)), num_lines=2 * UNIT_RECORDS, parallelism=2
        )
        with pytest.raises(ParameterError, match=r"line_validator: cannot be sent.*parallelism=1"):
            next(records)


def test_max_invalid_ends_after_the_record_that_exceeds_it(config: TensorFlowConfig) -> None:
    for ceiling in (0, 1, 25, 200):
        seen: list[GenText] = []
        with pytest.raises(TooManyInvalidError, match=f"{ceiling}: more invalid records"):
            seen.extend(iter_into(seen, generate_text(config, max_invalid=ceiling, num_lines=1000, parallelism=1)))
        assert sum(record.valid is False for record in seen) == ceiling + 1
        assert seen[-1].valid is False


def iter_into(seen: list[GenText], records: Iterator[GenText]) -> None:
    """Append to `seen`, which keeps what was yielded before an error."""
    for record in records:
        seen.append(record)


def test_the_default_maximum_is_a_thousand_or_the_number_of_lines(
    config: TensorFlowConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[GenText] = []
    with pytest.raises(TooManyInvalidError, match="1000: more invalid records"):
        iter_into(seen, generate_text(config, None, lambda text: False, num_lines=5, parallelism=1))
    assert len(seen) == 1001
    assert issubclass(TooManyInvalidError, GenerationError) and issubclass(GenerationError, RuntimeError)


def test_exhausted_attempts_are_reported_at_the_end_with_their_count(config: TensorFlowConfig) -> None:
    seen: list[GenText] = []
    picky = config.replace(max_attempts=2)
    with pytest.raises(ShortfallError, match=r"(\d+) records are missing") as caught:
        iter_into(seen, generate_text(picky, num_lines=100, parallelism=1, line_validator=lambda t: t[-1] in "0123"))
    good = sum(bool(record.valid) for record in seen)
    assert f"{100 - good} records are missing" in str(caught.value)
    assert 0 < good < 100


def test_a_list_of_start_strings_gives_one_record_each(config: TensorFlowConfig) -> None:
    seeds = [f"{n}," for n in range(500, 530)]
    records = [r for r in generate_text(config, seeds, num_lines=3, parallelism=1) if r.valid is not False]
    assert [record.text[:4] for record in records] == seeds
    one = [r for r in generate_text(config, "9,", num_lines=5, parallelism=1) if r.valid is not False]
    assert len(one) == 5 and all(record.text.startswith("9,") for record in one)


def test_the_configuration_supplies_missing_arguments(config: TensorFlowConfig, tmp_path: Path) -> None:
    file = tmp_path / "rules.py"
    file.write_text("def f(line):\n    return line.endswith('7')\n")
    set_up = config.replace(start_string="4,", gen_lines=6, line_validator=f"{file}:f")
    good = [r.text for r in generate_text(set_up, parallelism=1) if r.valid]
    assert len(good) == 6
    assert all(text.startswith("4,") and text.endswith("7") for text in good)


def test_zero_lines_is_a_value(config: TensorFlowConfig) -> None:
    assert list(generate_text(config, num_lines=0)) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_string": "no delimiter"}, "LS108.*final|LS108.*does not end"),
        ({"start_string": []}, "the list is empty"),
        ({"start_string": ["1,", 2]}, "a list of texts"),
        ({"num_lines": -1}, "num_lines -1: not a whole number"),
        ({"max_invalid": 1.5}, "max_invalid 1.5: not a whole number"),
        ({"parallelism": -0.5}, "parallelism -0.5: a float is a share"),
        ({"line_validator": 5}, "int, which cannot be called"),
        ({"line_validator": "nowhere:f"}, "does not import"),
    ],
)
def test_bad_arguments_are_raised_at_the_call(config: TensorFlowConfig, changes: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        generate_text(config, **changes)


def test_a_missing_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no model"):
        generate_text(TensorFlowConfig(checkpoint_dir=tmp_path))


def test_the_live_list_holds_start_strings_without_a_record(config: TensorFlowConfig) -> None:
    seeds = [f"{n}," for n in range(600, 612)]
    generator = SeedingGenerator(config, seed_list=seeds, parallelism=1)
    assert generator.settings.start_string == seeds
    done = 0
    for record in generator:
        if record.valid is not False:
            done += 1
            assert record.text.startswith(seeds[done - 1])
        assert generator.settings.start_string == seeds[done:]
        if done == 5:
            break
    generator.close()
    rest = SeedingGenerator(config, seed_list=generator.settings.start_string, parallelism=1)
    assert sum(record.valid is not False for record in rest) == 7
    assert rest.settings.start_string == []
    assert len(seeds) == 12, "the caller's list is left alone"


def test_start_strings_may_be_appended_during_generation(config: TensorFlowConfig) -> None:
    generator = SeedingGenerator(config, seed_list=["1,", "2,"], parallelism=1)
    starts = []
    for record in generator:
        if record.valid is not False:
            starts.append(record.text[:2])
            if len(starts) < 5:
                generator.settings.start_string.append(f"{len(starts) + 2},")
    assert starts == ["1,", "2,", "3,", "4,", "5,", "6,"]


def test_other_changes_of_the_live_list_are_refused(config: TensorFlowConfig) -> None:
    generator = SeedingGenerator(config, seed_list=["1,", "2,", "3,"], parallelism=1)
    next(generator)
    generator.settings.start_string.clear()
    with pytest.raises(ParameterError, match="other than by appending"):
        list(generator)


def test_start_strings_are_needed(config: TensorFlowConfig) -> None:
    with pytest.raises(ParameterError, match="seed_list: not given"):
        SeedingGenerator(config)
    assert SeedingGenerator(config.replace(start_string=["1,"])).settings.start_string == ["1,"]


@pytest.mark.parametrize("parallelism", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_rules_and_schema_are_checked_before_the_validator(
    config: TensorFlowConfig, tmp_path: Path, parallelism: int
) -> None:
    amount = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    fields = [
        {"name": "id", "type": "int", "maximum": 1000},
        {"name": "attempt", "type": "long"},
        {"name": "amount", "type": amount},
    ]
    (tmp_path / "s.avsc").write_text(json.dumps({"type": "record", "name": "R", "fields": fields}))
    checked = config.replace(
        schema_file=str(tmp_path / "s.avsc"), validation_rules=[{"field": "amount", "range": [0, 800_000]}]
    )
    lines = 2 * UNIT_RECORDS if parallelism > 1 else 40
    records = list(generate_text(checked, None, lambda text: not text.endswith("7"), None, lines, parallelism))
    good = [record for record in records if record.valid]
    explanations = {record.explain for record in records if record.valid is False}
    assert len(good) == lines
    assert all(record.text.count(",") == 2 and record.text[-1] != "7" for record in good)
    assert max(int(record.text.split(",")[2]) for record in good) <= 800_000
    assert {"4 fields instead of 3", "the validator returned False"} <= explanations
    # Without a validator, the rules alone decide.
    assert {record.valid for record in generate_text(checked, num_lines=20, parallelism=1)} == {True, False}


def test_wrong_rules_and_schemas_are_raised_at_the_call(config: TensorFlowConfig, tmp_path: Path) -> None:
    (tmp_path / "s.avsc").write_text('{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}')
    for changes, code in (
        ({"validation_rules": [{"field": "nowhere", "type": "integer"}]}, "LS113"),
        ({"rules": str(tmp_path / "none.yaml")}, "LS113"),
        ({"schema_file": str(tmp_path / "none.avsc")}, "LS111"),
        ({"schema_file": str(tmp_path / "s.avsc")}, "LS111"),
        ({"validation_rules": [{"not_in_training_set": True}]}, "LS201"),
    ):
        with pytest.raises(LinesmithError, match=code):
            generate_text(config.replace(**changes), num_lines=1)


def test_a_function_that_hangs_is_ended_if_there_is_a_limit(config: TensorFlowConfig) -> None:
    def hangs(line: str) -> bool:
        while line.startswith("7,0,"):
            pass
        return True

    records = list(generate_text(config, None, hangs, num_lines=20, parallelism=1, validator_timeout=1.0))
    assert sum(bool(record.valid) for record in records) == 20
    assert [r.text[:4] for r in records if "took longer" in (r.explain or "")] == ["7,0,"]


def test_a_function_without_a_limit_runs_in_this_process(config: TensorFlowConfig) -> None:
    seen: list[str] = []
    records = list(generate_text(config, None, seen.append, num_lines=5, parallelism=1))
    assert {record.text for record in records if record.valid} <= set(seen)


def test_a_function_that_cannot_be_pickled_needs_no_limit(config: TensorFlowConfig, tmp_path: Path) -> None:
    with (
        open(tmp_path / "log", "w") as log,
        pytest.raises(ParameterError, match=r"LS107.*process of its own.*validator_timeout"),
    ):
        generate_text(config, None, lambda text: bool(log.write(text)), num_lines=5, validator_timeout=5)
