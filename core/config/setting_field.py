"""How a setting is declared (stage, default, meaning, bounds) and named on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from pydantic import Field
from pydantic.fields import FieldInfo

Stage = Literal["tokenize", "train", "generate", "run"]
# small: a file that is read whole, and copied from its bucket first; streamed: files that are read from a bucket directly;
# written: what a run writes to.
PathUse = Literal["small", "streamed", "written"]
# Accepted so that old settings load; a better algorithm leaves them without effect.
SETTINGS_WITHOUT_EFFECT = {
    "buffer_size": "rows are shuffled by a permutation of the whole data set, which needs no buffer",
    "dp_microbatches": "gradients are clipped per record, which is what one record per microbatch means",
    "predict_batch_size": "the sampler fills its own block of rows, and text does not depend on it",
    "reset_states": "every record starts from a zero state, in training and in generation",
}

_SHOWN_CHARS = 500  # of a value in a message

# Established short names of flags; the name of the setting works as well.
SHORT_FLAGS = {
    "input_data_path": "--input",
    "checkpoint_dir": "--output",
    "gen_lines": "--num-lines",
    "model_archive": "--model",
}


def flag_name(name: str) -> str:
    """Return the flag under which help and messages show a setting.

    Example:
        >>> flag_name("gen_lines"), flag_name("gen_temp")
        ('--num-lines', '--gen-temp')
    """
    return SHORT_FLAGS.get(name, "--" + name.replace("_", "-"))


def shortened(text: str) -> str:
    """Return the beginning of a text that may be longer than anybody reads, for a message."""
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def option_text(name: str, value: Any = None) -> str:
    """Return a setting as it is typed on a command line, for a message.

    Args:
        name: of the setting.
        value: what it is set to; None leaves the flag alone.

    Example:
        >>> option_text("input_data_path", "x.csv"), option_text("max_lines", 10), option_text("dp_delta", 0.00001)
        ("--input 'x.csv'", '--max-lines 10', '--dp-delta 1e-05')
        >>> option_text("quoted", False), option_text("columns", ["a", "b"]), option_text("rules")
        ('--no-quoted', "--columns 'a,b'", '--rules')
    """
    flag = flag_name(name)
    if value is None:
        return flag
    if isinstance(value, bool):
        return flag if value else "--no-" + flag.removeprefix("--")
    if isinstance(value, int | float):
        return f"{flag} {value:g}" if isinstance(value, float) else f"{flag} {value}"
    return f"{flag} '{','.join(map(str, value)) if isinstance(value, list | tuple) else value}'"


def setting(
    stage: Stage,
    default: Any,
    description: str,
    *,
    with_dp: Any = None,
    default_from: Callable[[dict[str, Any]], Any] | None = None,
    path: PathUse | None = None,
    **bounds: Any,
) -> Any:
    """Return the declaration of a field of a settings class.

    Args:
        stage: stage whose output the setting shapes.
        default: value where the user does not give one; what help and reference show.
        description: text for help and reference.
        with_dp: default of private training, where it is another one; a `default_from` must know it.
        default_from: computes the default from the settings that are declared before this one, which are valid.
        path: how the file or directory that the setting names is used; None for a setting that is not a path.
        bounds: keyword arguments of `pydantic.Field` (ge, gt, le, lt, min_length, pattern, exclude).
    """
    extra = {"stage": stage, "default": default, "with_dp": with_dp, "path": path}
    if with_dp is not None and default_from is None:
        default_from = _private_default(default, with_dp)
    default_value = {"default": default} if default_from is None else {"default_factory": default_from}
    return Field(**default_value, description=description, json_schema_extra=extra, **bounds)


def _private_default(default: Any, with_dp: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda settings: with_dp if settings.get("dp") else default


def default_of(field: FieldInfo) -> Any:
    """Return the default of a setting where no other setting decides it."""
    return _extra(field)["default"]


def dp_default(field: FieldInfo) -> Any:
    """Return the default of private training, where it is another one; None where it is not."""
    return _extra(field)["with_dp"]


def stage_of(field: FieldInfo) -> str:
    """Return the stage whose output a setting shapes."""
    return str(_extra(field)["stage"])


def path_use_of(field: FieldInfo) -> str | None:
    """Return how the path that a setting names is used; None for a setting that is not a path."""
    use: str | None = _extra(field)["path"]
    return use


def _extra(field: FieldInfo) -> dict[str, Any]:
    return cast("dict[str, Any]", field.json_schema_extra)
