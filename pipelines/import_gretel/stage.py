"""Import of a gretel-synthetics model: a run directory with tokenizer, weights, description and settings, and without data."""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np

from linesmith.core.artifacts.checkpoints import digest_arrays, save_arrays
from linesmith.core.artifacts.files import sha256_tree
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.artifacts.model_info import BEST_WEIGHTS, CHECKPOINTS_DIR, ModelInfo, write_model_info
from linesmith.core.artifacts.params import PARAMS_FILE, redact_settings, save_params
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.core.library_logging import quiet_calls
from linesmith.pipelines.import_gretel.checkpoint import read_checkpoint
from linesmith.pipelines.import_gretel.folder import GretelFolder, damaged_error, open_folder
from linesmith.pipelines.import_gretel.network import LAYERS, Array, arranged_weights, has_marker, old_shapes
from linesmith.pipelines.import_gretel.vocabulary import Vocabulary, read_vocabulary
from linesmith.pipelines.stage_report import StageReport, measured_stage

STAGE = "import-gretel"
# gretel-synthetics has no limit; without one, a record that does not end would never be given up.
LENGTH_CAP_TOKENS = 4096
_VALIDATOR_FILE = "validator.p.gz"


@quiet_calls()
def import_gretel(model_dir: str, target: str) -> StageReport:
    """Make a run directory of a model folder that gretel-synthetics 0.17 to 0.22 wrote. Nothing in the folder is run.

    Args:
        model_dir: the folder, with `model_params.json`, a tokenizer and a checkpoint of TensorFlow.
        target: the run directory, which must not exist; it appears complete, or not at all.

    Returns:
        Counts of the model, and notices of what is not carried over.

    Raises:
        DataError: LS204, the target exists; LS240, the folder holds no such model; LS241, a file of it is damaged.
        ParameterError: LS118, the target is an address; LS119, it cannot be written.
    """
    with measured_stage(STAGE) as report:
        _check_target(target)
        folder = open_folder(model_dir)
        vocabulary = read_vocabulary(folder)
        arrays = read_checkpoint(folder.path, old_shapes(folder.params, vocabulary))
        config = _settings(folder, vocabulary, target)
        weights = arranged_weights(arrays, vocabulary)
        _publish(folder, vocabulary, config, weights, Path(target))
        report.counts = {
            "tokens": vocabulary.old_size,
            "units": folder.params.rnn_units,
            "weights": sum(array.size for array in arrays.values()),
        }
        report.outputs = {"run directory": target}
        report.notices = _notices(folder, vocabulary)
    return report


def _check_target(target: str) -> None:
    """Refuse a run directory that exists or is not local."""
    option = f"OUT '{target}'"
    if "://" in target:
        raise ParameterError(
            "LS118", option, "not a local path, which this needs", "Give a path, and copy the run directory from there."
        )
    if os.path.lexists(target):
        raise DataError("LS204", option, "exists already", "Give a name that does not exist yet.")


def _settings(folder: GretelFolder, vocabulary: Vocabulary, target: str) -> TensorFlowConfig:
    """Return the settings of the run directory: those of the old training that have a meaning here, and no paths."""
    old, extra = folder.params, int(has_marker(vocabulary))
    kept = (
        "field_delimiter",
        "field_delimiter_token",
        "epochs",
        "batch_size",
        "seq_length",
        "learning_rate",
        "dropout_rate",
    )
    generation = ("gen_temp", "gen_chars", "gen_lines")
    is_characters = folder.tokenizer_type == "CharTokenizerTrainer"
    try:
        return TensorFlowConfig(
            **{name: getattr(old, name) for name in (*kept, *generation)},
            checkpoint_dir=target,
            vocab_size=0 if is_characters else vocabulary.old_size,
            embedding_dim=old.embedding_dim + extra,
            rnn_units=old.rnn_units + extra,
            rnn_layers=LAYERS,
            field_inputs="off",
            columns=folder.headers if old.field_delimiter is not None else None,
        )
    except ParameterError as error:
        raise damaged_error(folder.path / PARAMS_FILE, f"has a setting that cannot be used ({error})") from None


def _publish(
    folder: GretelFolder, vocabulary: Vocabulary, config: TensorFlowConfig, weights: dict[str, Array], target: Path
) -> None:
    """Write everything to a temporary directory beside the target, and rename it.

    Raises:
        DataError: LS204, the target exists by now.
        ParameterError: LS119, it cannot be written.
    """
    scratch = target.absolute().with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        scratch.mkdir(parents=True)
        _write(RunDirectory(scratch), folder, vocabulary, config, weights)
        _check_target(str(target))
        scratch.rename(target)
    except OSError as error:
        raise ParameterError(
            "LS119", f"OUT '{target}'", f"cannot be written ({error.strerror})", "Give a directory you may write to."
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write(
    run: RunDirectory,
    folder: GretelFolder,
    vocabulary: Vocabulary,
    config: TensorFlowConfig,
    weights: dict[str, Array],
) -> None:
    tokenizer = vocabulary.tokenizer
    columns = config.columns
    info = ModelInfo(
        vocab_size=tokenizer.total_vocab_size,
        embedding_dim=config.embedding_dim,
        rnn_units=config.rnn_units,
        rnn_layers=LAYERS,
        length_cap_tokens=LENGTH_CAP_TOKENS,
        field_count=None if columns is None else len(columns),
        columns=columns,
        tokenizer_digest=tokenizer.digest,
        default_checkpoint="best",
        weights_digest="",
        best_epoch=None,
        last_epoch=None,
        stopped="imported",
    )
    prefix = next(iter(info.weight_shapes)).split("/")[0]
    named = {f"{prefix}/{path}": np.asarray(array) for path, array in weights.items()}
    tokenizer.save(run.tokenizer)
    save_arrays(run.model / CHECKPOINTS_DIR / BEST_WEIGHTS, named)
    write_model_info(run.model, replace(info, weights_digest=digest_arrays(named)))
    save_params(config, run.root)
    body = {
        "settings": redact_settings(config.as_dict()),
        "inputs": {"tokenizer_digest": tokenizer.digest},
        "outputs": sha256_tree(run.model / CHECKPOINTS_DIR),
        "imported": {"tool": "gretel-synthetics", "dp": folder.params.dp, "reset_states": folder.params.reset_states},
    }
    write_manifest(run.model, STAGE, body)


def _notices(folder: GretelFolder, vocabulary: Vocabulary) -> list[str]:
    """Return what the user should know: what is not carried over, and what the run directory lacks."""
    params, notices = folder.params, []
    if params.dp:
        notices.append(
            "gretel-synthetics trained this model with differential privacy. Its epsilon is not carried over: Linesmith did not "
            "account for that training, so there is no privacy statement, and nothing is promised about these records"
        )
    if not params.reset_states:
        notices.append(
            "the model was set to go on from one record to the next (reset_states false); here every record is written on its own"
        )
    if params.field_delimiter is not None and vocabulary.tokenizer.field_delimiter is None:
        notices.append(
            "the model writes the field delimiter character by character, so records are not kept to a number of fields while "
            "they are written; those with another number are refused where --columns are given"
        )
    if params.field_delimiter is not None and folder.headers is None:
        notices.append(
            "the folder does not say how many fields a record has: with generate --columns and their names, all records have them"
        )
    if (folder.path / _VALIDATOR_FILE).is_file():
        notices.append(f"{_VALIDATOR_FILE} holds pickled code and was not read; use --line-validator or --rules")
    notices.append("there is no training data: evaluate needs --real, --holdout and --synthetic")
    return notices
