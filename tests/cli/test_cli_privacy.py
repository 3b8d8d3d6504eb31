"""`linesmith plan --dp`: the guarantee and cost of a private run before it spends any budget, and what it refuses."""

from __future__ import annotations

import gzip
import re

import pytest

from linesmith.cli.commands import input_estimates, privacy_estimates
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.config.privacy_warnings import row_warnings
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.privacy.ledger import RUN_LEDGER_FILE, composed_epsilon, read_ledger, record_in_ledger
from linesmith.model.privacy.plan_from_config import plan_privacy
from linesmith.model.privacy.statement_text import format_epsilon
from tests.cli.test_cli import _keep_log_levels, line, stages  # noqa: F401  (fixtures)

LINES = 4_000


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "rides.csv"
    path.write_text("".join(f"{n},ride\n" for n in range(LINES)))
    return path


def planned(capsys, *arguments) -> str:
    assert line("plan", *arguments) == 0
    shown = capsys.readouterr().out
    return " ".join(shown[shown.index("Privacy") :].split())


@pytest.mark.integration
def test_plan_shows_the_claim_and_what_it_costs(stages, source, tmp_path, capsys):  # noqa: F811
    out = tmp_path / "out"
    text = planned(capsys, "--input", source, "--output", out, "--dp", "--dp-batch-size", "190", "--epochs", "4")
    plan = plan_privacy(TensorFlowConfig(dp=True, dp_batch_size=190, epochs=4), 3800)
    assert (
        f"epsilon {format_epsilon(plan.epsilon)} at delta 1e-06 (PLD); second opinion RDP {format_epsilon(plan.rdp_epsilon)}"
        in text
    )
    assert f"noise multiplier {plan.noise_multiplier:.4g}, found for epsilon 8" in text
    assert "about 3,800, from the lines of the input" in text
    assert "20 per epoch, 80 permitted" in text
    by_epoch = ", ".join(f"{epoch}: {plan.epsilon_at(20 * epoch):.3g}" for epoch in (1, 2, 3, 4))
    assert f"epsilon by epoch {by_epoch}" in text
    assert f"training {format_epsilon(plan.epsilon)}, vocabulary 0" in text
    assert re.search(r"about \d+ (s|min|h) on this machine: \d+ GFLOP/s of float32 matmul, measured now", text)
    assert re.search(r"memory about \d\.\d GiB, whatever the size", text)
    assert not out.exists()
    assert stages.calls == []


@pytest.mark.integration
def test_plan_counts_the_records_that_were_tokenized(stages, source, tmp_path, capsys):  # noqa: F811
    data = tmp_path / "out" / "private" / "training_data"
    counts = {name: {"records": n, "tokens": 9 * n} for name, n in (("train", 777), ("validation", 9), ("holdout", 1))}
    write_manifest(data, "tokenize", {"counts": {"splits": counts, "vocab_size": 258}})
    text = planned(capsys, "--input", source, "--output", tmp_path / "out", "--dp", "--epochs", "2")
    assert "training records 777, treated as public" in text


@pytest.mark.integration
def test_plan_shows_the_ledger(stages, source, tmp_path, capsys):  # noqa: F811
    ledger = tmp_path / "ledger.json"
    earlier = plan_privacy(TensorFlowConfig(dp=True, dp_batch_size=190, dp_noise_multiplier=1.0, epochs=2), 3800)
    record_in_ledger(ledger, "rides", "earlier", earlier)
    given = (
        "--dp",
        "--dp-batch-size",
        "190",
        "--dp-noise-multiplier",
        "2",
        "--epochs",
        "2",
        "--privacy-ledger",
        ledger,
    )
    text = planned(capsys, "--input", source, *given, "--dataset-name", "rides")
    plan = plan_privacy(TensorFlowConfig(dp=True, dp_batch_size=190, dp_noise_multiplier=2.0, epochs=2), 3800)
    entries = read_ledger(ledger, "rides")
    before, after = (composed_epsilon(entries, 1e-6, *more) for more in ((), plan.all_events()))
    assert (
        f"1 trainings or vocabularies from 'rides' spent epsilon {format_epsilon(before)} together; with this training "
        f"{format_epsilon(after)}" in text
    )
    assert len(read_ledger(ledger, "rides")) == 1  # a plan spends nothing


