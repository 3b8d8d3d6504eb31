"""Private training: what it guarantees, charges and releases, and that a resumed run ends like an uninterrupted one."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from linesmith.core.artifacts.checkpoints import LAST, digest_arrays
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.model.privacy import trainer as private_trainer
from linesmith.model.privacy.budget import CHARGED_STEPS_FILE
from linesmith.model.privacy.plan import AdaptiveClipping, PrivacyPlan
from linesmith.model.privacy.poisson_sampling import poisson_sample
from linesmith.model.privacy.secret_key import SecretKey
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.model.training.batches import physical_batches
from linesmith.model.training.loop import TrainingHooks
from linesmith.model.training.settings import NetworkSettings, TrainingSettings
from linesmith.model.training.trainer import build_model
from tests.helpers.reference_gradients import distance, norm
from tests.helpers.token_stores import random_records, store_of
from tests.model.privacy.test_noise import scale_is_right

pytestmark = pytest.mark.integration

VOCAB, RECORDS, SEQ = 9, 40, 12
SMALL = {
    "dp": True,
    "embedding_dim": 8,
    "rnn_units": 6,
    "rnn_layers": 1,
    "batch_size": 16,
    "seq_length": SEQ,
    "epochs": 3,
    "learning_rate": 0.01,
    "dropout_rate": 0.2,
}
PLAN = PrivacyPlan(
    units=RECORDS,
    sample_rate=0.2,
    expected_batch_size=8.0,
    noise_multiplier=1.1,
    l2_norm_clip=0.3,
    delta=1e-5,
    planned_steps=15,
    steps_per_epoch=5,
    adaptive_clip=None,
    seq_length=SEQ,
)


class Killed(BaseException):
    """Exception that stands for the death of the process: nothing after it is run."""


def _trainer(directory, plan=PLAN, hooks=None, records=None, key="abc", identity=None, clock=None, **changes):
    config = TensorFlowConfig(**{**SMALL, "dp_unsafe_fixed_key": key, **changes})
    data = random_records(RECORDS, VOCAB, 15) if records is None else records
    return PrivateTrainer(
        TrainingSettings.from_config(config),
        build_model(NetworkSettings.from_config(config), VOCAB),
        store_of(data),
        replace(plan, units=len(data)),
        directory=directory / "checkpoints",
        resume_directory=directory / "private",
        history_path=directory / "model_history.csv",
        identity=identity if identity is not None else {"seed": config.seed},
        unsafe_fixed_key=config.dp_unsafe_fixed_key,
        hooks=hooks,
        **({} if clock is None else {"clock": clock}),
    )


def _stop_after(steps: int, how=None) -> TrainingHooks:
    """Make hooks that ask for a stop after a number of steps of this start, or end it by raising."""
    seen = []

    def on_step(progress):
        seen.append(progress)
        if how is not None and len(seen) == steps:
            raise how

    return TrainingHooks(on_step=on_step, stop_requested=lambda: len(seen) == steps)


def _weights(trainer) -> list[np.ndarray]:
    return list(trainer.weights().values())


def test_float32_products_are_not_shortened_on_a_gpu(tmp_path):
    tf.config.experimental.enable_tensor_float_32_execution(True)
    _trainer(tmp_path)
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    directory = tmp_path_factory.mktemp("uninterrupted")
    trainer = _trainer(directory)
    trainer.fit()
    return directory, trainer


# -- what it does and releases


def test_it_runs_the_planned_steps_and_reports_privacy_and_nothing_else(uninterrupted):
    directory, trainer = uninterrupted
    state = trainer.state
    assert (state.stopped, state.total_steps, state.charged_steps) == ("epochs", 15, 15)
    assert [entry.epsilon for entry in state.history] == [PLAN.epsilon_at(steps) for steps in (5, 10, 15)]
    for entry in state.history:
        assert (entry.loss, entry.accuracy, entry.val_loss, entry.val_accuracy) == (None, None, None, None)
        assert entry.delta == 1e-5
    with open(directory / "model_history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["best"] for row in rows] == ["0", "0", "1"]
    assert float(rows[-1]["epsilon"]) == PLAN.epsilon_at(15)  # unrounded
    assert {row["loss"] + row["accuracy"] + row["val_loss"] + row["val_accuracy"] for row in rows} == {""}
    assert trainer.progress(5).loss is trainer.progress(5).accuracy is None


def test_no_file_holds_the_key(uninterrupted, tmp_path):
    trainer = _trainer(tmp_path, hooks=_stop_after(1), key=None)
    trainer.fit()
    key = trainer.key._key
    for path in [*tmp_path.rglob("*.*")]:
        content = path.read_bytes()
        assert key not in content and key.hex().encode() not in content


def test_a_ceiling_ends_training_before_the_step_that_would_pass_it(tmp_path):
    trainer = _trainer(tmp_path, replace(PLAN, planned_steps=7))
    state = trainer.fit()
    assert (state.stopped, state.total_steps, state.charged_steps) == ("budget", 7, 7)
    assert [entry.batch for entry in state.history] == [5, 2]
    with pytest.raises(DataError, match="would pass the planned 7"):
        trainer.run_step(0)
    assert trainer.state.charged_steps == 7


def test_a_plan_for_another_number_of_records_is_refused(tmp_path):
    """Counting n in tokens, or in rows, would make the rate another one than was charged."""
    config = TensorFlowConfig(**SMALL)
    store = store_of(random_records(RECORDS, VOCAB, 15))
    places = {"directory": tmp_path, "history_path": tmp_path / "h.csv", "identity": {}}
    for wrong in (store.tokens, RECORDS - 1):
        with pytest.raises(ValueError, match="the plan is for"):
            PrivateTrainer(
                TrainingSettings.from_config(config),
                build_model(NetworkSettings.from_config(config), VOCAB),
                store,
                replace(PLAN, units=wrong),
                **places,
            )


# -- the release: noise, divisor, sample


def _one_release(tmp_path, **changes) -> list[np.ndarray]:
    """Return what a step with SGD at rate 1 subtracts from the weights: the noised sum over the expected batch size."""
    plan = replace(PLAN, optimizer="sgd", sample_rate=1e-9)
    trainer = _trainer(
        tmp_path, plan, learning_rate=1.0, learning_rate_schedule="constant", dropout_rate=0.0, **changes
    )
    before = _weights(trainer)
    trainer._resume()
    trainer.run_step(0)
    return [one - other for one, other in zip(before, _weights(trainer), strict=True)]


def _flat(parts) -> np.ndarray:
    return np.concatenate([part.ravel() for part in parts])


def test_an_empty_sample_releases_noise_of_the_planned_scale(tmp_path):
    release = _flat(_one_release(tmp_path, rnn_units=96, embedding_dim=96))
    assert release.size > 70_000
    assert scale_is_right(release, 1.1 * 0.3 / 8)


@pytest.mark.parametrize("wrong", [2 / 3, 3 / 2, 0.0])
def test_noise_of_another_scale_is_detected(tmp_path, monkeypatch, wrong):
    healthy = private_trainer.noised_sum
    monkeypatch.setattr(
        private_trainer,
        "noised_sum",
        lambda sums, *, noise_multiplier, **rest: healthy(sums, noise_multiplier=wrong * noise_multiplier, **rest),
    )
    release = _flat(_one_release(tmp_path, rnn_units=96, embedding_dim=96))
    assert not scale_is_right(release, 1.1 * 0.3 / 8)


def test_released_noise_does_not_follow_from_the_public_seed(tmp_path):
    one, other = (_flat(_one_release(tmp_path / str(i), key=None)) for i in range(2))
    assert abs(np.corrcoef(one, other)[0, 1]) < 6 / np.sqrt(one.size)


def test_draws_from_the_public_seed_are_detected(tmp_path, monkeypatch):
    """The audit above, with the planted bug: a key that is derived from the run's seed."""
    monkeypatch.setattr(SecretKey, "fresh", classmethod(lambda cls: cls.unsafe("0")))
    one, other = (_flat(_one_release(tmp_path / str(i), key=None)) for i in range(2))
    assert np.corrcoef(one, other)[0, 1] > 0.99


