"""Archive of a trained model, one file to give away: what generation needs, the privacy statement, and nothing else.

The archive is a gzip-compressed tar of regular files. `manifest.json` is the first member and lists every other one with its
size and SHA-256. Equal models give equal bytes: members are sorted and carry no time, owner or name of a machine.

An archive never holds training data, rejects, statistics, the history, RUN/private, checkpoints other than the one that
generates, or settings that name files, data sets, validators or keys. It does hold what is part of the model: its vocabulary,
the names and types of its columns, and what its weights have learned.

An archive that is read may be hostile. Anything that is not a regular file of an expected name is refused before it is read:
absolute paths, `..`, links, devices, extended headers, duplicates, and more bytes than the manifest announces or the limits
allow. Settings that would run code or read files are dropped, although no archive that Linesmith wrote has any.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from linesmith.core.artifacts.files import atomic_path, replace_directory, sha256_file
from linesmith.core.artifacts.manifest import FORMAT_VERSION, MANIFEST, check_format_version
from linesmith.core.artifacts.model_info import (
    BEST_WEIGHTS,
    CHECKPOINTS_DIR,
    LAST_WEIGHTS,
    MODEL_FILE,
    SCHEMA_FILE,
    load_weights,
    read_model_info,
)
from linesmith.core.artifacts.other_kind import refuse_foreign_archive
from linesmith.core.artifacts.params import PARAMS_FILE, read_stored_config, releasable_settings
from linesmith.core.artifacts.privacy_statement import STATEMENT_FILE, STATEMENT_TEXT_FILE, check_statement
from linesmith.core.errors import DataError, LinesmithError, ParameterError

KIND = "linesmith-model"
MAX_BYTES = 8 << 30  # of all members together, unpacked
MAX_RATIO = 200  # of unpacked to packed bytes: weights hardly compress
_FREE_BYTES = 64 << 20  # an archive that unpacks to fewer bytes may have any ratio
_MAX_MEMBERS = 64
_MAX_MANIFEST = 1 << 20
_BLOCK = tarfile.BLOCKSIZE
_MODEL_FILES = (MODEL_FILE, SCHEMA_FILE, STATEMENT_FILE, STATEMENT_TEXT_FILE)
_NAME = re.compile(
    rf"{re.escape(PARAMS_FILE)}|model/({'|'.join(map(re.escape, _MODEL_FILES))})"
    rf"|model/{CHECKPOINTS_DIR}/({re.escape(BEST_WEIGHTS)}|{re.escape(LAST_WEIGHTS)})|tokenizer/[A-Za-z0-9_][A-Za-z0-9_.-]{{0,99}}"
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
    load_weights(root)  # checks that they are the ones that the description names
    statement = check_statement(root)
    members = _members(root, info.default_checkpoint)
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


def _members(root: Path, checkpoint: str) -> list[tuple[str, bytes]]:
    weights = BEST_WEIGHTS if checkpoint == "best" else LAST_WEIGHTS
    files = [f"model/{name}" for name in _MODEL_FILES if (root / "model" / name).is_file()]
    files.append(f"model/{CHECKPOINTS_DIR}/{weights}")
    tokenizer = sorted((root / "tokenizer").iterdir())
    files += [f"tokenizer/{file.name}" for file in tokenizer if file.is_file() and not file.name.startswith(".")]
    for name in files:
        # A link may lead to a file that must not leave this machine.
        if _NAME.fullmatch(name) is None or (root / name).resolve() != root.resolve() / name:
            raise DataError("LS214", None, f"'{root / name}' is not a file of a model", "Remove it.")
    members = [(name, (root / name).read_bytes()) for name in files]
    members.append((PARAMS_FILE, _safe_params((root / PARAMS_FILE).read_bytes())))
    return sorted(members)


def _safe_params(content: bytes) -> bytes:
    """Return the settings that the model was made with, without those of generation, paths, names of data, and keys."""
    settings = json.loads(content)
    if not isinstance(settings, dict):
        raise ValueError("no settings")
    return (json.dumps(releasable_settings(settings), indent=2, ensure_ascii=False) + "\n").encode()


def unpack_archive(path: str | Path, run_dir: str | Path) -> bool:
    """Put the model of an archive into a run directory.

    Args:
        path: of the archive, a local file.
        run_dir: the run directory, which must hold no model or the same one.

    Returns:
        False where the run directory holds this very model already.

    Raises:
        ParameterError: LS210, there is no such file.
        DataError: LS210, the archive is damaged, foreign or hostile; LS215, the run directory holds another model, or
            files of a training with privacy where this model has none, or the reverse.
    """
    root, fresh = Path(run_dir), Path(run_dir) / ".adopted"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        manifest = _unpack(Path(path), fresh)
        info = read_model_info(fresh)
        read_stored_config(fresh)
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
            raise _refused(path, "its manifest describes another model")
        refuse_foreign_archive(root, check_statement(fresh) is not None)
        replace_directory(fresh / "tokenizer", root / "tokenizer")
        (fresh / PARAMS_FILE).replace(root / PARAMS_FILE)
        # Last: with a model, the run directory counts as complete.
        replace_directory(fresh / "model", root / "model")
        return True
    except LinesmithError as error:
        if error.code in ("LS210", "LS215"):
            raise
        raise _refused(path, f"its content is no model ({' '.join(str(error).split()[1:12])} …)") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _unpack(path: Path, root: Path) -> dict[str, Any]:
    """Unpack to a new directory, check every member against the manifest, and return the manifest."""
    try:
        packed_bytes = path.stat().st_size
        limit = min(MAX_BYTES, max(_FREE_BYTES, MAX_RATIO * packed_bytes))
        with open(path, "rb") as stored, gzip.GzipFile(fileobj=stored) as packed:
            return _unpack_members(path, cast("IO[bytes]", packed), root, limit)
    except FileNotFoundError:
        raise ParameterError(
            "LS210", f"--model (model_archive) '{path}'", "no such file", "Give an archive that linesmith export wrote."
        ) from None
    except (gzip.BadGzipFile, zlib.error, EOFError, tarfile.TarError, UnicodeError, IsADirectoryError):
        raise _refused(path, "it is no gzip tar archive, or it is cut off") from None


def _unpack_members(path: Path, packed: IO[bytes], root: Path, limit: int) -> dict[str, Any]:
    headers = _headers(path, packed)
    first = next(headers, None)
    if first is None or first.name != MANIFEST or first.size > _MAX_MANIFEST:
        raise _refused(path, f"it does not begin with a {MANIFEST}")
    manifest = _manifest(path, _read(path, packed, first.size), limit)
    expected = dict(manifest["members"])
    for member in headers:
        facts = expected.pop(member.name, None)
        if facts is None or member.size != facts["bytes"]:
            raise _refused(path, f"member '{member.name[:100]}' is not what its manifest lists")
        target = root / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb") as out:
            left = member.size
            while left:
                part = packed.read(min(left, 1 << 20))
                if not part:
                    raise EOFError
                out.write(part)
                left -= len(part)
        _skip_padding(packed, member.size)
        if sha256_file(target) != facts["sha256"]:
            raise _refused(path, f"member '{member.name}' is damaged")
    if expected:
        raise _refused(path, f"member '{min(expected)}' is missing")
    (root / PARAMS_FILE).write_bytes(_checked_params(path, root / PARAMS_FILE))
    return manifest


def _manifest(path: Path, content: bytes, limit: int) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
        if manifest["kind"] != KIND:
            raise ValueError("kind")
        members = manifest["members"]
        total = 0
        for name, facts in members.items():
            if _NAME.fullmatch(name) is None:
                raise _refused(path, f"its manifest lists '{name[:100]}', which is no file of a model")
            if type(facts["bytes"]) is not int or facts["bytes"] < 0 or not isinstance(facts["sha256"], str):
                raise ValueError("member")
            total += facts["bytes"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, LinesmithError):
            raise
        raise _refused(path, f"its {MANIFEST} is not one of ours") from None
    check_format_version(manifest.get("format_version"), str(path))
    if total > limit or len(members) > _MAX_MEMBERS:
        raise _refused(path, f"it would unpack to {total:,} bytes in {len(members)} files, more than is allowed")
    if PARAMS_FILE not in members:
        raise _refused(path, f"it holds no {PARAMS_FILE}")
    return cast("dict[str, Any]", manifest)


def _headers(path: Path, packed: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of the members, in order. The caller must read the data of each before it asks for the next.

    Only plain headers of regular files are accepted: an extended header could hide another name, or a gigabyte of text.
    """
    seen: set[str] = set()
    while True:
        block = _exactly(packed, _BLOCK)
        if block == b"\0" * _BLOCK:
            return
        member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.name.endswith("/"):
            raise _refused(path, f"member '{member.name[:100]}' is no regular file (type {member.type!r})")
        if member.name != MANIFEST and _NAME.fullmatch(member.name) is None:
            raise _refused(path, f"member '{member.name[:100]}' is no file of a model")
        if member.name in seen:
            raise _refused(path, f"member '{member.name}' stands in it twice")
        if member.size < 0 or len(seen) > _MAX_MEMBERS:
            raise _refused(path, "it has too many members, or one of negative size")
        seen.add(member.name)
        yield member


def _read(path: Path, packed: IO[bytes], size: int) -> bytes:
    content = _exactly(packed, size)
    _skip_padding(packed, size)
    return content


def _skip_padding(packed: IO[bytes], size: int) -> None:
    _exactly(packed, -size % _BLOCK)


def _exactly(packed: IO[bytes], count: int) -> bytes:
    content = packed.read(count)
    if len(content) < count:
        raise EOFError
    return content


def _checked_params(path: Path, file: Path) -> bytes:
    try:
        return _safe_params(file.read_bytes())
    except (ValueError, RecursionError):
        raise _refused(path, f"its {PARAMS_FILE} holds no settings") from None


def _refused(path: str | Path, found: str) -> DataError:
    return DataError(
        "LS210", f"--model (model_archive) '{path}'", found, "Give an archive that linesmith export wrote."
    )