def test_plan_of_no_records_at_all(stages, tmp_path, capsys):  # noqa: F811
    path = tmp_path / "empty.csv"
    path.touch()
    assert line("plan", "--input", path, "--dp") == 2
    assert capsys.readouterr().err.startswith("error: LS207: too few records")


@pytest.mark.integration
def test_plan_shows_what_was_begun_in_the_run_directory(stages, source, tmp_path, capsys):  # noqa: F811
    given = ("--input", source, "--output", tmp_path / "out", "--dp", "--dp-batch-size", "190", "--epochs", "2")
    assert "begun here before" not in planned(capsys, *given)
    plan = plan_privacy(TensorFlowConfig(dp=True, dp_batch_size=190, epochs=2), 3800)
    record_in_ledger(tmp_path / "out" / "private" / RUN_LEDGER_FILE, RUN_LEDGER_FILE, "earlier", plan)
    assert "begun here before 1 trainings or vocabularies from 'spent.json' spent epsilon" in planned(capsys, *given)


def test_plan_warns(stages, source, capsys):  # noqa: F811
    text = planned(
        capsys, "--input", source, "--dp", "--dp-noise-multiplier", "0.1", "--epochs", "1", "--dp-vocabulary", "raw"
    )
    assert "no meaningful protection" in text
    assert "(RDP)" in text
    assert "learned from raw records: not covered" in text


