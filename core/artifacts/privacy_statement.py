"""The privacy statement beside a model: it names the weights it speaks of, and is refused beside any others.

A model has a statement if and only if it was trained with differential privacy. `linesmith.model.privacy.statement` writes it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.checkpoints import digest_arrays, has_checkpoint, load_arrays
from linesmith.core.artifacts.files import read_json, sha256_file
from linesmith.core.artifacts.kept_inputs import INPUTS_DIR, KEPT_FILES
from linesmith.core.artifacts.manifest import MANIFEST, read_manifest
from linesmith.core.artifacts.model_info import (
    BEST_WEIGHTS,
    CARD_FILE,
    CHECKPOINTS_DIR,
    DISCRIMINATOR_FILE,
    LAST_WEIGHTS,
    MODEL_FILE,
    ROLES_FILE,
    SCHEMA_FILE,
    TABLE_FILE,
    ModelInfo,
    load_weights,
    read_model_info,
)
from linesmith.core.artifacts.params import PARAMS_FILE
from linesmith.core.errors import DataError

STATEMENT_FILE, STATEMENT_TEXT_FILE = "privacy.json", "privacy.txt"
_WEIGHTS = rf"{re.escape(BEST_WEIGHTS)}|{re.escape(LAST_WEIGHTS)}|epoch-\d+\.npz"
_PRIVATE_MODEL_FILE = re.compile(
    rf"{re.escape(CARD_FILE)}|{re.escape(MANIFEST)}|{re.escape(MODEL_FILE)}|{re.escape(TABLE_FILE)}|{re.escape(STATEMENT_FILE)}|{re.escape(STATEMENT_TEXT_FILE)}"
    rf"|{re.escape(ROLES_FILE)}"
    rf"|{CHECKPOINTS_DIR}/({_WEIGHTS}|{re.escape(DISCRIMINATOR_FILE)})"
    rf"|{INPUTS_DIR}/({'|'.join(map(re.escape, KEPT_FILES.values()))})"
)


def weights_digests(model_dir: Path) -> dict[str, str]:
    """Return the digest of every file of weights of a model, by name; damaged files are left out.

    Args:
        model_dir: RUN/model.
    """
    digests = {}
    for path in sorted((model_dir / CHECKPOINTS_DIR).glob("*.npz")):
        if re.fullmatch(_WEIGHTS, path.name):
            try:
                digests[path.name] = digest_arrays(load_arrays(path)[0])
            except DataError:  # a resumed training writes it again
                continue
    return digests


def not_permitted_files(model_dir: Path) -> list[str]:
    """Return the files that a model with differential privacy must not have beside it, by relative name.

    Its description, card, weights, statement and manifest depend on the records through charged releases only, and a schema,
    rules and the columns of a data frame that the user gave are configuration. Checkpoints of an unfinished training, a schema
    that was inferred, events and files of unknown origin may not.

    Args:
        model_dir: RUN/model.
    """
    names = (path.relative_to(model_dir).as_posix() for path in model_dir.rglob("*") if not path.is_dir())
    return sorted(name for name in names if not _PRIVATE_MODEL_FILE.fullmatch(name))


def refuse_not_permitted_files(model_dir: Path) -> None:
    """Refuse to complete a model with differential privacy beside files that are no part of it.

    Args:
        model_dir: RUN/model.

    Raises:
        DataError: LS214, there is such a file.
    """
    names = not_permitted_files(model_dir)
    if names:
        raise DataError(
            "LS214",
            None,
            f"'{model_dir / names[0]}' is not a file of a model with differential privacy, whose directory may be released",
            "Delete it or move it elsewhere, and run the same command again.",
        )


def check_statement(run_dir: str | Path, checkpoint: str | None = None) -> dict[str, Any] | None:
    """Return the privacy statement of a model; None where it was trained without differential privacy.

    Args:
        run_dir: the run directory.
        checkpoint: an epoch's number, 'best' or 'last'; None: the model's default.

    Raises:
        DataError: LS201, there is no model; LS214, the statement is missing, or speaks of other weights or another discriminator,
            or stands beside a model that was trained without differential privacy.
    """
    root = Path(run_dir)
    info = read_model_info(root)
    path = root / "model" / STATEMENT_FILE
    if not _settings_say_dp(root / PARAMS_FILE):
        if path.exists():
            raise _does_not_fit(path, "speaks of another training: this model was trained without differential privacy")
        return None
    if not path.is_file():
        raise _does_not_fit(path, "is missing, although the model's settings say dp")
    if (path.parent / SCHEMA_FILE).exists():
        raise _does_not_fit(path, f"does not cover '{SCHEMA_FILE}' beside it, which was inferred from records")
    statement: dict[str, Any] = read_json(path, "the privacy statement")
    if not isinstance(statement, dict) or not isinstance(statement.get("weights", {}), dict):
        raise _does_not_fit(path, "is damaged or foreign")
    if "weights" not in statement:
        if not _is_of_first_edition(root, info):
            raise _does_not_fit(path, "names no weights, and nothing shows that it was written with these")
    elif _digest(root, info, checkpoint) not in statement["weights"].values():
        raise _does_not_fit(path, "speaks of other weights than these")
    if info.discriminator is not None and info.discriminator != _covered_discriminator(statement):
        raise _does_not_fit(path, "speaks of another discriminator than the one beside it, or of none")
    return statement


def covered_weights(statement: dict[str, Any], info: ModelInfo) -> set[str]:
    """Return the digests of the weights that a statement speaks of.

    Args:
        statement: as `check_statement` returns it.
        info: description of the model.
    """
    return set(statement.get("weights", {"": info.weights_digest}).values())


def _covered_discriminator(statement: dict[str, Any]) -> Any:
    described = statement.get("discriminator")
    return described.get("sha256") if isinstance(described, dict) else None


def _settings_say_dp(params: Path) -> bool:
    stored = read_json(params, "the settings of the model")
    return isinstance(stored, dict) and bool(stored.get("dp"))


def _digest(root: Path, info: ModelInfo, checkpoint: str | None) -> str:
    return info.weights_digest if checkpoint is None else digest_arrays(load_weights(root, checkpoint))


def _is_of_first_edition(root: Path, info: ModelInfo) -> bool:
    """Return whether a statement without digests, as the first edition wrote it, is of the weights beside it.

    The settings say dp already, so the last training that began here was private. Where that training ended, its manifest,
    written last, says dp, too, and names the file of weights by its SHA-256. Without a manifest (unfinished, or from an
    archive) the weights could be those of an earlier training without dp. In the first edition such a training left its
    last checkpoint beside the weights and never deleted it, and a private one had none there.
    """
    model = root / "model"
    manifest = read_manifest(model)
    if manifest is None:
        return not has_checkpoint(model / CHECKPOINTS_DIR)
    name = BEST_WEIGHTS if info.default_checkpoint == "best" else LAST_WEIGHTS
    weights = model / CHECKPOINTS_DIR / name
    named = manifest.get("outputs", {}).get(name)
    return bool(manifest.get("settings", {}).get("dp")) and weights.is_file() and sha256_file(weights) == named


def _does_not_fit(path: Path, found: str) -> DataError:
    return DataError(
        "LS214",
        None,
        f"the privacy statement '{path}' {found}",
        "Train again with --overwrite, or restore the run directory.",
    )
