"""Checks of what a private run releases beside its noised sums.

Nothing that the clock decides, no vocabulary that is not charged, no file of a training without privacy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linesmith.core.artifacts import other_kind as other_kind_files
from linesmith.core.artifacts.checkpoints import digest_arrays
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.privacy import vocabulary
from linesmith.model.privacy.ledger import RUN_LEDGER_FILE, read_ledger
from linesmith.model.privacy.plan import PrivacyPlan
from linesmith.model.privacy.secret_key import SecretKey
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.model.training.language_model import LanguageModel
from linesmith.model.training.loop import TrainingHooks
from linesmith.model.training.settings import NetworkSettings, TrainingSettings
from linesmith.model.training.trainer import build_model
from linesmith.pipelines import other_kind, privacy_ledgers
from linesmith.pipelines.stage_report import StageReport
from linesmith.pipelines.tokenize import fit_private
from linesmith.transforms import fit_tokenizer
from tests.helpers.run_states import write_run
from tests.helpers.token_stores import random_records, store_of

_VOCAB, _RECORDS, _SEQ = 9, 20, 12
_KILLED_AT = 2  # steps; within the first epoch
_PLAN = PrivacyPlan(
    units=_RECORDS,
    sample_rate=1e-9,  # empty samples release noise alone, and nothing is compiled for them
    expected_batch_size=8.0,
    noise_multiplier=1.0,
    l2_norm_clip=0.3,
    delta=1e-5,
    planned_steps=5,
    steps_per_epoch=3,
    adaptive_clip=None,
    seq_length=_SEQ,
    optimizer="sgd",
)


class Clock:
    """Clock that moves on by `tick` seconds at each reading."""

    def __init__(self, tick: float) -> None:
        self.now, self.tick = 0.0, tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


class Killed(BaseException):
    """Exception that stands for the death of the process."""


def clock_moves_release(trainer_class: type[PrivateTrainer], directory: Path) -> bool:
    """Return whether a trainer releases something else on a slow machine than on a fast one, with the same secret draws.

    Args:
        trainer_class: the trainer to check; it is killed within an epoch and resumed.
        directory: an empty directory to work in.
    """
    config = TensorFlowConfig(dp=True, embedding_dim=4, rnn_units=4, rnn_layers=1, seq_length=_SEQ, epochs=3)
    model = build_model(NetworkSettings.from_config(config), _VOCAB)
    initial = model.get_weights()
    releases = []
    for name, tick in (("fast", 0.001), ("slow", 1000.0)):
        model.set_weights(initial)
        releases.append(_release(trainer_class, config, model, directory / name, Clock(tick)))
    return releases[0] != releases[1]


def _release(
    trainer_class: type[PrivateTrainer], config: TensorFlowConfig, model: LanguageModel, directory: Path, clock: Clock
) -> tuple[Any, ...]:
    """Return weights, history, number of steps and end of a training that is killed and resumed."""
    history = directory / "history.csv"

    def kill(progress: Any) -> None:
        if progress.step == _KILLED_AT:
            raise Killed

    for key, hooks in (("1", TrainingHooks(on_step=kill)), ("2", TrainingHooks())):  # the second start draws anew
        trainer = trainer_class(
            TrainingSettings.from_config(config),
            model,
            store_of(random_records(_RECORDS, _VOCAB, 15)),
            _PLAN,
            directory=directory / "checkpoints",
            resume_directory=directory / "private",
            history_path=history,
            identity={},
            hooks=hooks,
            clock=clock,
        )
        trainer.key = SecretKey.unsafe(key)
        trainer._update = trainer._noise_and_apply  # without a graph, which would have to be compiled for a few steps
        with contextlib.suppress(Killed):
            trainer.fit()
    return digest_arrays(trainer.weights()), history.read_text(), trainer.state.total_steps, trainer.state.stopped


def keeps_stale_files(directory: Path, replace: Callable[..., None] = other_kind.replace_other_kind) -> bool:
    """Return whether anything of a plain run stays beside a private training that overwrites it.

    Args:
        directory: an empty directory to work in.
        replace: what stages call before they write in a directory of the other kind.
    """
    run = write_run(directory / "run", private=False, state="complete")
    config = TensorFlowConfig(dp=True, checkpoint_dir=run.root, overwrite=True)
    replace(config, StageReport("tokenize"))
    return bool(other_kind_files.files_of_other_kind(RunDirectory(run.root, True)))


def draws_uncharged_vocabulary(
    directory: Path, charge: Callable[..., None] = privacy_ledgers.charge_vocabulary
) -> bool:
    """Return whether a vocabulary is drawn that is not in both ledgers yet, when it is drawn twice.

    Args:
        directory: an empty directory to work in.
        charge: what tokenize calls to enter a vocabulary in the ledgers.
    """
    config = TensorFlowConfig(
        dp=True, dp_vocabulary="dp_characters", checkpoint_dir=directory / "run", dataset_name="data",
        privacy_ledger=directory / "ledger.json",
    )  # fmt: skip
    ledgers = ((directory / "run" / "private" / RUN_LEDGER_FILE, RUN_LEDGER_FILE), (directory / "ledger.json", "data"))
    entered: list[int] = []  # at each draw, in the ledger that has fewer

    def draw(*_: Any) -> list[int]:
        entered.append(min(len(read_ledger(path, dataset)) for path, dataset in ledgers))
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(privacy_ledgers, "charge_vocabulary", charge)
        patch.setattr(vocabulary, "noised_vocabulary", draw)
        patch.setattr(fit_tokenizer, "count_character_presence", lambda *_: ([], {}))
        for attempt in ("first", "second"):
            fit_private._learn_characters(config, [], None, None, directory / attempt)
    return entered != [1, 2]
