"""Description of a trained model, `RUN/model/model.json`, and its weights: what generation needs of them."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from linesmith.core.artifacts.checkpoints import digest_arrays, load_arrays
from linesmith.core.artifacts.field_inputs import FieldInputs
from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.artifacts.manifest import FORMAT_VERSION, check_format_version
from linesmith.core.artifacts.stored_arrays import Headers
from linesmith.core.errors import DataError, ParameterError

MODEL_FILE = "model.json"
SCHEMA_FILE = "record.avsc"  # types, limits and names of the fields that training saw
TABLE_FILE = "table.json"  # columns of the data frame that it was trained on (`linesmith.records.table_format`)
ROLES_FILE = "roles.json"  # columns that it was not given (`linesmith.records.roles.stored_roles`)
CARD_FILE = "README.md"  # what the model is, for people (`linesmith.pipelines.cards`)
CHECKPOINTS_DIR = "checkpoints"
LAST_WEIGHTS, BEST_WEIGHTS = "last-weights.npz", "best.npz"
DISCRIMINATOR_FILE = "discriminator.npz"  # beside the weights (`linesmith.model.discriminator`)
_NETWORK_NAME = "language_model"  # of `linesmith.model.training.language_model`; paths of variables begin with it
# Types of texts that a field may be limited to, beside numbers; None: any text.
TEXT_TYPES = (None, "boolean", "date", "timestamp", "local_timestamp")
MAX_PATTERN_CHARS = 10_000  # of the texts of a field
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")


def _check_number_limits(limits: dict[str, Any]) -> dict[str, Any]:
    numbers = [limits.get("least"), limits.get("most")]
    if not all(isinstance(number, str) and _PLAIN_NUMBER.fullmatch(number) for number in numbers):
        raise ValueError("a limit is no decimal number")
    if type(limits.get("scale")) is not int or not 0 <= limits["scale"] <= 20 or type(limits.get("empty")) is not bool:
        raise ValueError("no limits of numbers")
    return limits


def _check_text_limits(limits: dict[str, Any]) -> dict[str, Any]:
    if type(limits.get("empty")) is not bool or limits.get("type") not in TEXT_TYPES:
        raise ValueError("no limits of texts")
    pattern = limits.get("pattern")
    if pattern is not None and (not isinstance(pattern, str) or len(pattern) > MAX_PATTERN_CHARS):
        raise ValueError("no pattern of texts")
    return limits


# Far beyond any model, and small enough that nothing of such a width is too large to be counted.
_Width = Annotated[int, Field(ge=1, le=1 << 24)]
_FieldCount = Annotated[int, Field(ge=1, le=1_000_000)]
_Epoch = Annotated[int, Field(ge=0)]
_NumberLimits = Annotated[dict[str, Any], AfterValidator(_check_number_limits)]
_Pattern = Annotated[str, Field(max_length=MAX_PATTERN_CHARS)]
_TextLimits = Annotated[dict[str, Any], AfterValidator(_check_text_limits)]


@dataclass(frozen=True)
class ModelInfo:
    """Description of a trained model.

    Attributes:
        vocab_size: number of token ids, reserved ones included.
        embedding_dim, rnn_units, rnn_layers: shape of the network.
        length_cap_tokens: length of the longest record that generation may write, in tokens.
        field_count: the number of fields of every training record; None where they differ or there is no delimiter.
        columns: names of the fields, from the configuration or the header; None where unknown.
        tokenizer_digest: digest of the tokenizer that the model was trained with.
        default_checkpoint: 'best' or 'last'.
        weights_digest: digest of the weights of the default checkpoint.
        best_epoch, last_epoch: from 0; None before the first epoch ended.
        stopped: why training ended; None while it is unfinished.
        field_tokens: token ids that each field had in training, where the number of fields is constant; None where that is
            not known, as in private training.
        field_numbers: limits of the numbers of each field (`number_ranges`); None for a field that holds other text; None as
            a whole where nothing is known.
        field_texts: limits of the texts of each field (`text_limits`); None for a field of numbers, or of which nothing is known;
            None as a whole as above, and in models of earlier versions.
        field_patterns: pattern of the usual texts of each field among the model's own records (`usual_texts`), after private
            training only; None for a field without usual texts; None as a whole where nothing is known.
        top_p: share of the probability that tokens are drawn from, unless generation is told otherwise; None: all.
        discriminator: digest of the file of the discriminator of the default checkpoint; None: there is none.
        field_inputs: what the network looks up beside its last token; None for a plain network.
        condition_on: columns that stand first in the ids of a record; None: the ids have the order of `columns`. What is per
            field here, except `columns`, has the order of the ids.
        condition_values: the values of each column of `condition_on` in the training data, as they are spelled there; None for
            a column with too many; None as a whole in private training.
    """

    vocab_size: _Width
    embedding_dim: _Width
    rnn_units: _Width
    rnn_layers: Annotated[int, Field(ge=1, le=16)]
    length_cap_tokens: _Width
    field_count: _FieldCount | None
    columns: list[str] | None
    tokenizer_digest: str
    default_checkpoint: Literal["best", "last"]
    weights_digest: str
    best_epoch: _Epoch | None
    last_epoch: _Epoch | None
    stopped: str | None
    field_tokens: list[list[int]] | None = None
    field_numbers: list[_NumberLimits | None] | None = None
    field_texts: list[_TextLimits | None] | None = None
    field_patterns: list[_Pattern | None] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    discriminator: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    field_inputs: FieldInputs | None = None
    condition_on: list[str] | None = None
    condition_values: list[list[str] | None] | None = None

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the trained variables, by path."""
        gates = 4 * self.rnn_units
        rows = self.vocab_size + (0 if self.field_inputs is None else self.field_inputs.extra_rows)
        shapes: dict[str, tuple[int, ...]] = {"embedding/embeddings": (rows, self.embedding_dim)}
        for layer in range(self.rnn_layers):
            inputs = self.rnn_units if layer else self.embedding_dim
            shapes[f"lstm_{layer}/kernel"] = (inputs, gates)
            shapes[f"lstm_{layer}/recurrent_kernel"] = (self.rnn_units, gates)
            shapes[f"lstm_{layer}/bias"] = (gates,)
        shapes |= {"logits/kernel": (self.rnn_units, self.vocab_size), "logits/bias": (self.vocab_size,)}
        return {f"{_NETWORK_NAME}/{path}": shape for path, shape in shapes.items()}


