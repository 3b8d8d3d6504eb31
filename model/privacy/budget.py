"""Charge a private training before it draws anything, so that no crash makes a release forgotten.

A step is written to disk as charged before its sample is drawn, a noised evaluation before it is made. A resumed training
has a fresh key: what followed its last checkpoint is drawn anew and charged again, so that epsilon never falls and no release
is ever repeated with different noise. Only with the unsafe fixed key does the resumed training repeat the same releases, which
are then charged once.
"""

from __future__ import annotations

from pathlib import Path

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.errors import DataError
from linesmith.model.privacy.plan import PrivacyPlan
from linesmith.model.training.state import TrainingState

CHARGED_STEPS_FILE = "charged-steps.json"


class PrivacyBudget:
    """Counter of charged steps and noised evaluations, in the training state and, never behind it, on disk.

    Args:
        directory: directory of the state of an unfinished training.
        plan: limits of steps and evaluations.
        repeatable: all draws come from a fixed key, so that a repeated step is the same release and is not charged again.
    """

    def __init__(self, directory: Path, plan: PrivacyPlan, *, repeatable: bool) -> None:
        self._path, self._plan, self._repeatable = directory / CHARGED_STEPS_FILE, plan, repeatable

    def spent(self, state: TrainingState) -> bool:
        """Return whether the plan permits no further step."""
        return self._next_step(state) > self._plan.planned_steps

    def fraction_done(self, state: TrainingState) -> float:
        """Return the fraction of the planned steps that is done, 0 to 1."""
        done = state.total_steps if self._repeatable else state.charged_steps
        return done / max(1, self._plan.planned_steps)

    def charge_step(self, state: TrainingState) -> None:
        """Write the next step to disk as charged; to be called before anything of the step is drawn.

        Args:
            state: the training state; its count of charged steps is raised.

        Raises:
            DataError: the plan does not permit another step.
        """
        charged = self._next_step(state)
        if charged > self._plan.planned_steps:
            raise DataError(
                "LS314",
                None,
                f"step {charged} would pass the planned {self._plan.planned_steps}",
                "Nothing was drawn. Begin anew with --overwrite.",
            )
        self._write(state, charged, state.charged_evaluations)

    def charge_evaluation(self, state: TrainingState) -> bool:
        """Write the next noised evaluation to disk as charged; to be called before it is made.

        Args:
            state: the training state; its count of charged evaluations is raised.

        Returns:
            False where the plan permits no further evaluation; nothing is charged then.
        """
        before = state.charged_evaluations
        charged = max(before, state.epoch + 1) if self._repeatable else before + 1
        if charged > self._plan.planned_evaluations:
            return False
        self._write(state, state.charged_steps, charged)
        return True

    def on_disk(self) -> tuple[int, int]:
        """Return the steps and noised evaluations that all starts of this training were charged so far."""
        if not self._path.is_file():
            return 0, 0
        stored = read_json(self._path, "the count of charged steps of an unfinished private training")
        return int(stored["charged_steps"]), int(stored.get("charged_evaluations", 0))

    def begin(self, state: TrainingState) -> None:
        """Take over the charges of earlier starts that ended before their first checkpoint."""
        self._write(state, *self.on_disk())

    def resume(self, state: TrainingState) -> None:
        """Charge what an earlier start released after its last checkpoint.

        Args:
            state: the training state as the checkpoint holds it; its charges are raised to those on disk.

        Raises:
            DataError: the file of charged steps is missing, so that what was spent cannot be known.
        """
        if not self._path.is_file():
            raise DataError(
                "LS311",
                None,
                f"'{self._path}', the count of charged steps of an unfinished private training, is missing: what was "
                "spent cannot be known",
                "Restore it, or begin anew with --overwrite.",
            )
        steps, evaluations = self.on_disk()
        state.charged_steps = max(state.charged_steps, steps)
        state.charged_evaluations = max(state.charged_evaluations, evaluations)

    def _next_step(self, state: TrainingState) -> int:
        """Return the number of charged steps once the next one has run."""
        return max(state.charged_steps, state.total_steps + 1) if self._repeatable else state.charged_steps + 1

    def _write(self, state: TrainingState, steps: int, evaluations: int) -> None:
        write_json(self._path, {"charged_steps": steps, "charged_evaluations": evaluations})
        state.charged_steps, state.charged_evaluations = steps, evaluations
