"""Charge a private run's releases to its ledgers, always before anything is drawn: a crash can only overstate what was spent.

There are two ledgers: that of the run directory, in `RUN/private`, and the user's (`privacy_ledger`), if one is given. A training
keeps its identity in the state that it is resumed from, a noised vocabulary in the training data that are encoded with it. So a
training knows which entry of a ledger its vocabulary is, and does not charge it again.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.artifacts.run_directory import run_directory
from linesmith.core.artifacts.shapes import Identity
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.privacy.ledger import (
    RUN_LEDGER_FILE,
    composed_epsilon,
    read_ledger,
    record_in_ledger,
    record_vocabulary,
)
from linesmith.model.privacy.plan import PrivacyPlan

_VOCABULARY_ID_FILE = "vocabulary_release.json"


def charge_vocabulary(config: TensorFlowConfig, training_data: Path) -> None:
    """Enter one draw of a noised vocabulary in the ledgers; to be called before each draw.

    Args:
        config: settings of a private run.
        training_data: directory of the training data that will be encoded with it; its identity is written there.

    Raises:
        DataError: LS306, a ledger is damaged or cannot be written.
    """
    release = f"vocabulary-{uuid.uuid4().hex}"
    write_json(training_data / _VOCABULARY_ID_FILE, {"run": release})
    _enter_vocabulary(config, release)


def charge_training(config: TensorFlowConfig, plan: PrivacyPlan, training_id: str, training_data: Path) -> None:
    """Enter a training in the ledgers, and its noised vocabulary where a ledger lacks it; to be called before its first step.

    Training data of earlier versions do not name their vocabulary's release: it is then charged with the training.

    Args:
        config: settings of a private run.
        plan: plan of the training.
        training_id: identity of the training, the same when it is resumed.
        training_data: directory of its training data.

    Raises:
        DataError: LS306, a ledger is damaged or cannot be written.
    """
    release = vocabulary_release(training_data)
    if release is not None:
        _enter_vocabulary(config, release)
    for path, dataset in _ledgers(config):
        record_in_ledger(
            path,
            dataset,
            training_id,
            plan,
            unsafe_key=config.dp_unsafe_fixed_key is not None,
            vocabulary_entered=release is not None,
        )


def count_earlier_releases(config: TensorFlowConfig, plan: PrivacyPlan, training_data: Path) -> tuple[int, float]:
    """Count the other trainings and vocabularies in the run directory's ledger, and add them up with this training.

    Args:
        config: settings of a private run.
        plan: plan of a training that `charge_training` has entered.
        training_data: directory of its training data.

    Returns:
        Their number, and the epsilon of all of them together with this training.

    Raises:
        DataError: LS306, the ledger is damaged.
    """
    entries = read_ledger(_run_ledger(config), RUN_LEDGER_FILE)
    own = 1 if vocabulary_release(training_data) is None else 2
    earlier = len(entries) - own
    return earlier, composed_epsilon(entries, plan.delta) if earlier else plan.epsilon


def vocabulary_release(training_data: Path) -> str | None:
    """Return the identity under which the noised vocabulary of training data is in the ledgers; None: it has none.

    Args:
        training_data: directory of the training data.

    Raises:
        DataError: LS201, the file that names it is damaged.
    """
    file = training_data / _VOCABULARY_ID_FILE
    return str(read_json(file, "the identity of a noised vocabulary", Identity)["run"]) if file.is_file() else None


def _enter_vocabulary(config: TensorFlowConfig, release: str) -> None:
    unsafe_key = config.dp_unsafe_fixed_key is not None
    for path, dataset in _ledgers(config):
        record_vocabulary(path, dataset, release, config.dp_vocabulary_noise, config.dp_delta, unsafe_key=unsafe_key)


def _ledgers(config: TensorFlowConfig) -> list[tuple[Path, str]]:
    """Return path and name of the data set of each ledger, the run directory's own first."""
    ledgers = [(_run_ledger(config), RUN_LEDGER_FILE)]
    if config.privacy_ledger is not None and config.dataset_name is not None:
        ledgers.append((Path(config.privacy_ledger), config.dataset_name))
    return ledgers


def _run_ledger(config: TensorFlowConfig) -> Path:
    # In the run directory itself, not in the staged one, which an overwriting run begins empty.
    return run_directory(config).raw / RUN_LEDGER_FILE
