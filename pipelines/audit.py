"""audit: what training in this way lets out, measured by planting what can be looked for, beside what is claimed.

Three looks. Text canaries go with real records through the same tokenize and train as any input, and are looked for in what
comes out. With differential privacy, canary gradients go into the trainer's sums, and neighbouring data sets through its
clipping. All of it on a few records and a small network of the run's own settings, so that it takes seconds: what is audited is
the way of training, not the one model that lies there.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import TensorFlowConfig
from model.config_io import config_from_model_dir
from model.errors import EXIT_QUALITY, DataError, ParameterError
from model.files import replace_directory, write_json
from model.manifest import FORMAT_VERSION, read_manifest, versions, write_manifest
from model.run_dir import RunDirectory, locked, refuse_complete, run_directory
from pipelines.audit_words import findings, verdict
from pipelines.evaluation_update import PAGE, update_page
from pipelines.report import StageReport, measured

if TYPE_CHECKING:
    from model.audit_gradient import GradientAudit
    from model.audit_neighbour import NeighbourAudit

AUDIT = "audit.json"
AUDIT_VERSION = 1
MOST_RECORDS, MOST_CANARIES, MOST_UNITS = 2_000, 1_000, 64
AUDITED_EPSILON = 2.0  # what canary gradients are looked for under, where the claim is not smaller
_BESIDE_GRADIENTS = 100  # real records: they hardly matter to a coordinate that none of them touches
_EPOCHS = {True: 6, False: 12}  # with and without privacy: seconds, not minutes


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """What may be chosen.

    Attributes:
        records: real records, canaries apart.
        canaries: text canaries; half of them take part.
        gradients: canary gradients.
        seed: of coins, canaries and the network. Secret draws of private training do not follow it.
        reference: train a second model without canaries, to compare losses with.
        overwrite: replace an audit that is there.
    """

    records: int = 600
    canaries: int = 400
    gradients: int = 1_000
    seed: int = 0
    reference: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, value, most in (
            ("records", self.records, MOST_RECORDS),
            ("canaries", self.canaries, MOST_CANARIES),
            ("gradients", self.gradients, MOST_CANARIES),
        ):
            if not 10 <= value <= most:
                raise ParameterError(f"LS117: --{name} is {value}; give a number from 10 to {most:,}.", code="LS117")
        if self.records + self.canaries > MOST_RECORDS:
            raise ParameterError(
                f"LS117: --records {self.records} and --canaries {self.canaries} are more than {MOST_RECORDS:,} together.",
                code="LS117",
            )


def audit(config: TensorFlowConfig, settings: AuditSettings | None = None) -> StageReport:
    """Audit the way in which a run directory's model was trained. The result goes to `audit/`, with privacy to `private/audit/`.

    Exit code 3 where a claim is refuted.

    Raises:
        ParameterError: an optional package is missing.
        DataError: training data are missing or too few, an audit is there already, or another process writes.
    """
    settings = settings or AuditSettings()
    run = check_audit(config, settings)
    trained = config_from_model_dir(run.root)
    with locked(run), measured("audit") as report:
        place = run.raw / "audit"
        scratch = run.temporary / "audit"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            lines = training_lines(run, scratch, settings.records)
            body = run_audit(trained, lines, scratch, settings)
            new = scratch / "new"
            new.mkdir()
            write_json(new / AUDIT, body)
            replace_directory(new, place)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        write_manifest(place, "audit", {"complete": True, "verdict": body["verdict"]})
        _fill_report(report, body, place)
        if update_page(run, body):
            report.outputs["report"] = str(run.raw / "report" / PAGE)
    return report


def check_audit(config: TensorFlowConfig, settings: AuditSettings) -> RunDirectory:
    """The run directory of an audit that can be made; cheap.

    Raises:
        ParameterError: an optional package is missing.
        DataError: there is no run, or an audit already.
    """
    _check_libraries()
    root = run_directory(config).root
    run = RunDirectory(root, config_from_model_dir(root).dp)
    refuse_complete(run.raw / "audit", "audit", settings.overwrite)
    return run


def run_audit(
    trained: TensorFlowConfig, lines: Sequence[str], scratch: Path, settings: AuditSettings
) -> dict[str, Any]:
    """The content of `audit.json`.

    Args:
        trained: settings of the run.
        lines: real records.
        scratch: an empty directory to work in.
    """
    text = audit_texts(trained, lines, scratch / "run", settings)
    gradients = neighbours = None
    if trained.dp:
        gradients, neighbours = _look_inside(trained, lines, scratch / "run", settings)
    body: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "audit_version": AUDIT_VERSION,
        "contains_raw_data": False,
        "claim": text.pop("claim"),
        "text": text,
        "gradients": None if gradients is None else {**asdict(gradients), "refuted": gradients.refuted},
        "neighbours": None if neighbours is None else {**asdict(neighbours), "refuted": neighbours.refuted},
        "settings": asdict(settings),
        "versions": versions(),
    }
    return {**body, **verdict(body)}


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
        rnn_units=min(trained.rnn_units, MOST_UNITS),
        embedding_dim=min(trained.embedding_dim, MOST_UNITS),
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


def audit_texts(
    trained: TensorFlowConfig, lines: Sequence[str], place: Path, settings: AuditSettings
) -> dict[str, Any]:
    """Plant text canaries into tokenize and train, and attack what comes out."""
    from model.audit_bound import exposures, lower_bound, membership
    from model.audit_canaries import make_canaries
    from model.audit_scores import losses, reference_network, trained_network, vocabulary_scores
    from model.files import read_json
    from model.privacy_checks import key_field_number
    from model.tokenizers import load_tokenizer
    from pipelines import workflow

    config = small_config(trained, place, settings)
    canaries = make_canaries(
        lines,
        settings.canaries,
        settings.seed,
        delimiter=config.field_delimiter,
        quoted=config.quoted,
        key_field=key_field_number(config) if config.dp else None,
        wanted=_falls_on_training(config),
    )
    planted = [text for text, there in zip(canaries.texts, canaries.included, strict=True) if there]
    (place.parent / "lines.txt").write_text("".join(f"{line}\n" for line in [*lines, *planted]), encoding="utf-8")
    workflow.train(config)
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
        found = exposures(values, canaries.included)
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


def _look_inside(
    trained: TensorFlowConfig, lines: Sequence[str], place: Path, settings: AuditSettings
) -> tuple[GradientAudit, NeighbourAudit]:
    from model.audit_gradient import audit_gradients
    from model.audit_neighbour import audit_neighbours
    from model.private_validation import memory_store
    from model.tokenizers import load_tokenizer

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
    store = memory_store([tokenizer.encode_to_ids(line) for line in few])
    vocab = tokenizer.total_vocab_size
    return (
        audit_gradients(inside, store, vocab, canaries=settings.gradients, seed=settings.seed),
        audit_neighbours(config.replace(privacy_key_field=None, dp_records_per_user=1), vocab),
    )


def training_lines(run: RunDirectory, scratch: Path, count: int) -> list[str]:
    """Some of the records that a run was trained on: those of the lowest hash.

    Raises:
        DataError: there are no training data, or fewer than ten.
    """
    from model.token_store import build_token_store
    from model.tokenizers import load_tokenizer

    data = read_manifest(run.training_data)
    if data is None:
        raise DataError(
            f"LS201: '{run.training_data}' holds no training data, from which canaries are made; audit where the run was made.",
            code="LS201",
        )
    tokenizer = load_tokenizer(run.tokenizer)
    store = build_token_store(
        sorted(run.training_data.glob("train-*.tfrecord.gz")),
        scratch / "ids",
        vocab_size=tokenizer.total_vocab_size,
        expected=data["counts"]["splits"]["train"]["records"],
    )
    if len(store) < 10:
        raise DataError(f"LS207: {len(store)} training records are too few to plant canaries among.", code="LS207")
    ranks = range(min(count, len(store)))
    return [tokenizer.decode_from_ids([int(i) for i in store.record(rank)[1:-1]]) for rank in ranks]


def _falls_on_training(config: TensorFlowConfig) -> Any:
    """Whether a canary is trained on where it takes part; the split goes by its text, or by its user."""
    from model.privacy_checks import key_field_number
    from model.records import TRAIN, Splitter, digest_of, user_of

    splitter = Splitter(config.holdout_fraction, config.validation_split)
    field = key_field_number(config) if config.dp else None

    def wanted(text: str) -> bool:
        if field is None or config.field_delimiter is None:
            return splitter.side(digest_of(text.encode())) == TRAIN
        user = user_of(text, field, config.field_delimiter, config.quoted)
        return user is not None and splitter.side(user) == TRAIN

    return wanted


def _difference(one: Any, other: Any) -> Any:
    import numpy as np

    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(one) & np.isfinite(other), one - other, -np.inf)


def _mean(values: Any) -> float | None:
    return float(values.mean()) if len(values) else None


def _check_libraries() -> None:
    if find_spec("scipy") is None:
        raise ParameterError(
            "LS106: audit needs scipy, which is not installed: pip install 'linesmith[evaluate]'.", code="LS106"
        )


def _fill_report(report: StageReport, body: dict[str, Any], place: Path) -> None:
    claim, inside = body["claim"], body["gradients"]
    report.counts["epsilon proved by text canaries"] = round(body["text"]["bound"]["epsilon"], 3)
    report.counts["claimed"] = "nothing" if claim is None else round(float(claim["epsilon"]), 3)
    if inside is not None:
        report.counts["epsilon proved by canary gradients"] = round(inside["bound"]["epsilon"], 3)
        report.counts["claimed for them"] = round(inside["epsilon"], 3)
    report.outputs = {"audit": str(place / AUDIT)}
    report.notices = [body["verdict"], *findings(body)]
    if body["refuted"]:
        report.exit_code = EXIT_QUALITY
