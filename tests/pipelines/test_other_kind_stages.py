"""Plain and private trainings in one run directory, through the real stages: the files that are left, and the statement.

`tests/core/artifacts/test_other_kind.py` and `tests/pipelines/test_other_kind.py` have the same on invented files, in a second.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linesmith.core.artifacts.files import write_bytes
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.other_kind import files_of_other_kind
from linesmith.core.artifacts.privacy_statement import check_statement
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, InterruptedRunError
from linesmith.model.privacy.ledger import RUN_LEDGER_FILE, read_ledger
from linesmith.pipelines import workflow
from linesmith.pipelines.evaluate.context import refuse_other_claim
from linesmith.pipelines.export import export, import_archive
from linesmith.pipelines.generate.stage import generate
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.pipelines.train import hooks
from linesmith.pipelines.train.stage import train_model
from tests.helpers.run_states import files_of

pytestmark = [pytest.mark.integration, pytest.mark.slow]

# What a private run may have outside of RUN/private.
RELEASABLE = re.compile(
    r"model_params\.json|model_history\.csv|tokenizer/.*|(synthetic|invalid)/.*"
    r"|model/(README\.md|manifest\.json|model\.json|privacy\.(json|txt)|checkpoints/(best|last-weights)\.npz)"
)
KIND_IDS = {False: "plain", True: "private"}


def config_of(root: Path, private: bool, **changes) -> TensorFlowConfig:
    small = {"embedding_dim": 4, "rnn_units": 4, "rnn_layers": 1, "epochs": 2, "seq_length": 20, "batch_size": 16}
    more = (
        {"dp": True, "dp_batch_size": 10, "dp_delta": 1e-3, "dataset_name": "orders"} if private else {"vocab_size": 0}
    )
    places = {"input_data_path": str(root / "in.txt"), "checkpoint_dir": str(root / "run"), "report": False}
    generation = {"gen_lines": 3, "max_attempts": 3, "min_valid_rate": 0.0}
    return TensorFlowConfig(**{**small, **more, **places, **generation, "early_stopping": False, **changes})


def train_stages(config: TensorFlowConfig, interrupt: bool = False) -> None:
    """Tokenize and train; an interrupted training ends after its first epoch."""
    tokenize(config)
    with interrupted(config) if interrupt else contextlib.nullcontext():
        train_model(config)


@contextlib.contextmanager
def interrupted(config: TensorFlowConfig):
    history = Path(str(config.checkpoint_dir)) / "model_history.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hooks, "_interruptible", lambda: contextlib.nullcontext(history.exists))
        with pytest.raises(InterruptedRunError, match="interrupted after epoch 0"):
            yield


def check_kind(root: Path, private: bool) -> None:
    """Check the files of a complete training, the statement, and what is exported."""
    run = RunDirectory(root / "run", private)
    assert files_of_other_kind(run) == []
    names = files_of(run.root)
    assert ("model/privacy.json" in names) == ("model/privacy.txt" in names) == private
    if private:
        assert [name for name in names if not name.startswith("private/") and not RELEASABLE.fullmatch(name)] == []
        statement = check_statement(run.root)
        assert read_model_info(run.root).weights_digest in statement["weights"].values()
        assert {"report/", "audit/"} <= set(statement["not_releasable"])
    else:
        assert check_statement(run.root) is None
        top = {name.split("/")[1].split("-")[0] for name in names if name.startswith("private/")}
        assert top <= {"spent.json", "replaced"}
    archive = root / "model.tar.gz"
    export(str(run.root), str(archive), overwrite=True)
    fresh = config_of(root, private, checkpoint_dir=str(root / "imported"))
    import_archive(str(archive), str(fresh.checkpoint_dir))
    assert (check_statement(fresh.checkpoint_dir) is not None) == private
    shutil.rmtree(fresh.checkpoint_dir)


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """A directory with input and nothing else, to be copied."""
    root = tmp_path_factory.mktemp("lines")
    (root / "in.txt").write_text("".join(f"{i % 7},{'ab' * (i % 5)},{i}\n" for i in range(60)))
    return root


@pytest.fixture(scope="module")
def history(lines, tmp_path_factory) -> Callable[[bool, bool, Path], None]:
    """Return a function that copies a run directory of a kind, whose training was interrupted or complete, to a directory.

    A complete one has records, and what stands for a report.
    """

    @functools.cache
    def made(private: bool, interrupt: bool) -> Path:
        root = tmp_path_factory.mktemp("history")
        shutil.copy(lines / "in.txt", root)
        config = config_of(root, private)
        if interrupt:
            train_stages(config, interrupt=True)
        else:
            workflow.run(config)
            write_bytes(RunDirectory(root / "run", private).raw / "report" / "index.html", b"raw")
        return root

    return lambda private, interrupt, root: shutil.copytree(made(private, interrupt), root, dirs_exist_ok=True)


def test_a_plain_model_is_never_exported_with_the_statement_of_an_interrupted_private_training(history, tmp_path):
    root = tmp_path
    history(True, True, root)
    plain = config_of(root, False)
    for begin in (tokenize, train_model, workflow.train):
        with pytest.raises(DataError, match="LS215"):
            begin(plain)
    assert not (root / "run" / "training_data").exists()
    plain = plain.replace(overwrite=True)
    notices = tokenize(plain).notices
    assert any("a training with --dp was replaced here: its model is kept in" in notice for notice in notices)
    assert check_statement(root / "run" / "private" / "replaced-1") is not None
    train_model(plain.replace(overwrite=False))
    check_kind(root, False)


def test_a_private_model_keeps_nothing_of_an_interrupted_plain_training(history, tmp_path):
    """And its ledger knows that the plain one was there; its manifest names no path and no data set."""
    history(False, True, tmp_path)
    private = config_of(tmp_path, True)
    with pytest.raises(DataError, match=r"LS215.*training_data"):
        tokenize(private)
    evaluated = tmp_path / "run" / "report"
    evaluated.mkdir()
    (evaluated / "index.html").write_text("raw")
    train_stages(private.replace(overwrite=True))
    check_kind(tmp_path, True)
    (plain, own) = read_ledger(tmp_path / "run" / "private" / RUN_LEDGER_FILE, RUN_LEDGER_FILE)
    assert math.isinf(plain.epsilon) and own.epsilon <= 8
    statement = json.loads((tmp_path / "run" / "model" / "privacy.json").read_text())
    assert statement["earlier_trainings"] == {
        **statement["earlier_trainings"],
        "count": 1,
        "epsilon_with_this": "infinite",
    }
    assert "has no bound" in (tmp_path / "run" / "model" / "privacy.txt").read_text()
    manifest = (tmp_path / "run" / "model" / "manifest.json").read_text()
    assert str(tmp_path) not in manifest and "orders" not in manifest and "dp_batch_size" in manifest


@pytest.mark.parametrize("by_run", [False, True], ids=["stages", "run"])
@pytest.mark.parametrize("interrupt", [False, True], ids=["complete", "interrupted"])
@pytest.mark.parametrize("first", [False, True], ids=KIND_IDS.get)
def test_one_kind_after_the_other(history, tmp_path, first, interrupt, by_run):
    root = tmp_path
    history(first, interrupt, root)
    before = files_of(root)
    second = config_of(root, not first)
    for begin in (workflow.run, workflow.train) if by_run else (tokenize, train_model):
        with pytest.raises(DataError, match=r"LS204|LS215"):
            begin(second)
    assert files_of(root) == before
    second = second.replace(overwrite=True)
    if by_run:
        workflow.run(second)
    else:
        train_stages(second, interrupt=True)
        assert files_of_other_kind(RunDirectory(root / "run", not first)) == []
        assert (check_statement(root / "run") is not None) == (not first)  # the interrupted model can be used already
        train_model(second)
        generate(second)
    check_kind(root, not first)
    assert (check_statement(root / "run" / "private" / "replaced-1") is not None) == first
    refuse_other_claim(RunDirectory(root / "run"))
    if not first:
        entries = read_ledger(root / "run" / "private" / RUN_LEDGER_FILE, RUN_LEDGER_FILE)
        assert [math.isinf(entry.epsilon) for entry in entries] == [True, False]


@pytest.mark.parametrize("private", [False, True], ids=KIND_IDS.get)
def test_the_same_kind_again_keeps_the_old_model_until_the_new_one_is_complete(history, tmp_path, private):
    root = tmp_path
    history(private, False, root)
    old = read_model_info(root / "run").weights_digest
    again = config_of(root, private, overwrite=True, seed=1)
    tokenize(again)
    assert read_model_info(root / "run").weights_digest == old
    train_model(again)
    assert read_model_info(root / "run").weights_digest != old
    assert not (root / "run" / "private" / "replaced-1").exists()
    if private:  # the records are those of the old model, of which this statement does not speak
        with pytest.raises(DataError, match=r"LS215.*are not of the model beside them"):
            refuse_other_claim(RunDirectory(root / "run"))
    generate(again)
    assert read_manifest(root / "run" / "synthetic")["private"] == private
    check_kind(root, private)
