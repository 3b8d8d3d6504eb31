"""User level: all of a user's records are on one side, are drawn together, and together move the sum by at most C."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.core.config.privacy_checks import check_privacy_settings, check_training_data, user_field_index
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.model.privacy import trainer as private_trainer
from linesmith.model.privacy.plan_from_config import plan_privacy
from linesmith.model.privacy.statement import build_statement
from linesmith.model.privacy.statement_text import format_statement
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.model.privacy.users import UserIndex, build_user_index, index_by_user
from linesmith.model.training.settings import NetworkSettings, TrainingSettings
from linesmith.model.training.token_store import build_token_store
from linesmith.model.training.trainer import build_model
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.records.fields import FieldFormat
from linesmith.records.input.record_format import DatasetSplitter, record_digest, user_digest
from tests.helpers.reference_gradients import distance
from tests.helpers.token_stores import store_of
from tests.model.privacy.test_trainer import PLAN, SEQ, SMALL, VOCAB, _weights

pytestmark = pytest.mark.integration

CSV = FieldFormat(",")

# -- whose record it is


def test_the_user_is_the_value_of_the_field():
    assert user_digest("a, 7 ,x", 1, CSV) == user_digest("b,7", 1, CSV) != user_digest("a,8,x", 1, CSV)
    assert user_digest('"x,y",7', 1, FieldFormat(",", quoted=True)) == user_digest("z,7", 1, CSV)
    assert user_digest("a", 1, CSV) is user_digest("a,", 1, CSV) is user_digest("a,  ,b", 1, CSV) is None
    assert user_digest("a,b", 0, CSV) != record_digest(b"a")  # another purpose, another hash


@given(st.lists(st.integers(-3, 3), max_size=25), st.integers(1, 4))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_the_index_is_what_a_dictionary_gives(users, most):
    by_user: dict[int, list[int]] = {}
    for rank, user in enumerate(users):
        by_user.setdefault(user, []).append(rank)
    index = index_by_user(np.array(users, np.int64), most)
    wanted = [by_user[user][:most] for user in sorted(by_user)]
    assert len(index) == len(wanted)
    assert [index.records_of(np.array([number])).tolist() for number in range(len(index))] == wanted
    assert index.records_of(np.arange(len(index))).tolist() == list(itertools.chain.from_iterable(wanted))
    assert index.dropped_records == len(users) - sum(map(len, wanted))
    assert index.counts(np.arange(len(index))).tolist() == [len(ranks) for ranks in wanted]


def test_which_records_take_part_depends_on_their_own_user_alone():
    mine = [4, 9, 2, 7]  # record hashes, in any order among those of others

    def kept(others: list[int]) -> set[int]:
        hashes = np.array([*mine, *others])
        users = np.array([1] * len(mine) + [2 + i % 3 for i in range(len(others))])
        order = np.argsort(hashes, kind="stable")
        index = index_by_user(users[order], per_user=2)
        return set(hashes[order][index.records_of(np.array([0]))].tolist())

    assert kept([]) == kept([1, 3, 5, 6, 8, 10]) == kept([3]) == {2, 4}


# -- the tokenize stage

LINES = [f"{i},user {i % 9},{'ab' * (i % 4)}" for i in range(60)] + ["60", "61, ,x"]


@pytest.fixture(scope="module")
def tokenized(tmp_path_factory):
    directory = tmp_path_factory.mktemp("users")
    (directory / "in.txt").write_text("\n".join(LINES) + "\n")
    config = TensorFlowConfig(
        dp=True,
        input_data_path=str(directory / "in.txt"),
        checkpoint_dir=str(directory / "run"),
        field_delimiter=",",
        privacy_key_field=1,
        holdout_fraction=0.2,
        dp_validation="noised",
    )
    tokenize(config)
    return config, directory / "run" / "private"


def _index(data, side: str, store, most=2) -> UserIndex:
    return build_user_index(sorted(data.glob(f"{side}-*")), per_user=most, expected=len(store))


@pytest.mark.slow
def test_a_user_is_on_one_side_and_its_ranks_are_the_stores(tokenized, tmp_path):
    _, private = tokenized
    data = private / "training_data"
    counts = json.loads((data / "manifest.json").read_text())["counts"]
    assert counts["rejected"] == {"no_user": 2}
    splitter, seen = DatasetSplitter(0.2, True), 0
    for number, side in enumerate(("train", "validation", "holdout")):
        expected = counts["splits"][side]["records"]
        store = build_token_store(
            sorted(data.glob(f"{side}-*")), tmp_path / side, vocab_size=258, expected_records=expected
        )
        mine = [line for line in LINES[:60] if splitter.split_of(user_digest(line, 1, CSV)) == number]
        assert len(store) == len(mine)
        index = _index(data, side, store, most=100)
        assert len(index) == len({line.split(",")[1] for line in mine})
        for user in range(len(index)):
            texts = [
                bytes(i - 2 if i > 1 else 44 for i in store.record(rank)[1:-1].tolist()).decode()
                for rank in index.records_of(np.array([user]))
            ]
            names = {text.split(",")[1] for text in texts}
            assert len(names) == 1
            assert sorted(texts) == sorted(line for line in mine if line.split(",")[1] in names)
        seen += len(index)
    assert seen == 9
    assert "user_hash" in (data / "schema.pbtxt").read_text()


def test_data_without_users_are_refused(tokenized):
    config, private = tokenized
    settings = json.loads((private / "training_data" / "manifest.json").read_text())["settings"]
    check_training_data(config, settings)
    with pytest.raises(DataError, match=r"LS215.*privacy_key_field"):
        check_training_data(config.replace(privacy_key_field=None), settings)
    with pytest.raises(DataError, match="LS216"):
        build_user_index(sorted((private / "training_data").glob("train-*")), per_user=1, expected=1)


# -- the release


def _release(
    directory, users: dict[int, list[list[int]]], most: int, clip=0.3, trainer=PrivateTrainer, index=index_by_user
):
    """Return the clipped sum over the expected batch size, with every user drawn and no noise."""
    records = [record for owned in users.values() for record in owned]
    owners = np.array([user for user, owned in users.items() for _ in owned], np.int64)
    whose = index(owners, most)
    plan = replace(
        PLAN,
        unit="user",
        units=len(whose),
        records_per_unit=most,
        l2_norm_clip=clip,
        sample_rate=1.0,
        noise_multiplier=0.0,
        optimizer="sgd",
    )
    changes = {"learning_rate": 1.0, "learning_rate_schedule": "constant", "dropout_rate": 0.0}
    config = TensorFlowConfig(**{**SMALL, **changes, "dp_unsafe_fixed_key": "1"})
    made = trainer(
        TrainingSettings.from_config(config),
        build_model(NetworkSettings.from_config(config), VOCAB),
        store_of(records),
        plan,
        users=whose,
        directory=directory / "checkpoints",
        resume_directory=directory / "private",
        history_path=directory / "h.csv",
        identity={},
        unsafe_fixed_key=config.dp_unsafe_fixed_key,
    )
    before = _weights(made)
    made._resume()
    made.run_step(0)
    return [(one - other) * plan.expected_batch_size for one, other in zip(before, _weights(made), strict=True)]


OTHERS = {5: [[1, 2, 3], [4]], 6: [[2, 2, 2]], 7: [[1, 2, 1, 2], [3], [5, 6]]}
HEAVY = [[VOCAB - 1] * SEQ] * 4  # the same text repeatedly, so that all its gradients have one direction


def _moves(tmp_path, most, **changes) -> float:
    """Return the most that adding a user, first or last, moves the sum."""
    worst = 0.0
    for number, neighbour in enumerate(({1: HEAVY, **OTHERS}, {**OTHERS, 9: HEAVY})):
        with_user = _release(tmp_path / f"with {number}", neighbour, most, **changes)
        worst = max(worst, distance(with_user, _release(tmp_path / f"without {number}", OTHERS, most, **changes)))
    return worst


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 3])
def test_a_whole_user_moves_the_sum_by_at_most_the_clipping_norm(tmp_path, most):
    assert 0.9 * 0.3 < _moves(tmp_path, most) <= 0.3


@pytest.mark.slow
def test_clipping_each_record_to_the_whole_norm_is_detected(tmp_path):
    class ClipsRecords(PrivateTrainer):
        def _clipped_part(self, rows, seeds):
            plan, self.plan = self.plan, replace(self.plan, records_per_unit=1)
            try:
                return super()._clipped_part(rows, seeds)
            finally:
                self.plan = plan

    assert _moves(tmp_path, 3, trainer=ClipsRecords) > 2 * 0.3


@pytest.mark.slow
def test_taking_all_records_of_a_user_is_detected(tmp_path):
    assert _moves(tmp_path, 1, index=lambda users, _most: index_by_user(users, 100)) > 2 * 0.3


def test_users_are_drawn_and_not_records(tmp_path, monkeypatch):
    drawn = []
    random = np.random.default_rng(0)

    def batches(store, ranks, **shape):
        drawn.append(ranks.tolist())
        return iter(())

    def sample(count, rate, seed):
        assert (count, rate) == (4, 1.0)  # four users
        return np.flatnonzero(random.random(count) < 0.5)

    monkeypatch.setattr(private_trainer, "physical_batches", batches)
    monkeypatch.setattr(private_trainer, "poisson_sample", sample)
    for number in range(6):
        _release(tmp_path / str(number), {**OTHERS, 9: [[1]] * 2}, 2)
    together = [{0, 1}, {2}, {3, 4}, {6, 7}]  # 5 is the third record of its user
    for ranks in drawn:
        assert set(ranks) == set().union(*(part for part in together if part & set(ranks)))
    assert len({tuple(ranks) for ranks in drawn}) > 2


def test_a_plan_for_records_does_not_train_users(tmp_path):
    config = TensorFlowConfig(**SMALL)
    store, whose = store_of([[1], [2], [3]]), index_by_user(np.array([1, 1, 2]), 1)
    places = {"directory": tmp_path, "history_path": tmp_path / "h.csv", "identity": {}}
    for plan, users in (
        (replace(PLAN, units=2), whose),
        (replace(PLAN, units=3, unit="user"), None),
        (replace(PLAN, units=3, unit="user"), whose),
    ):
        with pytest.raises(ValueError, match="the plan is for"):
            PrivateTrainer(
                TrainingSettings.from_config(config),
                build_model(NetworkSettings.from_config(config), VOCAB),
                store,
                plan,
                users=users,
                **places,
            )


# -- the claim and the settings


def _config(**changes) -> TensorFlowConfig:
    return TensorFlowConfig(
        **{"dp": True, "field_delimiter": ",", "privacy_key_field": "who", "columns": ["id", "who"], **changes}
    )


def test_the_claim_names_the_user():
    plan = plan_privacy(_config(dp_batch_size=50, epochs=2, dp_records_per_user=4, discriminator=False), 1000)
    assert (plan.unit, plan.units, plan.records_per_unit, plan.sample_rate) == ("user", 1000, 4, 0.05)
    assert plan.epsilon == plan_privacy(TensorFlowConfig(dp=True, dp_batch_size=50, epochs=2), 1000).epsilon
    facts = build_statement(plan, 0, unsafe_key=False)
    assert facts["unit"].startswith("one user: all records with the same value in field who, of which at most 4 are")
    assert facts["adjacency"] == "add or remove one user, with all of its records"
    assert facts["users"] == 1000 and "records" not in facts
    assert facts["mechanism"]["record_clip"] == plan.l2_norm_clip / 4
    assert "each user is in each step" in facts["sampler"]
    text = format_statement(facts)
    assert "of 1000 users (this number is treated as public)" in text
    assert "one user is changed" in text
    assert "one record" not in text


def test_which_field_it_is():
    assert user_field_index(_config()) == 1
    assert user_field_index(_config(privacy_key_field=0)) == 0
    assert user_field_index(_config(dp=False)) is None
    assert user_field_index(TensorFlowConfig(dp=True)) is None


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"privacy_key_field": "whom"}, "neither a field's number"),
        ({"privacy_key_field": 2}, "not one of the 2 columns"),
        ({"field_delimiter": None}, "Give --field-delimiter"),
        ({"privacy_key_field": None, "dp_records_per_user": 2}, "Give --privacy-key-field"),
        ({"dp_vocabulary": "dp_characters"}, "vote for more"),
        ({"dp_adaptive_clip": True, "dp_records_per_user": 2}, "not public"),
    ],
)
def test_what_cannot_work(changes, what):
    with pytest.raises(ParameterError, match=rf"LS3(01|12): .*{what}"):
        check_privacy_settings(_config(**changes))


def test_too_few_users():
    with pytest.raises(ParameterError, match=r"LS303.*9 users"):
        plan_privacy(_config(dp_batch_size=10), 9)
