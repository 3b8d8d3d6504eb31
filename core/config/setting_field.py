"""How a setting is declared: its stage, default, meaning and bounds, from which flags, help and reference are made."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from pydantic.fields import FieldInfo

Stage = Literal["tokenize", "train", "generate", "run"]
# Accepted so that old settings load; a better algorithm leaves them without effect.
SETTINGS_WITHOUT_EFFECT = {
    "buffer_size": "rows are shuffled by a permutation of the whole data set, which needs no buffer",
    "dp_microbatches": "gradients are clipped per record, which is what one record a microbatch means",
    "predict_batch_size": "the sampler fills its own block of rows, and text does not depend on it",
    "reset_states": "every record starts from a zero state, in training and in generation",
}


def setting(stage: Stage, default: Any, description: str, *, with_dp: Any = None, **bounds: Any) -> Any:
    """A field of a settings class; `bounds` are pydantic's (ge, gt, le, lt, min_length, exclude).

    Args:
        stage: whose output it shapes.
        default: the value of who says nothing.
        description: for help and reference.
        with_dp: the default of private training, where it is another one.
    """
    extra: dict[str, Any] = {"stage": stage} | ({} if with_dp is None else {"with_dp": with_dp})
    return Field(default, description=description, json_schema_extra=extra, **bounds)


def dp_default(field: FieldInfo) -> Any:
    """The default of private training, where it is another one; None where it is not."""
    extra = field.json_schema_extra
    return extra.get("with_dp") if isinstance(extra, dict) else None


def stage_of(field: FieldInfo) -> str:
    """The stage whose output a setting shapes."""
    extra = field.json_schema_extra
    return str(extra["stage"]) if isinstance(extra, dict) else "run"