def write_model_info(model_dir: str | Path, info: ModelInfo) -> None:
    """Write `model.json` atomically; from then on the model can be generated from."""
    described = asdict(info)
    # A model without these is described as ever.
    for name in ("condition_on", "condition_values", "field_patterns", "top_p", "discriminator"):
        if described[name] is None:
            del described[name]
    write_json(Path(model_dir) / MODEL_FILE, {"format_version": FORMAT_VERSION, **described})


def read_model_info(run_dir: str | Path) -> ModelInfo:
    """Read the description of the model in a run directory.

    Raises:
        DataError: LS201, there is no model; LS214, its description is damaged; LS202, a newer Linesmith wrote it.
    """
    path = Path(run_dir) / "model" / MODEL_FILE
    if not path.is_file():
        raise DataError(
            "LS201",
            f"--output (checkpoint_dir) '{run_dir}'",
            f"holds no model: model/{MODEL_FILE} is missing",
            "Give the run directory of a training, or train one first.",
        )
    stored = read_json(path, "the model's description")
    damaged = DataError("LS214", None, f"model file '{path}' is damaged or foreign", "Train again with --overwrite.")
    if not isinstance(stored, dict) or "format_version" not in stored:
        raise damaged
    check_format_version(stored.get("format_version"), str(path))
    names = [field.name for field in fields(ModelInfo)]
    try:
        info = _adapter().validate_python({name: stored[name] for name in names if name in stored})
    except ValidationError:
        raise damaged from None
    if any(ids and not 0 <= min(ids) <= max(ids) < info.vocab_size for ids in info.field_tokens or ()):
        raise damaged
    if info.field_inputs is not None and info.field_inputs.problem(info.vocab_size) is not None:
        raise damaged
    return info


@cache
def _adapter() -> TypeAdapter[ModelInfo]:
    return TypeAdapter(ModelInfo)


def load_weights(run_dir: str | Path, checkpoint: str | None = None) -> dict[str, np.ndarray]:
    """Read the weights of a model.

    Args:
        run_dir: the run directory.
        checkpoint: an epoch's number, 'best' or 'last'; None takes the model's default, whose digest is checked.

    Returns:
        Arrays by path of the variable.

    Raises:
        DataError: LS201, LS202, as `read_model_info`; LS214, the file is missing, damaged, not the one that the model
            describes, or holds numbers that are not finite.
        ParameterError: LS120, there are no weights of that epoch.
    """
    info = read_model_info(run_dir)
    directory = Path(run_dir) / "model" / CHECKPOINTS_DIR
    name = info.default_checkpoint if checkpoint is None else checkpoint
    if name in {"best", "last"}:
        path = directory / (BEST_WEIGHTS if name == "best" else LAST_WEIGHTS)
    elif re.fullmatch("[0-9]{1,9}", name):
        path = directory / f"epoch-{int(name):04d}.npz"
    else:
        raise ParameterError(
            "LS120", f"--checkpoint '{name}'", "not an epoch's number, 'best' or 'last'", "Give one of these."
        )
    if checkpoint is not None and not path.is_file():
        kept = sorted(int(file.stem[6:]) for file in directory.glob("epoch-*.npz") if file.stem[6:].isdecimal())
        raise ParameterError(
            "LS120",
            f"--checkpoint '{name}'",
            f"was not kept; this run keeps {_listed(kept)}",
            "Train with --save-all-checkpoints to keep every epoch.",
        )
    arrays, _ = load_arrays(path, lambda headers: _check_headers(path, headers, info))
    if checkpoint is None and digest_arrays(arrays) != info.weights_digest:
        raise DataError(
            "LS214",
            None,
            f"model file '{path}' is not the one that '{MODEL_FILE}' describes (digests differ)",
            "Restore the run directory or train again with --overwrite.",
        )
    if not all(np.isfinite(array).all() for array in arrays.values()):
        # A NaN that is rounded to an integer silently becomes 0.
        raise DataError("LS214", None, f"model file '{path}' holds weights that are not finite numbers", "Train again.")
    return arrays


def _check_headers(path: Path, headers: Headers, info: ModelInfo) -> None:
    """Refuse weights of other names, shapes or types than the description calls for, before they are allocated."""
    single = np.dtype(np.float32)
    shapes = {name: header.shape for name, header in headers.items()}
    if shapes != info.weight_shapes or any(header.dtype != single for header in headers.values()):
        raise DataError(
            "LS214",
            None,
            f"model file '{path}' does not hold the weights that '{MODEL_FILE}' describes (names or shapes differ)",
            "Restore the run directory or train again with --overwrite.",
        )


def _listed(epochs: list[int]) -> str:
    return ", ".join([*(str(epoch) for epoch in epochs), "best", "last"])
