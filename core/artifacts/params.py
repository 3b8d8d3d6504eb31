"""Settings from and to files: YAML or JSON by hand, `model_params.json` by Linesmith or by the older tool."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from linesmith.core.addresses import redact_address, redact_text
from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.artifacts.kept_inputs import refused_text, usable_settings
from linesmith.core.artifacts.manifest import FORMAT_VERSION, check_format_version
from linesmith.core.config.column_roles import without_references
from linesmith.core.config.setting_field import default_of, stage_of
from linesmith.core.config.tensorflow_config import (
    SETTINGS_WITHOUT_EFFECT,
    TensorFlowConfig,
    fields,
    path_settings,
    with_home,
)
from linesmith.core.errors import DataError, ParameterError
from linesmith.core.parsing import DocumentError, parse_json, parse_yaml, read_text

PARAMS_FILE = "model_params.json"
_log = logging.getLogger("linesmith")

# Settings of the older tool that no longer have an effect.
_IGNORED = {
    "training_data_path": "the training data always lies in the run directory",
    "model_type": "there is one kind of model",
}
_OLD_DP_LEARNING_RATE = 0.001
# Settings of training, beside paths, that name people's data or a key, or belong to one run.
_NOT_RELEASABLE = {"dp_unsafe_fixed_key", "dataset_name", "input_catalog", "input_row_filter", "overwrite"}


def config_from_settings(settings: Mapping[str, Any]) -> TensorFlowConfig:
    """Return the configuration that a plain mapping describes, which may have been written by the older tool.

    Mappings without `model_type` (written before it existed) may hold `dp_learning_rate`; with `dp` it is the learning rate.
    Settings that have no effect are reported as warnings of the logger `linesmith`.

    Args:
        settings: values by name; with `format_version` where Linesmith wrote them.

    Raises:
        ParameterError: LS101, an unknown name or a value that cannot be used.
        DataError: LS202, a newer Linesmith wrote the settings.
    """
    plain = {str(name): value for name, value in settings.items()}
    ours = "format_version" in plain
    if ours:
        check_format_version(plain.pop("format_version"), PARAMS_FILE)
        plain.pop("model_type", None)
    if "dp_learning_rate" in plain and "model_type" not in plain:
        old_rate = plain.pop("dp_learning_rate")
        if plain.get("dp"):
            plain["learning_rate"] = _OLD_DP_LEARNING_RATE if old_rate is None else old_rate
            _log.warning("dp_learning_rate %s is taken as learning_rate, since dp is on", plain["learning_rate"])
        else:
            _log.warning("dp_learning_rate is ignored, since dp is off")
    for name, why in _IGNORED.items():
        if plain.pop(name, None) is not None and not ours:
            _log.warning("setting '%s' is ignored: %s", name, why)
    for name in ("best_model_metric",):  # null meant "default" in old files, as it does here
        if plain.get(name, 0) is None:
            del plain[name]
    config = TensorFlowConfig(**plain)
    for name, why in SETTINGS_WITHOUT_EFFECT.items():
        if name in plain and plain[name] != default_of(fields()[name]):
            _log.warning("setting '%s' has no effect: %s", name, why)
    return config


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read the mapping in a YAML or JSON file, unchecked, with the home directory for `~` in paths. A file cannot run code.

    Args:
        path: of the file; a name that ends in .json is read as JSON, any other as YAML, of which JSON is a part.

    Raises:
        ParameterError: LS102, the file is missing, is not YAML or JSON, or holds something other than a mapping.
    """
    try:
        text = read_text(path)
        loaded = parse_json(text) if str(path).endswith(".json") else parse_yaml(text)
    except OSError as error:
        raise ParameterError(
            "LS102", f"--config '{path}'", f"cannot be read ({error.strerror})", "Give a YAML or JSON file."
        ) from None
    except DocumentError as error:
        raise ParameterError("LS102", f"--config '{path}'", str(error), "Correct it there.") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ParameterError(
            "LS102",
            f"--config '{path}'",
            f"holds a {type(loaded).__name__}, not settings",
            "Write one 'name: value' per line.",
        )
    return with_home(loaded)


def config_from_model_dir(model_dir: str | Path) -> TensorFlowConfig:
    """Return the configuration of the run in a directory, which may have been moved since it was trained.

    The directory may come from somebody else: stored settings that would run code or open something outside of it are left out,
    with a warning that names them. To use them, set them again.

    Args:
        model_dir: the run directory; it becomes `checkpoint_dir`.

    Raises:
        DataError, ParameterError: as `read_stored_config`.
    """
    config, refused = read_stored_config(model_dir)
    if refused:
        _log.warning(
            "stored in '%s' and not used: %s. A run directory does not decide what code is run, nor what is opened outside of "
            "it: set it again if you trust it",
            model_dir,
            redact_text(refused_text(refused, refused)),
        )
    return config.model_copy(update={"column_role": without_references(config.column_role)})


def read_stored_config(model_dir: str | Path) -> tuple[TensorFlowConfig, dict[str, Any]]:
    """Return the configuration of the run in a directory, and the stored settings that are used only where they are given again.

    Args:
        model_dir: the run directory; it becomes `checkpoint_dir`.

    Returns:
        The configuration without those settings; their values by name, as `usable_settings` returns them.

    Raises:
        DataError: LS201, the directory holds no model, or its settings are damaged; LS202, a newer Linesmith wrote them.
        ParameterError: LS101, the settings cannot be used.
    """
    path = Path(model_dir) / PARAMS_FILE
    if not path.is_file():
        raise DataError(
            "LS201",
            f"--output (checkpoint_dir) '{model_dir}'",
            f"holds no model: {PARAMS_FILE} is missing",
            "Give the run directory of a training, or train one first.",
        )
    stored = read_json(path, "the settings of the model")
    if not isinstance(stored, dict):
        raise DataError("LS201", None, f"'{path}' is damaged: it is not a JSON object", "Restore it or train again.")
    stored.setdefault("input_format", "text")  # an earlier version knew no other
    usable, refused = usable_settings(stored, Path(model_dir))
    return config_from_settings({**usable, "checkpoint_dir": str(model_dir)}), refused


def save_params(config: TensorFlowConfig, run_dir: str | Path) -> None:
    """Write `model_params.json` atomically, with the value of every setting. Addresses are redacted."""
    write_json(
        Path(run_dir) / PARAMS_FILE,
        {"format_version": FORMAT_VERSION, "model_type": "TensorFlowConfig", **redact_settings(config.as_dict())},
    )


def releasable_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a model was made with, without those of generation, paths, addresses, names of data, and keys.

    Args:
        settings: values by name.
    """
    generation = {name for name, info in fields().items() if stage_of(info) == "generate"}
    left_out = {*_NOT_RELEASABLE, *path_settings(), *generation}
    kept = {name: value for name, value in settings.items() if name not in left_out}
    if isinstance(kept.get("column_role"), dict):
        kept["column_role"] = without_references(kept["column_role"])
    return kept


def redact_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they are stored, compared with stored ones, and shown: without the secrets of addresses.

    Only settings that hold paths or addresses are changed: a start string or a rule may be about addresses.

    Args:
        settings: plain JSON values by name.
    """
    redacted = {name: _redact_value(settings[name], redact_address) for name in path_settings() if name in settings}
    for name in {"iceberg_catalog", "input_catalog"} & settings.keys():  # properties, `uri=…` among them
        redacted[name] = _redact_value(settings[name], redact_text)
    return {**settings, **redacted}


def _redact_value(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, list | tuple):
        return [_redact_value(item, redact) for item in value]
    return redact(value) if isinstance(value, str) else value


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is not UTF-8 text"
