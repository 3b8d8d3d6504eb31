"""Write run directories as trainings leave them, of a few small files and without training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from linesmith.core.artifacts.checkpoints import digest_arrays, save_arrays
from linesmith.core.artifacts.files import sha256_tree, write_bytes, write_json
from linesmith.core.artifacts.history import EpochState, write_history
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.artifacts.model_info import BEST_WEIGHTS, CHECKPOINTS_DIR, LAST_WEIGHTS, ModelInfo, write_model_info
from linesmith.core.artifacts.params import save_params
from linesmith.core.artifacts.privacy_statement import weights_digests
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig

_INFO = ModelInfo(9, 1, 1, 1, 9, None, None, "t", "best", "", 0, 0, None)
STATES = ("tokenized", "begun", "interrupted", "trained", "complete")


def write_run(root: Path, *, private: bool, state: str = "complete", value: float = 1.0) -> RunDirectory:
    """Write a run directory up to a state, one of `STATES`.

    Args:
        root: the directory.
        private: whether training has differential privacy.
        state: 'begun' is before the first epoch ended, 'complete' has records and a report, too.
        value: all weights have it, so that other values are other models.
    """
    run, at_least = RunDirectory(root, private), STATES.index(state)
    write_manifest(run.training_data, "tokenize", {"settings": {}})
    write_bytes(run.rejects / "part-00000-of-00001.jsonl", b"raw")
    write_bytes(run.tokenizer / "vocabulary.json", b"{}")
    if at_least >= 1:
        save_params(TensorFlowConfig(checkpoint_dir=root, dp=private, vocab_size=0), root)
        resume = run.raw / "training" if private else run.model / CHECKPOINTS_DIR
        save_arrays(resume / "last.npz", {"w": np.zeros(3)}, {"state": "of every record"})
        if private:
            write_json(run.private_counts, {})
            write_statement(run, {})
    if at_least >= 2:
        write_weights(run, private=private, value=value, stopped="epochs" if at_least >= 3 else None)
        loss = {"epsilon": 1.0, "delta": 1e-6} if private else {"loss": 2.0, "accuracy": 0.5}
        write_history(run.history, [EpochState(0, **loss)], 0)
    if at_least >= 3:
        outputs = sha256_tree(run.model / CHECKPOINTS_DIR)
        write_manifest(run.model, "train", {"settings": {"dp": private}, "outputs": outputs})
        if not private:
            write_bytes(run.model / "tensorboard" / "events.out.tfevents.1.host", b"losses")
    if at_least >= 4:
        write_records(run, private)
        write_manifest(run.raw / "report", "evaluate", {})
        write_bytes(run.raw / "report" / "index.html", b"raw")
        write_manifest(run.raw / "audit", "audit", {})
    return run


def network_weights(value: float) -> dict[str, np.ndarray]:
    """Return weights of the model that `write_weights` describes; all have one value."""
    return {path: np.full(shape, value, np.float32) for path, shape in _INFO.weight_shapes.items()}


def write_weights(run: RunDirectory, *, private: bool, value: float = 1.0, stopped: str | None = "epochs") -> None:
    """Write weights, a model's description and, for a private model, the statement."""
    weights = network_weights(value)
    for name in (BEST_WEIGHTS, LAST_WEIGHTS):
        save_arrays(run.model / CHECKPOINTS_DIR / name, weights)
    if private:
        write_statement(run, weights_digests(run.model))
    write_model_info(run.model, replace(_INFO, weights_digest=digest_arrays(weights), stopped=stopped))


def write_statement(run: RunDirectory, weights: dict[str, str] | None) -> None:
    """Write a statement of these weights; None: of the first edition, which names none."""
    named = {} if weights is None else {"weights": weights}
    write_json(run.model / "privacy.json", {"format_version": 1, **named})
    write_bytes(run.model / "privacy.txt", b"epsilon 8")


def write_records(run: RunDirectory, private: bool | None) -> None:
    """Write generated records of the model; private None: as the first edition did, without saying of which kind."""
    kind = {} if private is None else {"private": private}
    digest = json.loads((run.model / "model.json").read_text())["weights_digest"]
    write_manifest(run.synthetic, "generate", {**kind, "model": {"weights_digest": digest}})
    write_bytes(run.synthetic / "part-00000-of-00001.txt", b"made")
    write_manifest(run.invalid, "generate", kind)


def files_of(root: Path, *, outside: str | None = None) -> set[str]:
    """Return the relative names of all files but locks, those in a directory left out where one is given."""
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    kept = {name for name in names if not name.endswith(".lock")}
    return kept if outside is None else {name for name in kept if not name.startswith(f"{outside}/")}
