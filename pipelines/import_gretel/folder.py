"""What a folder holds that gretel-synthetics wrote: recognized and checked before anything of it is used.

`model_params.json` and `tokenizer_params.json` are read as data. Files that hold code are never opened: `validator.p.gz` and
`idx2char.p`, which says the same as `char2idx.p`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from linesmith.core.artifacts.files import open_regular
from linesmith.core.artifacts.params import PARAMS_FILE
from linesmith.core.artifacts.shapes import Shape
from linesmith.core.errors import DataError
from linesmith.core.parsing import parse_json

TOKENIZER_FILE, HEADERS_FILE, CHECKPOINT_FILE = "tokenizer_params.json", "headers.json", "checkpoint"
_PARENT_FILE = "original_headers.json"  # of a folder with several models
_MAX_JSON_BYTES = 4 << 20
_MAX_WIDTH = 1 << 16
_LSTM_TYPES = (None, "TensorFlowConfig", "LocalConfig")
_TRANSFORMER_FILES = ("config.json", "adapter_config.json", "pytorch_model.bin", "model.safetensors")
_TABULAR_ENDINGS = (".pkl", ".pickle", ".pt", ".pth", ".bin")
_Width = Annotated[int, Field(ge=1, le=_MAX_WIDTH)]
_Count = Annotated[int, Field(ge=0, le=1 << 40)]


class OldParams(Shape):
    """Settings of `model_params.json` that are carried over, with gretel-synthetics' defaults."""

    model_type: str | None = None
    field_delimiter: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    field_delimiter_token: Annotated[str, Field(min_length=1, max_length=100)] = "<d>"
    embedding_dim: _Width = 256
    rnn_units: _Width = 256
    epochs: _Count = 100
    batch_size: _Count = 64
    seq_length: _Count = 100
    learning_rate: float = 0.01
    dropout_rate: float = 0.2
    dp: bool = False
    reset_states: bool = True
    gen_temp: float = 1.0
    gen_chars: _Count = 0
    gen_lines: _Count = 1000


class OldTokenizerParams(Shape):
    """Settings of `tokenizer_params.json`; in folders without one the tokenizer is SentencePiece."""

    tokenizer_type: str = "SentencePieceTokenizerTrainer"


class _Headers(Shape):
    names: list[Annotated[str, Field(min_length=1, max_length=1000)]]


@dataclass(frozen=True)
class GretelFolder:
    """A model folder.

    Attributes:
        path: the folder.
        params: settings of the model.
        tokenizer_type: name of the class that made the tokenizer.
        headers: names of the columns, where a `DataFrameBatch` wrote the folder; None: unknown.
    """

    path: Path
    params: OldParams
    tokenizer_type: str
    headers: list[str] | None


def unfit_error(path: Path, found: str, remedy: str) -> DataError:
    """Return the error for a folder that holds no model that can be imported."""
    return DataError("LS240", f"MODEL_DIR '{path}'", found, remedy)


def damaged_error(path: Path, found: str) -> DataError:
    """Return the error for a file of a model that is missing, damaged, or does not fit the others.

    Args:
        path: the file.
        found: what is wrong with it.
    """
    return DataError(
        "LS241",
        f"MODEL_DIR '{path.parent}'",
        f"'{path.name}' {found}",
        "Copy the folder again from where gretel-synthetics wrote it.",
    )


def open_folder(model_dir: str) -> GretelFolder:
    """Recognize a model folder and read its settings.

    Args:
        model_dir: a local path.

    Raises:
        DataError: LS240, there is no such folder, or it holds something else; LS241, a file is missing or damaged.
    """
    path = Path(model_dir)
    try:
        return _open(model_dir, path)
    except OSError as error:
        raise unfit_error(path, f"cannot be read ({error.strerror})", "Give a folder that you may read.") from None


