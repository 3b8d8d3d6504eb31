"""Attacks of an audit: text canaries through tokenize and train, canary gradients and neighboring data in the trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.run_directory import run_directory
from linesmith.core.config.input_format import TEXT
from linesmith.core.config.privacy_checks import user_field_index
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.audit.settings import MAX_RNN_UNITS, AuditSettings
from linesmith.records.fields import FieldFormat

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from linesmith.model.privacy.audit.gradient_canaries import GradientAudit
    from linesmith.model.privacy.audit.neighbors import NeighborAudit
    from linesmith.model.privacy.audit.text_canaries import Canaries

MAX_AUDITED_EPSILON = 2.0  # the largest claim that canary gradients are asked to refute
_LINES_FILE = "lines.txt"  # beside the run directory that is audited
_RECORDS_WITH_GRADIENTS = 100  # real records beside canary gradients, whose coordinates they hardly touch
_MAX_EPOCHS = {True: 6, False: 12}  # with and without privacy: an audit takes seconds, not minutes


def small_config(trained: TensorFlowConfig, directory: Path, seed: int) -> TensorFlowConfig:
    """Return a run's settings with a network of at most 64 units, few epochs and no entry in a ledger.

    Args:
        trained: settings of the audited run.
        directory: run directory of the audit; its input is a file beside it.
        seed: public seed; the secret draws of private training do not depend on it.
    """
    # The names of columns that stood in a header are not in the lines.
    unnamed = {} if trained.columns is not None else {"parents": None, "differences": None}
    noised = trained.dp and trained.dp_validation == "noised"
    return trained.replace(
        input_data_path=str(directory.parent / _LINES_FILE),
        checkpoint_dir=str(directory),
        input_format=TEXT,  # the records as they were learned, one a line
        header=False,
        condition_on=None,  # a small model of its own, whose attacks do not depend on the order of the fields
        **unnamed,
        encoding="utf-8",
        max_lines=0,
        sample_rows=None,
        holdout_fraction=0.0,
        validation_split=noised,
        best_model_metric=None,
        early_stopping=False,
        rnn_units=min(trained.rnn_units, MAX_RNN_UNITS),
        embedding_dim=min(trained.embedding_dim, MAX_RNN_UNITS),
        epochs=min(trained.epochs, _MAX_EPOCHS[trained.dp]),
        max_training_time_seconds=None,
        dp_batch_size=None,
        dp_unsafe_fixed_key=None,
        privacy_ledger=None,
        dataset_name=None,
        save_all_checkpoints=False,
        tensorboard=False,
        epoch_callback=None,
        report=False,
        overwrite=True,
        seed=seed,
    )


def insert_text_canaries(config: TensorFlowConfig, lines: Sequence[str], settings: AuditSettings) -> Canaries:
    """Make text canaries, and tokenize the included ones together with real records.

    Args:
        config: from `small_config`.
        lines: real records.
        settings: number of canaries, and seed.

    Returns:
        All canaries, included or not.
    """
    from linesmith.model.privacy.audit.text_canaries import make_canaries
    from linesmith.pipelines.tokenize.stage import tokenize

    canaries = make_canaries(
        lines,
        settings.canaries,
        settings.seed,
        fields=FieldFormat(config.field_delimiter, config.quoted),
        key_field=user_field_index(config) if config.dp else None,
        accepts=_is_on_training_side(config),
    )
    inserted = [text for text, included in zip(canaries.texts, canaries.included, strict=True) if included]
    path = run_directory(config).root.parent / _LINES_FILE
    path.write_text("".join(f"{line}\n" for line in [*lines, *inserted]), encoding="utf-8")
    tokenize(config)
    return canaries


def attack_text_canaries(
    config: TensorFlowConfig, lines: Sequence[str], canaries: Canaries, settings: AuditSettings
) -> dict[str, Any]:
    """Train on what `insert_text_canaries` tokenized, and attack the model and its vocabulary.

    Args:
        config: from `small_config`.
        lines: real records.
        canaries: from `insert_text_canaries`.
        settings: whether to train a reference, and its seed.

    Returns:
        The claim (None without privacy), and the results of all attacks, as `audit.json` holds them.
    """
    from linesmith.core.artifacts.files import read_json
    from linesmith.core.artifacts.shapes import Claim
    from linesmith.model.privacy.audit.lower_bound import canary_exposures, lower_bound, membership_attack
    from linesmith.model.privacy.audit.scores import reference_network, vocabulary_scores
    from linesmith.model.tokenizers import load_tokenizer
    from linesmith.model.training.text_losses import load_trained_network, text_losses
    from linesmith.pipelines.train.stage import train_model

    train_model(config)
    run = run_directory(config)
    tokenizer = load_tokenizer(run.tokenizer)
    network = load_trained_network(run.root, config)
    losses = text_losses(network, tokenizer, canaries.texts, config.seq_length)
    scores = {"loss": -losses, "vocabulary": vocabulary_scores(tokenizer, canaries.unique_characters)}
    if settings.reference:
        reference = reference_network(config, tokenizer, lines, settings.seed, network.layout)
        reference_losses = text_losses(reference, tokenizer, canaries.texts, config.seq_length)
        scores["loss against a reference"] = _loss_reduction(reference_losses, losses)
    claim = read_json(run.model / "privacy.json", "the privacy statement", Claim) if config.dp else None
    delta = 0.0 if claim is None else float(claim["delta"])
    attacks = []
    for name, values in scores.items():
        exposures = canary_exposures(values, canaries.included)
        exposure = {"mean": _mean(exposures), "largest": float(exposures.max(initial=0.0))}
        attacks.append({"name": name, "membership": membership_attack(values, canaries.included), "exposure": exposure})
    return {
        "claim": None if claim is None else {"epsilon": claim["epsilon"], "delta": delta, "unit": claim["unit"]},
        "canaries": len(canaries.texts),
        "included": int(canaries.included.sum()),
        "records": len(lines),
        "bound": lower_bound(scores, canaries.included, delta).as_dict(),
        "attacks": attacks,
    }


def audit_trainer(
    config: TensorFlowConfig, lines: Sequence[str], settings: AuditSettings
) -> tuple[GradientAudit, NeighborAudit]:
    """Attack the private trainer itself: with canary gradients, and with data sets that differ in one record.

    Args:
        config: from `small_config`, with `dp`; its run directory holds a tokenizer.
        lines: real records.
        settings: number of canary gradients, and seed.
    """
    from linesmith.model.privacy.audit.gradient_canaries import audit_gradients
    from linesmith.model.privacy.audit.neighbors import audit_neighbors
    from linesmith.model.tokenizers import load_tokenizer
    from linesmith.model.training.token_store import in_memory_token_store

    # A thousand canaries, all of them guessed right, refute no more than epsilon 5: the same trainer runs under a claim that
    # can be refuted. A unit of k records is one canary, so that here each record is a unit. Only steps are attacked.
    gradient_config = config.replace(
        discriminator=False,
        dp_validation="budget",
        privacy_key_field=None,
        validation_split=False,
        dp_records_per_user=1,
        dp_noise_multiplier=None,
        dp_target_epsilon=min(MAX_AUDITED_EPSILON, config.target_epsilon or MAX_AUDITED_EPSILON),
        dp_max_epsilon=None,
    )
    neighbor_config = config.replace(discriminator=False, privacy_key_field=None, dp_records_per_user=1)
    tokenizer = load_tokenizer(run_directory(config).tokenizer)
    store = in_memory_token_store([tokenizer.encode_to_ids(line) for line in lines[:_RECORDS_WITH_GRADIENTS]])
    vocab_size = tokenizer.total_vocab_size
    return (
        audit_gradients(gradient_config, store, vocab_size, canaries=settings.gradients, seed=settings.seed),
        audit_neighbors(neighbor_config, vocab_size),
    )


def _is_on_training_side(config: TensorFlowConfig) -> Callable[[str], bool]:
    """Return whether an included canary would be trained on; the split goes by its text, or by its user."""
    from linesmith.records.input.record_format import TRAIN, DatasetSplitter, record_digest, user_digest

    splitter = DatasetSplitter(config.holdout_fraction, config.validation_split)
    user_field = user_field_index(config) if config.dp else None

    def is_on_training_side(text: str) -> bool:
        if user_field is None or config.field_delimiter is None:
            return splitter.split_of(record_digest(text.encode())) == TRAIN
        user = user_digest(text, user_field, FieldFormat(config.field_delimiter, config.quoted))
        return user is not None and splitter.split_of(user) == TRAIN

    return is_on_training_side


def _loss_reduction(reference: npt.NDArray[np.float64], losses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return by how much each loss is below that of the reference; minus infinity where either is infinite.

    A text that a vocabulary cannot encode has no loss to compare; the attack on the vocabulary covers it.
    """
    import numpy as np

    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(reference) & np.isfinite(losses), reference - losses, -np.inf)


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
