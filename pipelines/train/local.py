"""Training in this process, under the run directory's lease."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from linesmith.core.artifacts.kept_inputs import keep_inputs
from linesmith.core.artifacts.lease import hold_lease
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.model_info import ROLES_FILE, TABLE_FILE
from linesmith.core.artifacts.params import save_params
from linesmith.core.artifacts.run_directory import RunDirectory, promote, run_directory, workspace
from linesmith.core.artifacts.shapes import TrainingManifest
from linesmith.core.config.privacy_checks import check_privacy_settings, check_training_data
from linesmith.core.config.setting_field import default_of, option_text
from linesmith.core.config.tensorflow_config import SETTINGS_WITHOUT_EFFECT, TensorFlowConfig, fields
from linesmith.core.errors import DataError, InterruptedRunError, ParameterError
from linesmith.core.hardware import matmul_precision
from linesmith.pipelines.other_kind import replace_other_kind
from linesmith.pipelines.stage_report import StageReport, measured_stage
from linesmith.pipelines.train import private as train_private
from linesmith.pipelines.train.field_layout import choose_layout
from linesmith.pipelines.train.hooks import training_hooks
from linesmith.pipelines.train.own_records import LearnedFromOwnRecords, learn_from_own_records
from linesmith.pipelines.train.private_records import learn_privately
from linesmith.pipelines.train.publish import publish_model, write_model
from linesmith.records.roles.stored_roles import read_roles, write_roles
from linesmith.records.table_format import TableFormat, read_table_format, write_table_format

if TYPE_CHECKING:
    from linesmith.model.privacy.trainer import PrivateTrainer
    from linesmith.model.training.loop import TrainingLoop
    from linesmith.model.training.state import TrainingState
    from linesmith.model.training.token_store import TokenStore

_log = logging.getLogger("linesmith")
# Settings that tokenize and train must agree on.
_BINDING_SETTINGS = (
    "field_delimiter",
    "field_delimiter_token",
    "column_pattern",
    "quoted",
    "condition_on",
    "differences",
    "column_role",
)
# Settings that training takes over from tokenize. Of these, `columns` only names fields, so training may be given other
# names; `vocab_size` was a target for tokenize and changes nothing now.
_RECORD_SETTINGS = ("input_format", *_BINDING_SETTINGS, "columns", "vocab_size")


def train_locked(config: TensorFlowConfig, table: TableFormat | None = None) -> StageReport:
    """Train in this process, for a caller that holds the run directory's lock.

    On a Beam worker the lock is held by the process that submitted the pipeline. The lease keeps out a second trainer on
    another machine, where that lock has no effect.

    Args:
        config: the settings, with local paths.
        table: columns of the data frame that the records are the rows of, to be kept with the model; None: they are of none.

    Returns:
        Counts and outputs of the training.

    Raises:
        DataError: as `train_model`; LS203, another process trains in the run directory; LS306, a ledger is damaged.
        InterruptedRunError: Ctrl-C was pressed; the same call resumes.
    """
    with measured_stage("train") as report, hold_lease(run_directory(config).root) as lease:
        _read_training_manifest(workspace(config))  # nothing is replaced where there is nothing to train on
        replace_other_kind(config, report)
        staged_run = workspace(config)
        staged_run.make_closed_directories()
        training_manifest = _read_training_manifest(staged_run)
        tokenize_settings = training_manifest.get("settings", {})
        check_training_data(config, tokenize_settings)
        config = _with_tokenize_settings(config, staged_run.training_data, tokenize_settings)
        _check_columns(config, training_manifest)
        identity = _identity(config, training_manifest["data_digest"])
        if config.overwrite:
            _drop_other_training(staged_run, config.dp, identity)
        save_params(keep_inputs(config, staged_run.model), staged_run.root)
        table = table or read_table_format(staged_run.training_data / TABLE_FILE)
        if table is not None:
            write_table_format(staged_run.model / TABLE_FILE, table)
        roles = read_roles(staged_run.training_data)
        (staged_run.model / ROLES_FILE).unlink(missing_ok=True)
        if roles is not None:
            write_roles(staged_run.model, roles)
        # Named after the lease, so that no other attempt uses the same directory.
        scratch = staged_run.temporary / f"train-{lease.name}"
        trainer = _build_trainer(config, staged_run, training_manifest, identity, report, scratch)
        with training_hooks(config, staged_run, trainer) as hooks:
            trainer.hooks = replace(hooks, write_guard=lease.writing)
            state = trainer.fit()
        with lease.writing():
            has_model = write_model(config, staged_run, trainer, training_manifest)
        # Not under the lease's lock, since it takes a while: the lease must be renewed meanwhile.
        ended = state.stopped is not None
        learned = _learn(config, staged_run, trainer) if ended else LearnedFromOwnRecords()
        with lease.writing():
            if has_model:
                publish_model(config, staged_run, trainer, training_manifest, report, learned)
            if state.stopped is None:
                raise _interrupted(state, old_model_stays=staged_run != run_directory(config))
            promote(run_directory(config))
    return report


def _learn(config: TensorFlowConfig, staged_run: RunDirectory, trainer: TrainingLoop) -> LearnedFromOwnRecords:
    if config.dp:
        return learn_privately(config, staged_run, cast("PrivateTrainer", trainer))
    return learn_from_own_records(config, staged_run, trainer)


def _read_training_manifest(staged_run: RunDirectory) -> dict[str, Any]:
    """Return the manifest of the training data.

    Raises:
        DataError: LS201, tokenize has not finished here.
    """
    manifest = read_manifest(staged_run.training_data, TrainingManifest)
    if manifest is None:
        raise DataError(
            "LS201",
            None,
            f"'{staged_run.training_data}' holds no complete training data",
            "Run tokenize with the same --output first.",
        )
    return manifest


def with_tokenize_settings(config: TensorFlowConfig) -> TensorFlowConfig:
    """Return the settings with which the training data in the run directory are trained on; as `_with_tokenize_settings`.

    Raises:
        DataError: LS201, there are no training data.
    """
    staged_run = workspace(config)
    manifest = _read_training_manifest(staged_run)
    return _with_tokenize_settings(config, staged_run.training_data, manifest.get("settings", {}))


def _with_tokenize_settings(
    config: TensorFlowConfig, training_data: Path, tokenize_settings: dict[str, Any]
) -> TensorFlowConfig:
    """Return the settings with those of tokenize that describe records, so that they need not be given twice.

    A setting that has its default value counts as not given.

    Raises:
        DataError: LS215, a setting that describes records was given another value than in tokenize.
        ParameterError: LS301, LS305: the settings of tokenize contradict a privacy claim.
    """
    taken_over: dict[str, Any] = {}
    for name in _RECORD_SETTINGS:
        now, default = getattr(config, name), default_of(fields()[name])
        if name not in tokenize_settings or now == tokenize_settings[name]:
            continue
        if now == default:
            taken_over[name] = tokenize_settings[name]
        elif name in _BINDING_SETTINGS:
            raise DataError(
                "LS215",
                option_text(name, now),
                f"the training data in '{training_data}' were made with {tokenize_settings[name]!r}",
                "Leave it out, or tokenize again with it.",
            )
    # Validated again, since defaults depend on other settings: the network's widths on the delimiter.
    config = config.replace(**taken_over) if taken_over else config
    check_privacy_settings(config)
    return config


def _check_columns(config: TensorFlowConfig, training_manifest: dict[str, Any]) -> None:
    """Refuse other names of the fields than there are fields; after training they could not be used.

    Raises:
        ParameterError: LS109, their number is wrong.
    """
    count = training_manifest.get("field_count")
    names = config.learned_columns
    if names is not None and count is not None and len(names) != count:
        raise ParameterError(
            "LS109",
            option_text("columns", config.columns),
            f"{len(names)} names, but the records of the training data have {count} fields",
            "Give one name per field, in order.",
        )


def _identity(config: TensorFlowConfig, data_digest: str) -> dict[str, Any]:
    """Return all that an unfinished training and this one must have in common for a resume."""
    settings = {
        name: value for name, value in config.stage_settings("train").items() if name not in SETTINGS_WITHOUT_EFFECT
    }
    # The precision that this machine uses for the setting: results depend on it.
    precision = matmul_precision(config.matmul_precision)
    return {"seed": config.seed, "matmul_precision": precision, **settings, "data": data_digest}


def _drop_other_training(staged_run: RunDirectory, private: bool, identity: dict[str, Any]) -> None:
    """Delete an unfinished training of another identity; an equal one stays, to be resumed."""
    from linesmith.core.artifacts.checkpoints import has_checkpoint, load_checkpoint
    from linesmith.core.artifacts.model_info import CHECKPOINTS_DIR

    resume = train_private.resume_directory(staged_run) if private else staged_run.model / CHECKPOINTS_DIR
    if not has_checkpoint(resume):
        return
    found = load_checkpoint(resume)
    if found is None or found[1].get("identity") != identity:
        for directory in (staged_run.model, resume):
            shutil.rmtree(directory, ignore_errors=True)


def _build_trainer(
    config: TensorFlowConfig,
    staged_run: RunDirectory,
    training_manifest: dict[str, Any],
    identity: dict[str, Any],
    report: StageReport,
    scratch: Path,
) -> TrainingLoop:
    """Build network, token stores and trainer. Token stores are files in `scratch`."""
    from linesmith.core.artifacts.model_info import CHECKPOINTS_DIR
    from linesmith.model.tokenizers import load_tokenizer
    from linesmith.model.training import replicas
    from linesmith.model.training.settings import NetworkSettings, TrainingSettings
    from linesmith.model.training.trainer import Trainer, build_model

    tokenizer = load_tokenizer(staged_run.tokenizer)
    if tokenizer.digest != training_manifest["tokenizer_digest"]:
        raise DataError(
            "LS214",
            None,
            f"the tokenizer in '{staged_run.tokenizer}' is not the one of the training data",
            "Run tokenize again.",
        )
    _set_up_devices(report)
    strategy = replicas.choose_strategy(config.devices, private=config.dp)
    vocab_size = tokenizer.total_vocab_size
    layout = choose_layout(config, staged_run.training_data, tokenizer)
    with replicas.strategy_scope(strategy):
        network = build_model(NetworkSettings.from_config(config), vocab_size, layout)

    def open_store(split: str) -> TokenStore:
        expected = training_manifest["counts"]["splits"][split]["records"]
        return _build_store(staged_run.training_data, split, scratch, vocab_size, expected)

    files_and_identity = {
        "directory": staged_run.model / CHECKPOINTS_DIR,
        "history_path": staged_run.history,
        "identity": identity,
    }
    if config.dp:
        return train_private.build_private_trainer(
            config, network, tokenizer, open_store, staged_run, report, **files_and_identity
        )
    training, validation = open_store("train"), open_store("validation")
    if config.validation_split and len(validation) == 0:
        report.notices.append("no record fell on the validation side; the training loss picks the best epoch")
    if strategy is not None:
        report.notices.append(f"{strategy.num_replicas_in_sync} devices share the rows of each batch")
    with replicas.strategy_scope(strategy):
        settings = TrainingSettings.from_config(config)
        return Trainer(settings, network, training, validation, strategy=strategy, **files_and_identity)


def _build_store(training_data: Path, split: str, scratch: Path, vocab_size: int, expected: int) -> TokenStore:
    from linesmith.model.training.token_store import build_token_store

    return build_token_store(
        sorted(training_data.glob(f"{split}-*.tfrecord.gz")),
        scratch / f"{split}.tokens",
        vocab_size=vocab_size,
        expected_records=expected,
    )


def _set_up_devices(report: StageReport) -> None:
    """Let TensorFlow take GPU memory as it needs it, and tell the user where there is no GPU."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        report.notices.append("no GPU was found: training runs on the CPU")


def _interrupted(state: TrainingState, old_model_stays: bool) -> InterruptedRunError:
    resume_hint = "Run the same command again to go on from here."
    if not state.history:
        return InterruptedRunError(
            "LS501",
            None,
            "interrupted before the first epoch ended: there is no model to generate with yet",
            resume_hint,
        )
    if old_model_stays:
        return InterruptedRunError(
            "LS501", None, f"interrupted after epoch {state.history[-1].epoch}; the old model stays in use", resume_hint
        )
    return InterruptedRunError(
        "LS501",
        None,
        f"interrupted after epoch {state.history[-1].epoch}; the model so far can generate already",
        resume_hint,
    )
