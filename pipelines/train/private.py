"""What the train stage does otherwise with differential privacy: a plan before training, a statement after it.

Everything that it writes to `RUN/model` is made of public constants and charged releases. The state of an unfinished
training, which names a digest of the data, lies in `RUN/private` and is deleted when training is complete. What trainings in
this run directory have spent stays there, whatever is overwritten.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.artifacts.run_directory import RunDirectory, run_directory
from linesmith.core.config.privacy_checks import privacy_warnings, user_field_index
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.privacy.ledger import RUN_LEDGER_FILE, composed_epsilon, read_ledger, record_in_ledger
from linesmith.model.privacy.plan import PrivacyPlan, plan_privacy
from linesmith.model.privacy.statement import write_statement
from linesmith.model.privacy.statement_text import format_epsilon
from linesmith.pipelines.stage_report import StageReport

if TYPE_CHECKING:
    from linesmith.model.privacy.trainer import PrivateTrainer
    from linesmith.model.privacy.users import UserIndex
    from linesmith.model.tokenizers.base import Tokenizer
    from linesmith.model.training.language_model import LanguageModel
    from linesmith.model.training.token_store import TokenStore

_RUN_FILE = "run.json"
COUNTS_FILE = "training_counts.json"  # facts about single records and users: for our eyes only


def resume_directory(space: RunDirectory) -> Path:
    """Where the state of an unfinished private training lies; not releasable."""
    return space.raw / "training"


def build_private_trainer(
    config: TensorFlowConfig,
    network: LanguageModel,
    tokenizer: Tokenizer,
    store: Callable[[str], TokenStore],
    space: RunDirectory,
    report: StageReport,
    **places: Any,
) -> PrivateTrainer:
    """A trainer under a plan that is made, entered in the ledger and stated before its first step.

    Args:
        config: with `dp`.
        network: to be trained.
        tokenizer: of the training data.
        store: the records of a side of the split, by its name.
        space: where the run is written.
        report: gets notices.
        places: as `PrivateTrainer` takes them.

    Raises:
        ParameterError: no plan can keep its claim with these settings and so many records.
        DataError: a ledger cannot be read or written, or the training data carry no users.
    """
    from linesmith.model.privacy.initial_bias import initial_bias
    from linesmith.model.privacy.trainer import PrivateTrainer
    from linesmith.model.privacy.validation import load_public_token_store

    bias = initial_bias(tokenizer)
    if bias is not None:
        network.logits.bias.assign(bias)
    public = (
        None if config.dp_public_validation is None else load_public_token_store(config.dp_public_validation, tokenizer)
    )
    train = store("train")
    users = _users(config, space, "train", train)
    plan = plan_privacy(config, len(train) if users is None else len(users))
    validation = None
    if plan.validation is not None:
        measured = store("validation")
        validation = (measured, _users(config, space, "validation", measured))
    report.notices += [*privacy_warnings(config), *_early_stopping(config)]
    _enter(config, plan, space, report)
    write_json(
        space.private_counts,
        {"records": len(train), "records_cut_at_seq_length": train.count_longer_than(config.seq_length)},
    )
    trainer = PrivateTrainer(
        config,
        network,
        train,
        plan,
        users=users,
        validation=validation,
        public=public,
        resume_directory=resume_directory(space),
        **places,
    )
    _state(config, plan, space, trainer.charges.on_disk(), None)
    return trainer


def write_privacy_statement(config: TensorFlowConfig, trainer: PrivateTrainer, space: RunDirectory) -> None:
    """Write the statement beside the model, whether or not there is one to use yet, and what it must not say elsewhere."""
    state = trainer.state
    _count(config, space, trainer)
    _state(config, trainer.plan, space, (state.charged_steps, state.charged_evaluations), state.stopped)


def report_privacy(trainer: PrivateTrainer, report: StageReport) -> None:
    """The statement's figures for the report, and the best epoch's loss where one was measured."""
    state, plan = trainer.state, trainer.plan
    if plan.unit == "user":  # how many records they have is not public
        report.counts = {("users" if name == "records" else name): n for name, n in report.counts.items()}
        report.counts["users"] = plan.units
    best = None if state.best_epoch is None else state.history[state.best_epoch]
    if best is not None and best.val_loss is not None:
        report.counts[f"validation loss ({best.val_source})"] = best.val_loss
    report.counts["epsilon"] = plan.epsilon
    report.counts["delta"] = plan.delta
    report.counts["epsilon spent so far"] = plan.epsilon_at(state.charged_steps, state.charged_evaluations)


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


def _users(config: TensorFlowConfig, space: RunDirectory, side: str, store: TokenStore) -> UserIndex | None:
    """Whose the records of a side are, at user level."""
    if user_field_index(config) is None:
        return None
    from linesmith.model.privacy.users import build_user_index

    files = sorted(space.training_data.glob(f"{side}-*.tfrecord.gz"))
    return build_user_index(files, per_user=config.dp_records_per_user, expected=len(store))


def _count(config: TensorFlowConfig, space: RunDirectory, trainer: PrivateTrainer) -> None:
    """Write down what is not to be released: cut records, users, records of users that have too many."""
    lengths, users = trainer.train.lengths, trainer.users
    counts = {
        "records": len(trainer.train),
        "cut_at_seq_length": int((lengths - 1 > config.seq_length).sum()),
        "gradients_left_out": trainer.state.left_out,
    }
    if users is not None:
        counts |= {"users": len(users), "taking_part": len(users.ranks), "beyond_records_per_user": users.dropped}
    write_json(space.raw / COUNTS_FILE, counts)


def _early_stopping(config: TensorFlowConfig) -> list[str]:
    told = []
    if config.early_stopping and config.dp_validation == "budget":
        told.append(
            "early_stopping is off with dp: it would look at losses that the claim does not cover. Training ends with its "
            "planned steps, and the last weights are used; --dp-validation names what it may look at"
        )
    if config.epoch_callback is not None:
        told.append(
            "epoch_callback is set: one that stops training by a raw loss, or by raw records, voids the privacy claim; the "
            "statement says so"
        )
    return told


def _spent(config: TensorFlowConfig) -> Path:
    return run_directory(config).raw / RUN_LEDGER_FILE


def _state(
    config: TensorFlowConfig, plan: PrivacyPlan, space: RunDirectory, charged: tuple[int, int], stopped: str | None
) -> None:
    from linesmith.model.privacy.noise import GENERATOR

    entries = read_ledger(_spent(config), RUN_LEDGER_FILE)
    earlier = len(entries) - 1  # one of them is this training
    write_statement(
        space.model,
        plan,
        charged[0],
        evaluations_done=charged[1],
        unsafe_key=config.dp_unsafe_fixed_key is not None,
        stopped=stopped,
        generator=GENERATOR,
        callback=config.epoch_callback is not None,
        earlier=(earlier, composed_epsilon(entries, plan.delta) if earlier else plan.epsilon),
    )


def _enter(config: TensorFlowConfig, plan: PrivacyPlan, space: RunDirectory, report: StageReport) -> None:
    """Enter this training in the ledgers, once however often it is resumed: the run directory's own, and the user's."""
    file = resume_directory(space) / _RUN_FILE
    if not file.is_file():
        write_json(file, {"run": uuid.uuid4().hex})
    run = read_json(file, "the identity of an unfinished private training")["run"]
    unsafe = config.dp_unsafe_fixed_key is not None
    entries = record_in_ledger(_spent(config), RUN_LEDGER_FILE, run, plan, unsafe_key=unsafe)
    earlier = len(entries) - 1
    if earlier:
        report.notices.append(
            f"PRIVACY: {earlier} trainings were begun in this run directory before, each of which counts with all its planned "
            f"steps. If they were on the same records, epsilon {format_epsilon(composed_epsilon(entries, plan.delta))} bounds "
            f"all of them together, not {format_epsilon(plan.epsilon)}; the statement says so"
        )
    if config.privacy_ledger is not None and config.dataset_name is not None:
        record_in_ledger(config.privacy_ledger, config.dataset_name, run, plan, unsafe_key=unsafe)