def test_the_optimizer_sees_the_noised_gradient_and_nothing_else(tmp_path, monkeypatch):
    """Adam keeps moments: were they of raw gradients, its steps would reveal them. Where the release is 0, nothing moves."""
    monkeypatch.setattr(private_trainer, "noised_sum", lambda sums, **_: [tf.zeros_like(part) for part in sums])
    trainer = _trainer(tmp_path, replace(PLAN, sample_rate=1.0))
    before = _weights(trainer)
    trainer._resume()
    for _ in range(3):
        trainer.run_step(0)
        trainer.state.total_steps += 1
    assert distance(before, _weights(trainer)) == 0
    moments = [variable for variable in trainer.optimizer.variables if "momentum" in variable.path]
    assert moments and all(not np.any(moment.numpy()) for moment in moments)


CANARY = [VOCAB - 1] * SEQ


def _clipped_of(tmp_path, records, **changes):
    """Return the sum before noise over the expected batch size, with every record drawn."""
    plan = replace(PLAN, optimizer="sgd", sample_rate=1.0, noise_multiplier=0.0)
    settings = {"learning_rate": 1.0, "learning_rate_schedule": "constant", "dropout_rate": 0.0, **changes}
    trainer = _trainer(tmp_path, plan, records=records, **settings)
    before = _weights(trainer)
    trainer._resume()
    trainer.run_step(0)
    return [one - other for one, other in zip(before, _weights(trainer), strict=True)]


