"""Progress of training: epoch, loss and time left on a terminal, and records of the model where they are asked for."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from linesmith.core.artifacts.history import EpochState
from linesmith.core.config.privacy_checks import check_privacy_settings
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.pipelines.train.progress import TrainingProgressDisplay
from linesmith.pipelines.train.worker import train_on_worker

pytestmark = pytest.mark.integration


class Step:
    """A `TrainingProgress`."""

    def __init__(self, epoch: int, step: int, elapsed: float) -> None:
        self.epoch, self.step, self.elapsed = epoch, step, elapsed
        self.steps, self.loss, self.accuracy = 10, 2.0, None


def shown(terminal: bool, **arguments) -> tuple[TrainingProgressDisplay, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=200)
    return TrainingProgressDisplay(None, arguments.pop("limit", None), None, console=console, **arguments), out


def test_the_bar_shows_epoch_loss_and_the_time_until_training_ends(caplog):
    with caplog.at_level(logging.INFO, "linesmith"):
        display, out = shown(True, epochs=4)
    with display:
        display.on_step(Step(0, 1, 30.0))  # compiling took most of it
        display.on_step(Step(0, 6, 40.0))  # 2 seconds a step, 34 are left
        display._bar.refresh()
    text = out.getvalue()
    assert "epoch 0 of 4" in text and "loss 2.000" in text and "1 min 8 s left at most" in text


def test_with_a_time_limit_the_bar_shows_that(caplog):
    with caplog.at_level(logging.INFO, "linesmith"):
        display, out = shown(True, epochs=4, limit=100)
    with display:
        display.on_step(Step(0, 6, 40.0))
        display._bar.refresh()
    assert "limit in 60 s" in out.getvalue() and "at most" not in out.getvalue()


def test_records_are_printed_and_never_logged(caplog):
    with caplog.at_level(logging.INFO, "linesmith"):
        display, out = shown(False, samples=lambda epoch: [f"rome|{epoch}", "a\x1b[2J[b]", None])
        with display:
            display.on_epoch(EpochState(epoch=3, loss=1.0), False)
    assert out.getvalue().splitlines() == ["  rome|3", "  a\ufffd[2J[b]", "  (no text yet)"]
    assert "rome" not in caplog.text


def test_a_silent_call_shows_no_records(caplog):
    with caplog.at_level(logging.WARNING, "linesmith"):
        display, out = shown(False, samples=lambda epoch: ["rome"])
        with display:
            display.on_epoch(EpochState(epoch=0, loss=1.0), False)
    assert out.getvalue() == ""


def test_records_of_a_private_training_are_not_shown():
    with pytest.raises(ParameterError, match=r"LS301: --show-samples 3: cannot be used with --dp"):
        check_privacy_settings(TensorFlowConfig(dp=True, show_samples=3))


def test_records_are_not_shown_by_workers():
    with pytest.raises(ParameterError, match=r"LS101: --show-samples 3"):
        train_on_worker(TensorFlowConfig(show_samples=3, checkpoint_dir="x"), None)


def test_showing_records_is_no_other_run():
    with_them, without = TensorFlowConfig(show_samples=3), TensorFlowConfig()
    assert with_them.stage_settings("tokenize", "train") == without.stage_settings("tokenize", "train")
