"""Settings of training: the network, its optimization, and when training ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, field_validator

from linesmith.core.config.field_parents import is_parents, parse_parents
from linesmith.core.config.setting_field import SETTINGS_WITHOUT_EFFECT, setting

METRIC_ALIASES = {
    "val_loss": "val_loss",
    "loss": "loss",
    "val_accuracy": "val_accuracy",
    "accuracy": "accuracy",
    "val_acc": "val_accuracy",
    "acc": "accuracy",
}


def _default(plain: Any, private: Any, with_fields: Any) -> Callable[[dict[str, Any]], Any]:
    """Return what computes the default of a setting: another one for private training, and for a network that knows fields."""

    def default(settings: dict[str, Any]) -> Any:
        if settings.get("dp"):
            return private
        knows_fields = settings.get("field_delimiter") is not None and settings.get("field_inputs") != "off"
        return with_fields if knows_fields else plain

    return default


class TrainingSettings(BaseModel):
    """Which network is trained, how, and for how long; settings of differential privacy are in `PrivacySettings`."""

    field_inputs: Literal["auto", "off"] = setting(
        "train",
        "auto",
        "auto: where records have a field_delimiter and usually several fields, the network is told which field it writes, and "
        "what the earlier ones hold there. off: it sees the last token only.",
    )
    parents: dict[str, list[str]] | list[str] | None = setting(
        "train",
        None,
        "Columns that the network looks at while it writes a column: end_lat=start_lat,b=a+c; a name with a comma or an equals "
        "sign in double quotes, with a plus sign as a mapping of lists in a settings file. Parents must be written earlier. "
        "Unset columns: chosen from the data. Needs names: header, columns or schema_file.",
    )
    discriminator: bool = setting(
        "train",
        True,
        "After training, learn what tells the model's records from real ones, by which generate chooses among drafts "
        "(gen_drafts). Needs a network that knows fields and 1,000 records; with dp columns, and it is charged.",
    )
    epochs: int = setting("train", 100, "Largest number of passes over the training records.", with_dp=30, ge=0)
    early_stopping: bool = setting("train", True, "Stop when the best-model metric no longer improves.")
    early_stopping_patience: int = setting("train", 5, "Epochs without improvement before stopping.", ge=0)
    early_stopping_min_delta: float = setting("train", 0.001, "Smallest change that counts as improvement.", ge=0)
    best_model_metric: str | None = setting(
        "train", None, "val_loss, loss, val_accuracy or accuracy; default val_loss, or loss without a validation split."
    )
    batch_size: int = setting(
        "train",
        64,
        "Rows in a training batch; with a field_delimiter and without dp fewer where there are fewer than 1,024 records.",
        with_dp=512,
        ge=1,
    )
    buffer_size: int = setting(
        "train", 10000, "Accepted and without effect: " + SETTINGS_WITHOUT_EFFECT["buffer_size"] + ".", ge=1
    )
    seq_length: int = setting(
        "train",
        100,
        "Tokens in a training row. With dp, records are cut there, and none that is generated is longer.",
        with_dp=256,
        ge=1,
    )
    embedding_dim: int = setting(
        "train",
        256,
        "Width of the embeddings; 128 with a field_delimiter.",
        with_dp=64,
        default_from=_default(256, 64, 128),
        ge=1,
    )
    rnn_units: int = setting(
        "train",
        256,
        "Units of each LSTM layer.",
        with_dp=128,
        ge=1,
    )
    rnn_layers: int = setting(
        "train", 2, "LSTM layers; 1 with a field_delimiter.", with_dp=1, default_from=_default(2, 1, 1), ge=1, le=16
    )
    dropout_rate: float = setting(
        "train",
        0.2,
        "Dropout after each LSTM layer, and without dp half of it on the input of a network that knows fields; 0.4 with a "
        "field_delimiter.",
        with_dp=0.0,
        default_from=_default(0.2, 0.0, 0.4),
        ge=0,
        lt=1,
    )
    rnn_initializer: str = setting("train", "glorot_uniform", "Keras initializer of the recurrent weights.")
    learning_rate: float = setting("train", 0.01, "Adam's learning rate at the start.", with_dp=0.03, gt=0)
    learning_rate_schedule: Literal["auto", "linear", "constant"] = setting(
        "train",
        "auto",
        "linear: falls to 0 over the planned epochs. auto: also over the time limit, where there is one; without privacy it is "
        "halved after each epoch that does not improve the metric.",
    )
    max_training_time_seconds: int | None = setting(
        "train", None, "Stop training after this many seconds; refused with dp, whose steps are counted.", ge=0
    )
    save_all_checkpoints: bool = setting("train", False, "Keep every epoch's weights, not only the best and last.")
    save_best_model: bool = setting("train", True, "Generate with the best epoch's weights; otherwise the last's.")
    tensorboard: bool = setting(
        "train",
        True,
        "Write TensorBoard event files to RUN/model/tensorboard; never with dp, since they name times and the machine.",
    )
    show_samples: int = setting(
        "run", 0, "Show this many records of the unfinished model after each epoch; refused with dp.", ge=0, le=100
    )
    epoch_callback: Callable[..., Any] | None = setting(
        "run", None, "Python only: called with an EpochState after each epoch.", exclude=True
    )
    dp_microbatches: int = setting(
        "train", 1, "Accepted and without effect: " + SETTINGS_WITHOUT_EFFECT["dp_microbatches"] + ".", ge=1
    )

    @field_validator("parents", mode="before")
    @classmethod
    def _parents_by_column(cls, value: Any) -> Any:
        parents = parse_parents(value)
        if parents is not None and not is_parents(parents):
            raise ValueError("must be COLUMN=PARENT+PARENT, or a mapping from columns to lists of columns")
        return parents

    @property
    def column_parents(self) -> dict[str, list[str]]:
        """The parents that are given by column, none where there are none. Texts were made a mapping when they were given."""
        return dict(self.parents) if isinstance(self.parents, dict) else {}

    @field_validator("best_model_metric")
    @classmethod
    def _known_metric(cls, value: str | None) -> str | None:
        if value is None or value in METRIC_ALIASES:
            return None if value is None else METRIC_ALIASES[value]
        raise ValueError(f"must be one of {', '.join(METRIC_ALIASES)}")