def test_a_canary_moves_the_released_mean_by_at_most_clip_over_the_expected_batch(tmp_path):
    records = random_records(20, VOCAB, 15)
    without = _clipped_of(tmp_path / "without", records)
    with_canary = _clipped_of(tmp_path / "with", [*records, CANARY])
    assert 0.9 * 0.3 / 8 < distance(without, with_canary) <= 0.3 / 8


@pytest.mark.slow
def test_the_size_of_the_physical_batch_changes_no_result(tmp_path):
    records = random_records(20, VOCAB, 15)
    small, large = (_clipped_of(tmp_path / str(size), records, batch_size=size) for size in (3, 64))
    assert distance(small, large) < 1e-6 * norm(large) + 1e-7


@pytest.mark.slow
def test_dividing_by_the_draw_is_detected(tmp_path, monkeypatch):
    """A divisor that depends on the data changes the contribution of every record: the canary test detects it."""
    records = random_records(4, VOCAB, 15)

    def divided_by_the_draw(trainer, sums, seeds):
        for total, variable in zip(sums, trainer.model.trainable_variables, strict=True):
            variable.assign_sub(total / len(trainer.train))

    monkeypatch.setattr(PrivateTrainer, "_noise_and_apply", divided_by_the_draw)
    moved = distance(_clipped_of(tmp_path / "1", records), _clipped_of(tmp_path / "2", [*records, CANARY]))
    assert moved > 0.3 / 8


def test_each_step_draws_its_own_sample_at_the_planned_rate(uninterrupted, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(
        private_trainer, "poisson_sample", lambda *args: drawn.append((args, poisson_sample(*args))) or drawn[-1][1]
    )
    _trainer(tmp_path).fit()
    assert {args[:2] for args, _ in drawn} == {(RECORDS, 0.2)}
    assert len({args[2] for args, _ in drawn}) == 15  # one seed per step


# -- resuming and charging


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 7])
def test_a_resumed_run_equals_one_run(uninterrupted, tmp_path, stop_after):
    directory, whole = uninterrupted
    assert _trainer(tmp_path, hooks=_stop_after(stop_after)).fit().stopped is None
    second = _trainer(tmp_path)
    assert second.fit().stopped == "epochs"
    assert digest_arrays(second.weights()) == digest_arrays(whole.weights())
    assert (tmp_path / "model_history.csv").read_text() == (directory / "model_history.csv").read_text()


@pytest.mark.slow
def test_a_killed_run_with_the_unsafe_key_repeats_its_releases_and_charges_them_once(uninterrupted, tmp_path):
    with pytest.raises(Killed):
        _trainer(tmp_path, hooks=_stop_after(8, Killed())).fit()
    charged = {"charged_steps": 8, "charged_evaluations": 0}
    assert json.loads((tmp_path / "private" / CHARGED_STEPS_FILE).read_text()) == charged
    second = _trainer(tmp_path)
    second.fit()
    assert second.state.charged_steps == 15
    assert digest_arrays(second.weights()) == digest_arrays(uninterrupted[1].weights())


@pytest.mark.slow
def test_a_killed_run_is_charged_again_and_draws_anew(tmp_path):
    seeds = []
    for start in range(2):
        hooks = _stop_after(8, Killed()) if start == 0 else None
        trainer = _trainer(tmp_path, hooks=hooks, key=None)
        seeds.append(trainer.key.seed("noise", 5, 0))
        if start == 0:
            with pytest.raises(Killed):
                trainer.fit()
            assert trainer.state.charged_steps == 8
    assert seeds[0] != seeds[1]
    # The checkpoint is that of epoch 0's end, step 5; the three steps after it are lost, but not forgotten.
    state = trainer.fit()
    assert (state.stopped, state.charged_steps, state.total_steps) == ("budget", 15, 12)
    assert [entry.epsilon for entry in state.history] == [PLAN.epsilon_at(steps) for steps in (5, 13, 15)]


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_is_charged_too(tmp_path):
    with pytest.raises(Killed):
        _trainer(tmp_path, hooks=_stop_after(3, Killed()), key=None).fit()
    trainer = _trainer(tmp_path, hooks=_stop_after(1), key=None)
    trainer.fit()
    assert (trainer.state.total_steps, trainer.state.charged_steps) == (1, 4)
    with pytest.raises(DataError, match=r"LS215.*other"):
        _trainer(tmp_path, key=None, identity={"seed": "other"}).fit()


