"""Nothing that private training releases depends on elapsed time, which depends on the records."""

from __future__ import annotations

import pytest

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.model.training.loop import TrainingLoop
from linesmith.model.training.settings import TrainingSettings
from tests.helpers.planted_bugs import RateByTheClock
from tests.helpers.release_checks import clock_moves_release

pytestmark = pytest.mark.integration


class StoppedByTheClock(PrivateTrainer):
    """Trainer with a time limit."""

    def stop_reason_before_step(self):
        return "time" if self.elapsed_seconds() > 3600 else super().stop_reason_before_step()


class SavedByTheClock(PrivateTrainer):
    """Trainer that saves its state after a time: how many steps are lost when it is killed depends on that."""

    is_checkpoint_due = TrainingLoop.is_checkpoint_due


def test_the_same_is_released_however_long_steps_take(tmp_path):
    assert not clock_moves_release(PrivateTrainer, tmp_path)


@pytest.mark.parametrize("bug", [RateByTheClock, StoppedByTheClock, SavedByTheClock])
def test_a_clock_is_found(tmp_path, bug):
    assert clock_moves_release(bug, tmp_path)


def test_a_trainer_with_a_time_limit_is_refused():
    settings = TrainingSettings.from_config(TensorFlowConfig(dp=True, max_training_time_seconds=60))
    with pytest.raises(ValueError, match="depend on elapsed time"):
        PrivateTrainer(settings, None, [], None)
