"""The looks of an audit: text canaries through tokenize and train, canary gradients and neighbours inside the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.audit.settings import MAX_RNN_UNITS, AuditSettings

if TYPE_CHECKING:
    from linesmith.model.privacy.audit.gradient_canaries import GradientAudit
    from linesmith.model.privacy.audit.neighbors import NeighborAudit
    from linesmith.model.privacy.audit.text_canaries import Canaries

AUDITED_EPSILON = 2.0  # what canary gradients are looked for under, where the claim is not smaller
_BESIDE_GRADIENTS = 100  # real records: they hardly matter to a coordinate that none of them touches
_EPOCHS = {True: 6, False: 12}  # with and without privacy: seconds, not minutes


def small_config(trained: TensorFlowConfig, place: Path, settings: AuditSettings) -> TensorFlowConfig:
    """The run's settings with a network of at most 64 units, few epochs and no place of its own in a ledger."""
    noised = trained.dp and trained.dp_validation == "noised"
    return trained.replace(
        input_data_path=str(place.parent / "lines.txt"),
        checkpoint_dir=str(place),
        header=False,
        encoding="utf-8",
        max_lines=0,
        holdout_fraction=0.0,
        validation_split=noised,
        best_model_metric=None,
        early_stopping=False,
        rnn_units=min(trained.rnn_units, MAX_RNN_UNITS),
        embedding_dim=min(trained.embedding_dim, MAX_RNN_UNITS),
        epochs=min(trained.epochs, _EPOCHS[trained.dp]),
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
        seed=settings.seed,
    )


def audit_text_canaries(
    trained: TensorFlowConfig, lines: Sequence[str], place: Path, settings: AuditSettings
) -> dict[str, Any]:
    """Plant text canaries into tokenize and train, and attack what comes out."""
    return attack_text_canaries(trained, lines, insert_text_canaries(trained, lines, place, settings), place, settings)


def insert_text_canaries(
    trained: TensorFlowConfig, lines: Sequence[str], place: Path, settings: AuditSettings
) -> Canaries:
    """Make text canaries, and tokenize real records and the included ones."""
    from linesmith.core.config.privacy_checks import user_field_index
    from linesmith.model.privacy.audit.text_canaries import make_canaries
    from linesmith.pipelines.tokenize.stage import tokenize

    config = small_config(trained, place, settings)
    canaries = make_canaries(
        lines,
        settings.canaries,
        settings.seed,
        delimiter=config.field_delimiter,
        quoted=config.quoted,
        key_field=user_field_index(config) if config.dp else None,
        wanted=_falls_on_training(config),
    )
    planted = [text for text, there in zip(canaries.texts, canaries.included, strict=True) if there]
    (place.parent / "lines.txt").write_text("".join(f"{line}\n" for line in [*lines, *planted]), encoding="utf-8")
    tokenize(config)
    return canaries


def attack_text_canaries(
    trained: TensorFlowConfig, lines: Sequence[str], canaries: Canaries, place: Path, settings: AuditSettings
) -> dict[str, Any]:
    """Train on what `insert_text_canaries` tokenized, and look for the canaries in what comes out."""
    from linesmith.core.artifacts.files import read_json
    from linesmith.model.privacy.audit.lower_bound import canary_exposures, lower_bound, membership
    from linesmith.model.privacy.audit.scores import losses, reference_network, trained_network, vocabulary_scores
    from linesmith.model.tokenizers import load_tokenizer
    from linesmith.pipelines.train.stage import train

    config = small_config(trained, place, settings)
    train(config)
    run = RunDirectory(place, config.dp)
    tokenizer = load_tokenizer(run.tokenizer)
    network = trained_network(run.root, config)
    own = losses(network, tokenizer, canaries.texts, config.seq_length)
    scores = {"loss": -own, "vocabulary": vocabulary_scores(tokenizer, canaries.marks)}
    if settings.reference:
        reference = reference_network(config, tokenizer, lines, settings.seed)
        other = losses(reference, tokenizer, canaries.texts, config.seq_length)
        # What neither can write has no loss to compare; the vocabulary tells of it.
        scores["loss against a reference"] = _difference(other, own)
    claim = read_json(run.model / "privacy.json", "the privacy statement") if config.dp else None
    delta = 0.0 if claim is None else float(claim["delta"])
    attacks = []
    for name, values in scores.items():
        found = canary_exposures(values, canaries.included)
        told = {"name": name, "membership": membership(values, canaries.included)}
        attacks.append({**told, "exposure": {"mean": _mean(found), "largest": float(found.max(initial=0.0))}})
    return {
        "claim": None if claim is None else {"epsilon": claim["epsilon"], "delta": delta, "unit": claim["unit"]},
        "canaries": len(canaries.texts),
        "included": int(canaries.included.sum()),
        "records": len(lines),
        "bound": lower_bound(scores, canaries.included, delta).as_dict(),
        "attacks": attacks,
    }


def audit_trainer(
    trained: TensorFlowConfig, lines: Sequence[str], place: Path, settings: AuditSettings
) -> tuple[GradientAudit, NeighborAudit]:
    from linesmith.model.privacy.audit.gradient_canaries import audit_gradients
    from linesmith.model.privacy.audit.neighbors import audit_neighbors
    from linesmith.model.privacy.validation import in_memory_token_store
    from linesmith.model.tokenizers import load_tokenizer

    config = small_config(trained, place, settings)
    # A unit of k records is one canary; whose the real records are does not matter to it. A thousand canaries, all of them
    # guessed right, refute no more than epsilon 5: the same trainer is asked for a claim that can be refuted.
    smaller = min(AUDITED_EPSILON, trained.target_epsilon or AUDITED_EPSILON)
    inside = config.replace(
        dp_validation="budget", privacy_key_field=None, validation_split=False, dp_records_per_user=1,
        dp_noise_multiplier=None, dp_target_epsilon=smaller, dp_max_epsilon=None,
    )  # fmt: skip
    tokenizer = load_tokenizer(RunDirectory(place, config.dp).tokenizer)
    few = lines[:_BESIDE_GRADIENTS]
    store = in_memory_token_store([tokenizer.encode_to_ids(line) for line in few])
    vocab = tokenizer.total_vocab_size
    return (
        audit_gradients(inside, store, vocab, canaries=settings.gradients, seed=settings.seed),
        audit_neighbors(config.replace(privacy_key_field=None, dp_records_per_user=1), vocab),
    )


def _falls_on_training(config: TensorFlowConfig) -> Any:
    """Whether a canary is trained on where it takes part; the split goes by its text, or by its user."""
    from linesmith.core.config.privacy_checks import user_field_index
    from linesmith.records.input.record_format import TRAIN, DatasetSplitter, digest_of, user_digest

    splitter = DatasetSplitter(config.holdout_fraction, config.validation_split)
    field = user_field_index(config) if config.dp else None

    def wanted(text: str) -> bool:
        if field is None or config.field_delimiter is None:
            return splitter.side(digest_of(text.encode())) == TRAIN
        user = user_digest(text, field, config.field_delimiter, config.quoted)
        return user is not None and splitter.side(user) == TRAIN

    return wanted


def _difference(one: Any, other: Any) -> Any:
    import numpy as np

    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(one) & np.isfinite(other), one - other, -np.inf)


def _mean(values: Any) -> float | None:
    return float(values.mean()) if len(values) else None