def test_a_lost_count_of_charged_steps_is_not_taken_for_nothing(tmp_path):
    _trainer(tmp_path, hooks=_stop_after(2), key=None).fit()
    (tmp_path / "private" / CHARGED_STEPS_FILE).unlink()
    with pytest.raises(DataError, match="count of charged steps"):
        _trainer(tmp_path, key=None).fit()


def test_a_step_is_on_disk_as_charged_before_it_draws(tmp_path, monkeypatch):
    seen = []

    def sample(*args):
        seen.append(json.loads((tmp_path / "private" / CHARGED_STEPS_FILE).read_text())["charged_steps"])
        return poisson_sample(*args)

    monkeypatch.setattr(private_trainer, "poisson_sample", sample)
    _trainer(tmp_path, hooks=_stop_after(3)).fit()
    assert seen == [1, 2, 3]


@pytest.mark.slow
def test_an_unfinished_training_leaves_its_state_apart_from_its_weights(tmp_path):
    _trainer(tmp_path, hooks=_stop_after(6)).fit()
    assert (tmp_path / "private" / LAST).is_file()
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.npz"]


def test_weights_that_are_not_finite_end_training_with_the_last_finite_ones(tmp_path):
    trainer = _trainer(tmp_path)
    trainer.hooks = TrainingHooks(on_epoch=lambda state, best: trainer.model.logits.bias.assign([np.nan] * VOCAB))
    state = trainer.fit()
    assert (state.stopped, state.best_epoch) == ("diverged", 0)


# -- adaptive clipping


def _adapted(tmp_path, quantile, noise=1e-6, **changes) -> PrivateTrainer:
    """Return a trainer whose weights do not change, after 15 updates of the clipping norm."""
    adaptive = AdaptiveClipping(target_quantile=quantile, learning_rate=0.5, count_noise=noise)
    plan = replace(PLAN, adaptive_clip=adaptive, noise_multiplier=0.0, sample_rate=1.0, expected_batch_size=40.0)
    trainer = _trainer(tmp_path, plan, learning_rate=1e-9, dropout_rate=0.0, **changes)
    trainer.fit()
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize("quantile", [0.25, 0.75])
def test_the_clipping_norm_moves_to_the_quantile(tmp_path, quantile):
    trainer = _adapted(tmp_path, quantile)
    ((_, batch),) = physical_batches(trainer.train, np.arange(RECORDS), counts_of=lambda _: (RECORDS,), seq_length=SEQ)
    found = trainer._clipped(batch.to_tensors(), trainer._dropout_seeds(0, 0))
    assert abs(int(found.unclipped) / RECORDS - quantile) <= 0.15
    assert not 0.28 < float(trainer.clip.value) < 0.32  # it did move


@pytest.mark.slow
def test_padding_rows_do_not_count(tmp_path, monkeypatch):
    """40 records in batches of 16 leave 8 rows of padding; in batches of 40 none: the norm must move alike."""
    found = []
    for size in (16, 40):
        monkeypatch.setattr(private_trainer, "proven_row_counts", lambda *_, rows=size, **__: (rows,))
        found.append(_adapted(tmp_path / str(size), 0.5))
    ragged, even = found
    assert float(ragged.clip.value) == pytest.approx(float(even.clip.value), rel=1e-6)


def test_the_update_is_the_papers(tmp_path):
    adaptive = AdaptiveClipping(target_quantile=0.4, learning_rate=0.2, count_noise=0.0)
    trainer = _trainer(tmp_path, replace(PLAN, adaptive_clip=adaptive))
    # Ten records of which seven were not clipped, eight expected.
    trainer._adapt_clip(adaptive, 7 - 10 / 2, step=0)
    share = (7 - 5) / 8 + 0.5
    assert float(trainer.clip.value) == pytest.approx(0.3 * np.exp(-0.2 * (share - 0.4)), rel=1e-6)
