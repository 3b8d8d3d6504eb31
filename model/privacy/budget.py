"""What a private training is charged: written down before it is done, so that no crash makes it forgotten.

A step is written down as charged before its sample is drawn, a noised evaluation before it is made. A resumed training has a
fresh key: what followed its last checkpoint is drawn anew and charged again, so the figure never falls and no release is ever
made twice with different noise. Only with the unsafe fixed key are they the same releases over again, and charged once.
"""

from __future__ import annotations

from pathlib import Path

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.errors import DataError
from linesmith.model.privacy.plan import PrivacyPlan
from linesmith.model.training.state import TrainingState

CHARGED_STEPS_FILE = "charged-steps.json"


class PrivacyBudget:
    """The counts of charged steps and noised evaluations: in the state of a training, and on disk, where they never lag.

    Args:
        directory: where the state of an unfinished training lies.
        plan: what may be charged at the most.
        repeatable: all draws come from a fixed key, so that what is drawn anew is the same release.
    """

    def __init__(self, directory: Path, plan: PrivacyPlan, *, repeatable: bool) -> None:
        self._path, self._plan, self._repeatable = directory / CHARGED_STEPS_FILE, plan, repeatable

    def spent(self, state: TrainingState) -> bool:
        """Whether the plan permits no further step."""
        return self._next_step(state) > self._plan.planned_steps

    def fraction_done(self, state: TrainingState) -> float:
        """How much of the planned steps is done, 0 to 1."""
        done = state.total_steps if self._repeatable else state.charged_steps
        return done / max(1, self._plan.planned_steps)

    def charge_step(self, state: TrainingState) -> None:
        """Write the next step down as charged, on disk, before anything of it is drawn.

        Raises:
            DataError: the plan does not permit it.
        """
        charged = self._next_step(state)
        if charged > self._plan.planned_steps:
            raise DataError(
                f"LS302: step {charged} would pass the planned {self._plan.planned_steps}; nothing was drawn."
            )
        self._write(state, charged, state.charged_evaluations)

    def charge_evaluation(self, state: TrainingState) -> bool:
        """Write the next noised evaluation down as charged; False where the plan permits no more."""
        again = state.charged_evaluations
        charged = max(again, state.epoch + 1) if self._repeatable else again + 1
        if charged > self._plan.planned_evaluations:
            return False
        self._write(state, state.charged_steps, charged)
        return True

    def on_disk(self) -> tuple[int, int]:
        """Steps and noised evaluations that earlier starts of this training were charged."""
        if not self._path.is_file():
            return 0, 0
        stored = read_json(self._path, "the count of charged steps of an unfinished private training")
        return int(stored["charged_steps"]), int(stored.get("charged_evaluations", 0))

    def begin(self, state: TrainingState) -> None:
        """Take up what a start was charged that ended before its first checkpoint."""
        self._write(state, *self.on_disk())

    def resume(self, state: TrainingState) -> None:
        """Charge what an earlier start did after its last checkpoint, from which `state` is.

        Raises:
            DataError: what was charged cannot be known.
        """
        if not self._path.is_file():
            raise DataError(
                f"LS206: '{self._path}', the count of charged steps of an unfinished private training, is missing: "
                "what was spent cannot be known. Restore it, or begin anew with --overwrite."
            )
        steps, evaluations = self.on_disk()
        state.charged_steps = max(state.charged_steps, steps)
        state.charged_evaluations = max(state.charged_evaluations, evaluations)

    def _next_step(self, state: TrainingState) -> int:
        """Charged steps once the next one is run."""
        return max(state.charged_steps, state.total_steps + 1) if self._repeatable else state.charged_steps + 1

    def _write(self, state: TrainingState, steps: int, evaluations: int) -> None:
        write_json(self._path, {"charged_steps": steps, "charged_evaluations": evaluations})
        state.charged_steps, state.charged_evaluations = steps, evaluations
