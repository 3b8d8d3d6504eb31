"""What the train stage does otherwise with differential privacy: a plan before training, a statement after it.

Everything that it writes to `RUN/model` is made of public constants and charged releases. The state of an unfinished
training, which names a digest of the data, lies in `RUN/private` and is deleted when training is complete.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import TensorFlowConfig
from model.files import read_json, write_json
from model.privacy_checks import warnings_of
from model.privacy_ledger import record_in_ledger
from model.privacy_plan import PrivacyPlan, plan_privacy, write_privacy
from model.run_dir import RunDirectory
from pipelines.report import StageReport

if TYPE_CHECKING:
    from model.language_model import LanguageModel
    from model.private_training import PrivateTrainer
    from model.token_store import TokenStore

_RUN_FILE = "run.json"


def resume_directory(space: RunDirectory) -> Path:
    """Where the state of an unfinished private training lies; not releasable."""
    return space.raw / "training"


def private_trainer(
    config: TensorFlowConfig,
    network: LanguageModel,
    train: TokenStore,
    space: RunDirectory,
    report: StageReport,
    **places: Any,
) -> PrivateTrainer:
    """A trainer under a plan that is made, entered in the ledger and stated before its first step.

    Raises:
        ParameterError: no plan can keep its claim with these settings and so many records.
        DataError: the ledger cannot be read or written.
    """
    from model.private_training import PrivateTrainer

    plan = plan_privacy(config, len(train))
    report.notices += warnings_of(config)
    if config.early_stopping:
        report.notices.append(
            "early_stopping is off with dp: it would look at losses that the claim does not cover. Training ends with its "
            "planned steps, and the last weights are used"
        )
    _enter(config, plan, resume_directory(space))
    write_json(
        space.private_counts,
        {"records": len(train), "records_cut_at_seq_length": train.longer_than(config.seq_length)},
    )
    trainer = PrivateTrainer(config, network, train, plan, resume_directory=resume_directory(space), **places)
    _state(config, plan, space, trainer.charged_on_disk(), None)
    return trainer


def state_claim(config: TensorFlowConfig, trainer: PrivateTrainer, space: RunDirectory) -> None:
    """Write the statement beside the model, whether or not there is one to use yet."""
    _state(config, trainer.plan, space, trainer.state.charged_steps, trainer.state.stopped)


def report_claim(trainer: PrivateTrainer, report: StageReport) -> None:
    """The statement's figures for the report."""
    state, plan = trainer.state, trainer.plan
    report.counts["epsilon"] = plan.epsilon
    report.counts["delta"] = plan.delta
    report.counts["epsilon spent so far"] = plan.epsilon_at(state.charged_steps)


def forget(space: RunDirectory) -> None:
    """Delete what only an unfinished training needs; to be called once the model is complete."""
    shutil.rmtree(resume_directory(space), ignore_errors=True)


def record_shape(config: TensorFlowConfig) -> dict[str, Any]:
    """A model's description of its records, from the configuration alone: what the data say is not covered."""
    return {
        "length_cap_tokens": config.seq_length,
        "field_count": len(config.columns) if config.columns is not None and config.field_delimiter else None,
        "columns": config.columns,
    }


def _state(config: TensorFlowConfig, plan: PrivacyPlan, space: RunDirectory, steps: int, stopped: str | None) -> None:
    from model.dp_noise import GENERATOR

    unsafe = config.dp_unsafe_fixed_key is not None
    write_privacy(space.model, plan, steps, unsafe_key=unsafe, stopped=stopped, generator=GENERATOR)


def _enter(config: TensorFlowConfig, plan: PrivacyPlan, directory: Path) -> None:
    """Enter this training in the ledger, once however often it is resumed."""
    if config.privacy_ledger is None or config.dataset_name is None:
        return
    file = directory / _RUN_FILE
    if not file.is_file():
        write_json(file, {"run": uuid.uuid4().hex})
    run = read_json(file, "the identity of an unfinished private training")["run"]
    unsafe = config.dp_unsafe_fixed_key is not None
    record_in_ledger(config.privacy_ledger, config.dataset_name, run, plan, unsafe_key=unsafe)
