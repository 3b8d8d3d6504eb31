"""The stage and the Python interface on a real, untrained network: what the fakes stand for holds for the sampler too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.model.generation import python_api as local_generation
from linesmith.model.generation.python_api import generate_text
from linesmith.pipelines.generate.stage import generate
from tests.helpers.tiny_model import tiny_run

pytestmark = pytest.mark.integration

# Few random records have two fields and end in time: there is something to reject, and something to retry.
VALIDATOR = "def f(text):\n    return len(text) % 2 == 0\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("real")
    tiny_run(directory)
    (directory / "rules.py").write_text(VALIDATOR)
    return directory


def settings(run: Path, **changes: object) -> TensorFlowConfig:
    wanted = {"gen_lines": 60, "unit_size": 25, "line_validator": f"{run / 'rules.py'}:f", "overwrite": True}
    return config_from_model_dir(run).replace(**{**wanted, **changes})


def lines(run: Path) -> list[str]:
    return [line for p in sorted((run / "synthetic").glob("*.txt")) for line in p.read_text().split("\n")[:-1]]


def test_the_same_records_for_other_units_another_run_and_from_python(run: Path) -> None:
    report = generate(settings(run))
    first = lines(run)
    invalid = json.loads((run / "synthetic" / "manifest.json").read_text())["counts"]["invalid_by_reason"]
    assert report.exit_code == 0
    assert len(first) == 60 and all(len(line) % 2 == 0 for line in first)
    assert invalid["validator"] > 10
    generate(settings(run, unit_size=7))
    assert lines(run) == first
    generate(settings(run, seed=1))
    assert lines(run) != first
    texts = list(generate_text(settings(run), line_validator=lambda t: len(t) % 2 == 0, parallelism=1))
    assert [text.text for text in texts if text.valid] == first


def test_start_strings_begin_real_records(run: Path) -> None:
    starts = ["a, ", "bb, ", "1, 2, "] * 5
    generate(settings(run, start_string=starts, line_validator=None))
    assert [line.startswith(start) for line, start in zip(lines(run), starts, strict=True)] == [True] * 15


@pytest.mark.slow
def test_two_loky_workers_give_the_same_records(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_generation, "UNIT_RECORDS", 8)  # else so few records are one worker's
    plain = settings(run, line_validator=None, gen_lines=30)
    alone = [(text.text, text.valid) for text in generate_text(plain, parallelism=1)]
    assert [(text.text, text.valid) for text in generate_text(plain, parallelism=2)] == alone


def test_damaged_weights_and_an_unknown_checkpoint_are_reported(run: Path) -> None:
    generate(settings(run))
    before = lines(run)
    with pytest.raises(ParameterError, match="LS120: checkpoint '7'"):
        generate(settings(run, checkpoint="7"))
    weights = run / "model" / "checkpoints" / "best.npz"
    content = weights.read_bytes()
    try:
        weights.write_bytes(content[: len(content) // 2])
        with pytest.raises(DataError, match=r"LS201|LS214"):
            generate(settings(run))
    finally:
        weights.write_bytes(content)
    assert lines(run) == before


@pytest.mark.parametrize("output", ["text", "jsonl"])
def test_named_columns_say_how_many_fields_every_record_has(run: Path, output: str) -> None:
    """As a private model's user needs it: such a model may not learn the number from the records."""
    wanted = settings(run, columns=["a", "b", "c"], line_validator=None, output_format=[output])
    generate(wanted.replace(columns=None, output_format=["text"]))
    assert {line.count(", ") for line in lines(run)} != {2}
    generate(wanted)
    found = [line.count(", ") for line in lines(run)] if output == "text" else [
        len(json.loads(line)) - 1 for p in sorted((run / "synthetic").glob("*.jsonl")) for line in p.read_text().splitlines()
    ]  # fmt: skip
    assert found == [2] * 60
    reasons = json.loads((run / "synthetic" / "manifest.json").read_text())["counts"]["invalid_by_reason"]
    assert not reasons.get("field_count"), "masks keep to the number: none is sampled in vain"