def test_plan_of_an_unknown_number_of_records(stages, tmp_path, capsys):  # noqa: F811
    path = tmp_path / "rides.csv.gz"
    path.write_bytes(gzip.compress(b"1,a\n" * 100))
    assert "unknown before tokenize" in planned(capsys, "--input", path, "--dp")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--dp-max-epsilon", "0.01", "--dp-noise-multiplier", "1"], "LS302"),
        (["--dp-batch-size", "100000"], "LS303"),
        (["--dp-delta", "0.01"], "LS304"),
        (["--vocab-size", "300"], "LS305"),
        (["--privacy-ledger", "x.json"], "LS316"),
        (["--max-lines", "5"], "LS301"),
        (["--max-training-time-seconds", "60"], "LS301"),
        (["--dp-target-epsilon", "0.00001"], "LS302"),
        (["--dp-validation", "noised", "--dp-validation-noise", "0.1"], "LS302"),
        (["--privacy-key-field", "1"], "LS301"),
    ],
)
def test_plan_refuses_what_the_run_would(stages, source, capsys, arguments, code):  # noqa: F811
    assert line("plan", "--input", source, "--dp", *arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {code}: ")


@pytest.mark.integration
def test_plan_says_when_rows_are_shorter_than_most_records(stages, source, tmp_path, capsys):  # noqa: F811
    """Before tokenize, plan reads the lines, afterwards the private statistics; it does not reveal the lengths."""
    path = tmp_path / "long.csv"
    path.write_text(f"{'é' * 30}, b\n" * 600 + f"{'x' * 10}\n" * 400)
    given = ("--input", path, "--dp", "--dp-batch-size", "50", "--field-delimiter", ", ", "--seq-length")
    text = planned(capsys, *given, "62")  # 60 bytes, one delimiter, one letter, the end: one token too many
    assert "LS308: --seq-length 62: shorter than most records" in text
    assert not re.search(r"LS308[^.]*(60|63|0\.6)\b", text)
    assert "LS308" not in planned(capsys, *given, "63")

    data = tmp_path / "out" / "private" / "training_data"
    counts = {name: {"records": 777, "tokens": 9000} for name in ("train", "validation", "holdout")}
    write_manifest(data, "tokenize", {"counts": {"splits": counts, "vocab_size": 258}})
    (data / "statistics.json").write_text('{"length_tokens": {"histogram": [[20, 3], [41, 5]]}}')
    given = ("--input", source, "--output", tmp_path / "out", "--dp", "--dp-batch-size", "50", "--seq-length")
    assert "LS308" in planned(capsys, *given, "40")
    assert "LS308" not in planned(capsys, *given, "41")


def test_the_share_of_long_records_is_never_guessed():
    assert input_estimates.share_longer_than_seq_length({}, 40) is None
    assert (
        input_estimates.share_longer_than_seq_length({"length_tokens": {"histogram": [[20, 3], [41, 1]]}}, 40) == 0.25
    )
    assert row_warnings(TensorFlowConfig(dp=True), None) == []
    assert row_warnings(TensorFlowConfig(dp=True), 0.5) == []


def test_plan_counts_users(stages, source, capsys):  # noqa: F811
    given = ("--dp-noise-multiplier=1", "--epochs=4", "--field-delimiter", ",", "--privacy-key-field", "0")
    text = planned(capsys, "--input", source, "--dp", "--dp-batch-size", "190", *given)
    assert "unit one user: all records with the same value in field 0, of which at most 1 is trained on" in text
    assert "training users at most 3,800" in text
    assert "sample each user with probability 0.05" in text


def test_plan_shows_what_validation_costs(stages, source, capsys):  # noqa: F811
    given = ("--dp-batch-size", "150", "--epochs", "4", "--dp-noise-multiplier", "1", "--dp-validation", "noised")
    text = planned(capsys, "--input", source, "--dp", *given)
    settings = {"dp_batch_size": 150, "epochs": 4, "dp_noise_multiplier": 1.0, "dp_validation": "noised"}
    plan = plan_privacy(TensorFlowConfig(dp=True, **settings), 3000)
    side = format_epsilon(plan.epsilon_at(0, 4))
    assert f"validation {side}, of other records than training: the larger of both counts" in text
    assert "early stopping by a noised loss: 4 evaluations, each with noise of" in text


@pytest.mark.integration
def test_plan_says_when_noise_drowns_the_signal(stages, source, capsys):  # noqa: F811
    given = ("--input", source, "--dp", "--dp-batch-size", "20", "--epochs", "4")
    assert "expect to learn less" in planned(capsys, *given, "--dp-target-epsilon", "0.5")
    small = ("--rnn-units", "8", "--embedding-dim", "8", "--rnn-layers", "1", "--dp-target-epsilon", "30")
    assert "expect to learn less" not in planned(capsys, *given, *small)
    config = TensorFlowConfig(dp=True, rnn_units=8, embedding_dim=4, rnn_layers=1, dp_batch_size=100)
    plan = plan_privacy(config.replace(dp_noise_multiplier=2.0), 3000)
    weights = 10 * 4 + 4 * 8 * (4 + 8) + 8 * 10
    ratio = 2.0 * weights**0.5 / 100
    assert privacy_estimates.noise_over_signal(config, plan, 10).startswith(f"{ratio:.2g} of the largest mean gradient")


def test_a_plan_without_privacy_does_not_mention_it(stages, source, capsys):  # noqa: F811
    assert line("plan", "--input", source) == 0
    assert "second opinion" not in capsys.readouterr().out


def test_memory_and_time_grow_as_they_should():
    small, large = TensorFlowConfig(rnn_units=64), TensorFlowConfig(rnn_units=1024)
    assert privacy_estimates._matmul_weights(large, 258) > 100 * privacy_estimates._matmul_weights(small, 258)
    assert privacy_estimates._matmul_weights(TensorFlowConfig(), 258) == 2 * 4 * 256 * 512 + 256 * 258
    assert privacy_estimates.matmul_rate(64, 0.01) > 0  # how fast is the machine's affair
    assert privacy_estimates._duration(60) == "60 s"
    assert privacy_estimates._duration(600) == "10 min"
    assert privacy_estimates._duration(7200) == "2.0 h"
