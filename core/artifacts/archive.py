"""Archive of a trained model, one file to give away: what generation needs, the privacy statement, and nothing else.

The archive is a gzip-compressed tar of regular files. `manifest.json` is the first member and lists every other one with its
size and SHA-256. Equal models give equal bytes: members are sorted and carry no time, owner or name of a machine.

An archive never holds training data, rejects, statistics, the history, RUN/private, checkpoints other than the one that
generates, or settings that name files, data sets, validators or keys. It does hold what is part of the model: its vocabulary,
the names and types of its columns, and what its weights have learned.

An archive that is read may be hostile. Anything that is not a regular file of an expected name is refused before it is read:
absolute paths, `..`, links, devices, extended headers, duplicates, and more bytes than the manifest announces or the limits
allow (`linesmith.core.artifacts.archive_reader`). Its weights are loaded once before the run directory has them: no array is
allocated that the model's description does not call for, and none is compressed. Settings that would run code or read files are
dropped, although no archive that Linesmith wrote has any.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.archive_reader import KIND, refused, unpack_members
from linesmith.core.artifacts.files import MAX_JSON_BYTES, atomic_path, replace_directory
from linesmith.core.artifacts.manifest import FORMAT_VERSION, MANIFEST
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
from linesmith.core.artifacts.other_kind import refuse_foreign_archive
from linesmith.core.artifacts.params import PARAMS_FILE, read_stored_config, releasable_settings
from linesmith.core.artifacts.privacy_statement import STATEMENT_FILE, STATEMENT_TEXT_FILE, check_statement
from linesmith.core.errors import DataError, LinesmithError
from linesmith.core.parsing import parse_json

_MAX_PARAMS_BYTES = 1 << 20
_MODEL_FILES = (CARD_FILE, MODEL_FILE, ROLES_FILE, SCHEMA_FILE, TABLE_FILE, STATEMENT_FILE, STATEMENT_TEXT_FILE)
_WEIGHTS = (BEST_WEIGHTS, LAST_WEIGHTS, DISCRIMINATOR_FILE)
_NAME = re.compile(
    rf"{re.escape(PARAMS_FILE)}|model/({'|'.join(map(re.escape, _MODEL_FILES))})"
    rf"|model/{CHECKPOINTS_DIR}/({'|'.join(map(re.escape, _WEIGHTS))})|tokenizer/[A-Za-z0-9_][A-Za-z0-9_.-]{{0,99}}"
)


def write_archive(run_dir: str | Path, path: str | Path) -> dict[str, Any]:
    """Pack the model of a run directory.

    Args:
        run_dir: the run directory.
        path: of the archive, which is written atomically.

    Returns:
        The manifest of the archive.

    Raises:
        DataError: LS201, there is no complete model; LS214, its files are damaged, or its privacy statement is of others.
        ParameterError: LS101, its settings cannot be used.
    """
    root = Path(run_dir)
    info = read_model_info(root)
    if info.stopped is None:
        raise DataError(
            "LS201",
            None,
            f"'{root}' holds no complete model to export; its training has not ended",
            "Run it again to finish it.",
        )
    read_stored_config(root)
    load_weights(root)  # checks that they are the ones that the description names
    statement = check_statement(root)
    members = _members(root, info)
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "weights_digest": info.weights_digest,
        "tokenizer_digest": info.tokenizer_digest,
        "private": statement is not None,
        "members": {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in members},
    }
    content = (json.dumps(manifest, indent=2) + "\n").encode()
    with (
        atomic_path(path) as temporary,
        open(temporary, "wb") as out,
        # The default time and name would make the bytes of equal archives differ.
        gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0, compresslevel=6) as packed,
        tarfile.open(mode="w", fileobj=packed, format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, data in [(MANIFEST, content), *members]:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return manifest


def _members(root: Path, info: ModelInfo) -> list[tuple[str, bytes]]:
    weights = BEST_WEIGHTS if info.default_checkpoint == "best" else LAST_WEIGHTS
    files = [f"model/{name}" for name in _MODEL_FILES if (root / "model" / name).is_file()]
    learned = [weights] if info.discriminator is None else [weights, DISCRIMINATOR_FILE]
    files += [f"model/{CHECKPOINTS_DIR}/{name}" for name in learned]
    if not (root / "tokenizer").is_dir():
        raise DataError("LS201", None, f"'{root}' holds no tokenizer", "Run tokenize first.")
    tokenizer = sorted((root / "tokenizer").iterdir())
    files += [f"tokenizer/{file.name}" for file in tokenizer if file.is_file() and not file.name.startswith(".")]
    for name in files:
        # A link may lead to a file that must not leave this machine.
        is_too_long = not name.endswith(".npz") and (root / name).stat().st_size > MAX_JSON_BYTES
        if _NAME.fullmatch(name) is None or is_too_long or (root / name).resolve() != root.resolve() / name:
            raise DataError("LS214", None, f"'{root / name}' is not a file of a model", "Remove it.")
    members = [(name, (root / name).read_bytes()) for name in files]
    members.append((PARAMS_FILE, _safe_params((root / PARAMS_FILE).read_bytes())))
    return sorted(members)


def _safe_params(content: bytes) -> bytes:
    """Return the settings that the model was made with, without those of generation, paths, names of data, and keys."""
    settings = parse_json(content)
    if not isinstance(settings, dict):
        raise ValueError("no settings")
    return (json.dumps(releasable_settings(settings), indent=2, ensure_ascii=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def unpack_archive(
    path: str | Path, run_dir: str | Path, check_tokenizer: Callable[[Path], None] = lambda directory: None
) -> bool:
    """Put the model of an archive into a run directory.

    Args:
        path: of the archive, a local file.
        run_dir: the run directory, which must hold no model or the same one.
        check_tokenizer: called with the unpacked directory before the run directory is touched; raises a LinesmithError where
            the tokenizer in it cannot be used.

    Returns:
        False where the run directory holds this very model already.

    Raises:
        ParameterError: LS210, there is no such file.
        DataError: LS210, the archive is damaged, foreign or hostile; LS215, the run directory holds another model, or
            files of a training with privacy where this model has none, or the reverse.
    """
    root, fresh = Path(run_dir), Path(run_dir) / ".adopted"
    shutil.rmtree(fresh, ignore_errors=True)
    if fresh.is_symlink():  # of a run directory from somebody else; unpacking would follow it
        fresh.unlink()
    try:
        manifest = unpack_members(Path(path), fresh, _NAME)
        (fresh / PARAMS_FILE).write_bytes(_checked_params(Path(path), fresh / PARAMS_FILE))
        info = read_model_info(fresh)
        load_weights(fresh)
        read_stored_config(fresh)
        if not (fresh / "tokenizer").is_dir():
            raise refused(path, "it holds no tokenizer")
        check_tokenizer(fresh)
        if (root / "model" / MODEL_FILE).exists():
            present = read_model_info(root)
            if (present.weights_digest, present.tokenizer_digest) == (info.weights_digest, info.tokenizer_digest):
                return False
            raise DataError(
                "LS215",
                f"--model (model_archive) '{path}'",
                f"'{root}' holds another model than the archive",
                "Choose another --output.",
            )
        if (info.weights_digest, info.tokenizer_digest) != (
            manifest.get("weights_digest"),
            manifest.get("tokenizer_digest"),
        ):
            raise refused(path, "its manifest describes another model")
        refuse_foreign_archive(root, check_statement(fresh) is not None)
        replace_directory(fresh / "tokenizer", root / "tokenizer")
        (fresh / PARAMS_FILE).replace(root / PARAMS_FILE)
        # Last: with a model, the run directory counts as complete.
        replace_directory(fresh / "model", root / "model")
        return True
    except LinesmithError as error:
        if error.code in ("LS210", "LS215"):
            raise
        raise refused(path, f"its content is no model ({' '.join(str(error).split()[1:12])} …)") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _checked_params(path: Path, file: Path) -> bytes:
    try:
        if file.stat().st_size > _MAX_PARAMS_BYTES:
            raise ValueError("too long")
        return _safe_params(file.read_bytes())
    except (ValueError, FileNotFoundError):
        raise refused(path, f"its {PARAMS_FILE} holds no settings") from None