def _open(model_dir: str, path: Path) -> GretelFolder:
    _refuse_other_places(model_dir, path)
    if not (path / PARAMS_FILE).is_file():
        raise _other_content_error(path)
    stored = _read_json(path / PARAMS_FILE)
    if isinstance(stored, dict) and "format_version" in stored:
        raise unfit_error(path, "a run directory of Linesmith already", "Use it as it is: generate --output.")
    params = _shaped(OldParams, stored, path / PARAMS_FILE)
    if params.model_type not in _LSTM_TYPES:
        raise unfit_error(
            path,
            f"a model of the kind '{params.model_type[:100]}', and only the LSTM of TensorFlowConfig can be imported",
            "Train on the original data: linesmith.fit takes files, lines and data frames.",
        )
    tokenizer, headers = path / TOKENIZER_FILE, None
    kind = (
        _shaped(OldTokenizerParams, _read_json(tokenizer), tokenizer) if tokenizer.is_file() else OldTokenizerParams()
    ).tokenizer_type
    if (path / HEADERS_FILE).is_file():
        headers = _shaped(_Headers, {"names": _read_json(path / HEADERS_FILE)}, path / HEADERS_FILE).names
        if not headers or len(set(headers)) != len(headers):
            raise damaged_error(path / HEADERS_FILE, "names no columns, or one of them twice")
    return GretelFolder(path, params, kind, headers)


def _refuse_other_places(model_dir: str, path: Path) -> None:
    """Refuse what is no local folder."""
    if "://" in model_dir:
        raise unfit_error(path, "an address, and a local folder is needed", "Copy the model folder here first.")
    if path.is_file():
        raise unfit_error(
            path,
            "a file: the LSTM models of gretel-synthetics are folders; its tabular models (ACTGAN, DGAN) are files, and cannot "
            "be imported",
            "Unpack an archive and give the folder that holds model_params.json; in the place of a tabular model, fit the table "
            "with linesmith.fit.",
        )
    if not path.is_dir():
        raise unfit_error(path, "there is no such folder", "Give the checkpoint_dir of a gretel-synthetics model.")


def _other_content_error(path: Path) -> DataError:
    """Return the error for a folder without `model_params.json`, which says what it seems to be."""
    batches = sorted(folder.parent.name for folder in path.glob(f"batch_*/{PARAMS_FILE}"))
    if batches or (path / _PARENT_FILE).is_file():
        return unfit_error(
            path,
            f"a folder of DataFrameBatch with {len(batches)} models, each for some of the columns",
            "Import each batch into a run directory of its own, beginning with "
            f"{path / (batches[0] if batches else 'batch_0')}; or learn all columns together: linesmith.fit(df).",
        )
    names = {file.name for file in path.iterdir() if file.is_file()}
    if names.intersection(_TRANSFORMER_FILES):
        return unfit_error(
            path,
            "a GPT or another transformer model, and only the LSTM of gretel-synthetics can be imported",
            "Train on the original data: linesmith.fit takes files, lines and data frames.",
        )
    if any(name.endswith(_TABULAR_ENDINGS) for name in names):
        return unfit_error(
            path,
            "a tabular model (ACTGAN or DGAN), and only the LSTM of gretel-synthetics can be imported",
            "Fit the table with linesmith.fit(df).",
        )
    return unfit_error(
        path,
        f"no model folder of gretel-synthetics: {PARAMS_FILE} is missing",
        "Give the checkpoint_dir of a model, or copy the folder again if it was cut off.",
    )


def read_file(path: Path, limit: int) -> bytes:
    """Read a file of the folder.

    Args:
        path: of the file.
        limit: most bytes that such a file may have.

    Raises:
        DataError: LS241, it is missing, unreadable, empty or larger.
    """
    try:
        with open_regular(path) as stored:
            content = stored.read(limit + 1)
    except FileNotFoundError:
        raise damaged_error(path, "is missing") from None
    except OSError as error:
        raise damaged_error(path, f"cannot be read ({error.strerror})") from None
    if not content:
        raise damaged_error(path, "is empty")
    if len(content) > limit:
        raise damaged_error(path, f"is larger than {limit:,} bytes, which no such file is")
    return content


def _read_json(path: Path) -> Any:
    try:
        return parse_json(read_file(path, _MAX_JSON_BYTES))
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise damaged_error(path, "is not readable JSON") from None


_ShapeT = TypeVar("_ShapeT", bound=Shape)


def _shaped(shape: type[_ShapeT], value: Any, path: Path) -> _ShapeT:
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        names = sorted({str(problem["loc"][0]) for problem in error.errors() if problem["loc"]})
        found = f"has no usable value for {', '.join(names)}" if names else "is not a JSON object"
        raise damaged_error(path, found) from None
