"""The parts of the train stage that only differentially private training has: the ledger, the plan and the statement.

Files in `RUN/model` depend on public constants and charged releases only. The state of an unfinished training, which names a
digest of the data, is in `RUN/private`, and is deleted when training is complete. The ledger of the run directory stays there
under `overwrite`, too: what earlier trainings spent remains spent.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.checkpoints import has_checkpoint
from linesmith.core.artifacts.files import read_json, remove_path, write_json
from linesmith.core.artifacts.kept_inputs import INPUTS_DIR
from linesmith.core.artifacts.model_info import ROLES_FILE, TABLE_FILE
from linesmith.core.artifacts.privacy_statement import weights_digests
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.artifacts.shapes import Identity
from linesmith.core.config.privacy_checks import user_field_index
from linesmith.core.config.privacy_warnings import privacy_warnings, row_warnings
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.privacy.plan import PrivacyPlan
from linesmith.model.privacy.plan_from_config import plan_privacy
from linesmith.model.privacy.statement import write_statement
from linesmith.model.privacy.statement_text import format_epsilon
from linesmith.pipelines.privacy_ledgers import charge_training, count_earlier_releases
from linesmith.pipelines.stage_report import StageReport

if TYPE_CHECKING:
    from linesmith.model.privacy.trainer import PrivateTrainer
    from linesmith.model.privacy.users import UserIndex
    from linesmith.model.tokenizers.base import Tokenizer
    from linesmith.model.training.language_model import LanguageModel
    from linesmith.model.training.token_store import TokenStore

_log = logging.getLogger("linesmith")
_TRAINING_ID_FILE = "run.json"
# Share of each token's probability that records of private models are drawn from: what the noise adds is spread thin over the
# others. Chosen on public tables (docs/quality.md).
_TOP_P = 0.98


def resume_directory(staged_run: RunDirectory) -> Path:
    """Return the directory for the state of an unfinished private training, which must not be released.

    Args:
        staged_run: where the model is written.
    """
    return staged_run.raw / "training"


def delete_resume_state(staged_run: RunDirectory) -> None:
    """Delete the state that only an unfinished training needs; to be called once the model is complete.

    Args:
        staged_run: where the model is written.
    """
    shutil.rmtree(resume_directory(staged_run), ignore_errors=True)


def build_private_trainer(
    config: TensorFlowConfig,
    network: LanguageModel,
    tokenizer: Tokenizer,
    open_store: Callable[[str], TokenStore],
    staged_run: RunDirectory,
    report: StageReport,
    **trainer_options: Any,
) -> PrivateTrainer:
    """Build a trainer whose plan is fixed, entered in the ledgers and stated beside the model before its first step.

    Args:
        config: the settings, with `dp`.
        network: the model to train; its output bias is set from public knowledge of the tokenizer.
        tokenizer: of the training data.
        open_store: opens the records of a split, by its name.
        staged_run: where the model is written.
        report: notices are appended.
        trainer_options: further arguments of `PrivateTrainer`.

    Raises:
        ParameterError: no plan can keep its claim with these settings and this number of records.
        DataError: a ledger cannot be read or written, or the training data carry no users.
    """
    from linesmith.model.privacy.initial_bias import initial_bias
    from linesmith.model.privacy.trainer import PrivateTrainer
    from linesmith.model.privacy.validation import load_public_token_store
    from linesmith.model.training.settings import TrainingSettings

    if not has_checkpoint(resume_directory(staged_run)):
        # Weights whose training cannot be resumed: what was charged for them is not known. What the user gave was just put there.
        for path in staged_run.model.glob("*"):
            if path.name not in (INPUTS_DIR, ROLES_FILE, TABLE_FILE):
                remove_path(path)
    bias = initial_bias(tokenizer)
    if bias is not None:
        network.logits.bias.assign(bias)
    public_validation = (
        None if config.dp_public_validation is None else load_public_token_store(config.dp_public_validation, tokenizer)
    )
    training = open_store("train")
    users = _user_index(config, staged_run.training_data, "train", training)
    plan = plan_privacy(config, len(training) if users is None else len(users))
    validation = None
    if plan.validation is not None:
        store = open_store("validation")
        validation = (store, _user_index(config, staged_run.training_data, "validation", store))
    for warning in row_warnings(config, training.count_longer_than(config.seq_length) / max(1, len(training))):
        _log.warning(warning)  # before anything is charged, and only to whoever runs it: it depends on the records
    report.notices += [*privacy_warnings(config), *_private_training_notices(config)]
    _enter_in_ledgers(config, plan, staged_run, report)
    trainer = PrivateTrainer(
        TrainingSettings.from_config(config),
        network,
        training,
        plan,
        users=users,
        validation=validation,
        public=public_validation,
        unsafe_fixed_key=config.dp_unsafe_fixed_key,
        resume_directory=resume_directory(staged_run),
        **trainer_options,
    )
    _write_training_counts(staged_run, trainer)
    steps, evaluations = trainer.budget.on_disk()
    _write_statement(config, plan, staged_run, steps, evaluations, stopped=None)
    return trainer


def write_privacy_statement(
    config: TensorFlowConfig, trainer: PrivateTrainer, staged_run: RunDirectory, discriminator: str | None = None
) -> None:
    """Write the statement beside the weights, also where none is usable yet, and the counts that must not be released.

    Args:
        config: the settings.
        trainer: after `fit`.
        staged_run: where the model is written.
        discriminator: digest of the file of the discriminator; None: there is none yet.
    """
    state = trainer.state
    _write_training_counts(staged_run, trainer)
    _write_statement(
        config,
        trainer.plan,
        staged_run,
        state.charged_steps,
        state.charged_evaluations,
        stopped=state.stopped,
        discriminator=discriminator,
    )


def report_privacy(trainer: PrivateTrainer, report: StageReport) -> None:
    """Add epsilon, delta and the best epoch's validation loss to a report, and count users where they are the unit.

    Args:
        trainer: after `fit`.
        report: its counts are changed.
    """
    state, plan = trainer.state, trainer.plan
    if plan.unit == "user":  # the number of their records is not public
        report.counts = {("users" if name == "records" else name): n for name, n in report.counts.items()}
        report.counts["users"] = plan.units
    best = None if state.best_epoch is None else state.history[state.best_epoch]
    if best is not None and best.val_loss is not None:
        report.counts[f"validation loss ({best.val_source})"] = best.val_loss
    report.counts["epsilon"] = plan.epsilon
    report.counts["delta"] = plan.delta
    report.counts["epsilon spent so far"] = plan.epsilon_at(state.charged_steps, state.charged_evaluations)


def public_record_shape(seq_length: int, columns: list[str] | None, field_delimiter: str | None) -> dict[str, Any]:
    """Return a model's description of its records from the settings alone, without statistics of the data.

    Args:
        seq_length: tokens of a record that are trained on; no longer record is sampled.
        columns: names of the fields, where they are given.
        field_delimiter: text between fields; without one, records have no fields.
    """
    return {
        "length_cap_tokens": seq_length,
        "field_count": len(columns) if columns is not None and field_delimiter else None,
        "columns": columns,
        "top_p": _TOP_P,
    }


def _user_index(config: TensorFlowConfig, training_data: Path, split: str, store: TokenStore) -> UserIndex | None:
    """Return which records of a split are whose, where the unit of privacy is a user."""
    if user_field_index(config) is None:
        return None
    from linesmith.model.privacy.users import build_user_index

    files = sorted(training_data.glob(f"{split}-*.tfrecord.gz"))
    return build_user_index(files, per_user=config.dp_records_per_user, expected=len(store))


def _write_training_counts(staged_run: RunDirectory, trainer: PrivateTrainer) -> None:
    """Write counts that depend on single records or users, which must not be released."""
    store, users = trainer.train, trainer.users
    counts = {
        "records": len(store),
        "cut_at_seq_length": store.count_longer_than(trainer.plan.seq_length),
        "gradients_left_out": trainer.state.left_out,
    }
    if users is not None:
        counts |= {
            "users": len(users),
            "taking_part": len(users.ranks),
            "beyond_records_per_user": users.dropped_records,
        }
    write_json(staged_run.private_counts, counts)


def _private_training_notices(config: TensorFlowConfig) -> list[str]:
    notices = []
    if config.early_stopping and config.dp_validation == "budget":
        notices.append(
            "early_stopping is off with dp: it would look at losses that the claim does not cover. Training ends with its "
            "planned steps, and the last weights are used; --dp-validation names what it may look at"
        )
    if config.tensorboard and "tensorboard" in config.model_fields_set:
        notices.append(
            "tensorboard is off with dp: event files name times and the machine; model_history.csv has the same figures"
        )
    if config.epoch_callback is not None:
        notices.append(
            "epoch_callback is set: one that stops training by a raw loss, or by raw records, voids the privacy claim; the "
            "statement says so"
        )
    return notices


def _write_statement(
    config: TensorFlowConfig,
    plan: PrivacyPlan,
    staged_run: RunDirectory,
    steps: int,
    evaluations: int,
    stopped: str | None,
    discriminator: str | None = None,
) -> None:
    from linesmith.model.privacy.noise import GENERATOR_DESCRIPTION

    write_statement(
        staged_run.model,
        plan,
        steps,
        charged_evaluations=evaluations,
        unsafe_key=config.dp_unsafe_fixed_key is not None,
        stopped=stopped,
        generator=GENERATOR_DESCRIPTION,
        callback=config.epoch_callback is not None,
        earlier_trainings=count_earlier_releases(config, plan, staged_run.training_data),
        weights=weights_digests(staged_run.model),
        discriminator=discriminator,
    )


def _enter_in_ledgers(
    config: TensorFlowConfig, plan: PrivacyPlan, staged_run: RunDirectory, report: StageReport
) -> None:
    """Enter this training in the run directory's ledger and in the user's; a resumed training is not entered again."""
    file = resume_directory(staged_run) / _TRAINING_ID_FILE
    if not file.is_file():
        write_json(file, {"run": uuid.uuid4().hex})
    training_id = read_json(file, "the identity of an unfinished private training", Identity)["run"]
    charge_training(config, plan, training_id, staged_run.training_data)
    earlier, all_together = count_earlier_releases(config, plan, staged_run.training_data)
    if earlier:
        report.notices.append(
            f"PRIVACY: {earlier} trainings were begun or vocabularies drawn in this run directory before, and a training "
            f"counts with all its planned steps. If they were on the same records, epsilon {format_epsilon(all_together)} "
            f"bounds all of them together, not {format_epsilon(plan.epsilon)}; the statement says so"
        )
